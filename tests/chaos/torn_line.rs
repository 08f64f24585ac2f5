use std::fs;

use serde_json::Value;

use crate::program::Setup;

#[test]
fn a_line_that_a_kill_has_cut_does_not_spoil_the_next_one() {
    let setup = Setup::new("http://127.0.0.1:9".to_owned());
    fs::create_dir(setup.state()).unwrap();
    fs::write(setup.events(), "{\"event\":\"codex.turn.start\",\"ti").unwrap();
    let program = setup.start(0);
    program.terminate();
    assert_eq!(program.wait().code(), Some(0));
    let text = fs::read_to_string(setup.events()).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("{\"event\":\"codex.turn.start\",\"ti"));
    let mut events = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let first = events.next().expect("the sweep of a caller");
    assert_eq!(first["event"], "codex.attachment.cleanup.start");
    assert!(events.all(|event| event["event"].is_string()));
}

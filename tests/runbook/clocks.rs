use std::{fs, time::Duration};

use tempfile::TempDir;

use crate::{
    page::{PAGE, blocks},
    session::Session,
    tools::{are_there, bash},
};

/// A turn that begins while the wall clock is a minute fast, and a tool in it that begins when it is set.
const STEP: &str = r#"
{"event":"codex.turn.start","time":"2026-11-24T10:01:00.000001Z","trace_id":"t","span_id":"a"}
{"event":"codex.tool.start","time":"2026-11-24T10:00:02.000001Z","name":"ls","trace_id":"t","span_id":"b","parent_span_id":"a"}
{"event":"codex.turn.start","time":"2026-11-24T10:00:03.000001Z","trace_id":"u","span_id":"c","parent_span_id":"x"}
"#;

#[test]
fn a_step_of_the_clock_shows_as_the_page_says() {
    if !are_there() {
        return;
    }
    let home = TempDir::new().unwrap();
    let bash = bash(home.path());
    fs::write(home.path().join("checkout/events.jsonl"), STEP).unwrap();
    let mut session = Session::start(bash, home.path(), Duration::from_secs(60));
    let blocks = blocks(PAGE).unwrap();
    let block = blocks.iter().find(|block| block.section == "Clocks");
    let printed = session.run(&block.unwrap().text).unwrap();
    let step =
        "2026-11-24T10:01:00.000001Z\t2026-11-24T10:00:02.000001Z\tcodex.tool.start\tls\tt\n";
    assert_eq!(printed, step);
}

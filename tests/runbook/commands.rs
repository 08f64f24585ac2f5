//! The commands of the page print what it shows.

use std::{fs, time::Duration};

use tempfile::TempDir;

use crate::{
    page::{PAGE, blocks},
    receiver::Receiver,
    runner::run,
    session::{Session, processes_in},
    tools::{are_available, bash},
};

/// Far more than any command of the page takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A turn that begins while the wall clock is a minute fast, and its tool that begins after the clock was set.
const CLOCK_STEP: &str = r#"
{"event":"codex.turn.start","time":"2026-11-24T10:01:00.000001Z","trace_id":"t","span_id":"a"}
{"event":"codex.tool.start","time":"2026-11-24T10:00:02.000001Z","name":"ls","trace_id":"t","span_id":"b","parent_span_id":"a"}
{"event":"codex.turn.start","time":"2026-11-24T10:00:03.000001Z","trace_id":"u","span_id":"c","parent_span_id":"x"}
"#;

#[test]
fn every_command_prints_what_the_page_shows_and_no_process_is_left() {
    if !are_available() {
        return;
    }
    let receiver = Receiver::http();
    let page = PAGE.replace("http://127.0.0.1:4318", &receiver.endpoint());
    let home = TempDir::new().unwrap();

    let failures = run(&page, bash(home.path()), home.path(), TIMEOUT);
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    let left = processes_in(home.path());
    assert!(left.is_empty(), "processes are left: {left:?}");
}

#[test]
fn the_command_for_clocks_finds_a_call_that_begins_before_its_parent() {
    if !are_available() {
        return;
    }
    let home = TempDir::new().unwrap();
    let bash = bash(home.path());
    fs::write(home.path().join("checkout/events.jsonl"), CLOCK_STEP).unwrap();
    let mut session = Session::start(bash, home.path(), TIMEOUT);
    let blocks = blocks(PAGE).unwrap();
    let block = blocks.iter().find(|block| block.text.contains("$began"));
    let printed = session.run(&block.unwrap().text).unwrap();
    let step =
        "2026-11-24T10:01:00.000001Z\t2026-11-24T10:00:02.000001Z\tcodex.tool.start\tls\tt\n";
    assert_eq!(printed, step);
}

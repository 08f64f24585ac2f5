//! A file that grows.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, ChildStdout, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Events, call, stderr, stdout, tool, turns};
use crate::support::example;

/// The program while it follows.
struct Follower {
    child: Child,
    /// `None` after it was closed.
    shown: Option<BufReader<ChildStdout>>,
}

// === impl Follower ===

impl Follower {
    fn of(events: &Events, options: &[&str]) -> Self {
        let mut command = events.command(options);
        command.arg("--follow").stdout(Stdio::piped());
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let shown = child.stdout.take().map(BufReader::new);
        Self { child, shown }
    }

    /// Returns the next lines that the program prints.
    fn sees<const N: usize>(&mut self) -> [String; N] {
        std::array::from_fn(|_| {
            let mut line = String::new();
            let shown = self.shown.as_mut().unwrap();
            shown.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        })
    }

    /// Waits for the next trace of one call, and returns the name of it.
    fn sees_turn(&mut self) -> String {
        let [heading, turn] = self.sees();
        assert!(heading.starts_with("trace "), "{heading}");
        turns(&turn).pop().unwrap_or_else(|| panic!("{turn:?}"))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It has ended already, unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_growing_file_is_drawn_trace_by_trace_when_the_root_call_has_ended() {
    let events = Events::empty();
    let [first, first_end] = call(1, "first", "", 10);
    events.append(&first);
    let mut follower = Follower::of(&events, &[]);
    // The end of a tool is not that of the trace: what is drawn first is the other trace.
    events.append(&tool(1, "rate_limit"));
    events.append(&call(2, "second", "", 10).concat());
    assert_eq!(follower.sees_turn(), "second");

    // A line counts when it is whole.
    let (half, rest) = first_end.split_at(40);
    events.append(half);
    events.append(rest);
    let [heading, turn, tool] = follower.sees();
    assert!(
        heading.starts_with("trace 00000000000000000000000000000001 "),
        "{heading}"
    );
    assert!(
        turn.contains("codex.turn first") && turn.ends_with("  ok"),
        "{turn}"
    );
    assert!(
        tool.contains("codex.tool shell") && tool.ends_with("  rate_limit"),
        "{tool}"
    );
}

#[test]
fn filters_apply_to_a_growing_file() {
    let events = Events::empty();
    let mut follower = Follower::of(&events, &["--thread", "b"]);
    events.append(&call(1, "first", r#""thread_id":"a","#, 10).concat());
    events.append(&call(2, "second", r#""thread_id":"b","#, 10).concat());
    assert_eq!(follower.sees_turn(), "second");
}

#[test]
fn a_file_that_is_truncated_or_replaced_is_followed_on() {
    let events = Events::empty();
    let mut follower = Follower::of(&events, &[]);
    // Longer than all that follows, so that the truncation shows whenever the program looks.
    events.append(
        &call(
            1,
            "first",
            &format!(r#""padding":"{}","#, "x".repeat(2_000)),
            10,
        )
        .concat(),
    );
    assert_eq!(follower.sees_turn(), "first");
    // A line that is never completed.
    events.append("{\"event\":");

    // As `copytruncate` of logrotate does it.
    fs::copy(
        events.path(),
        events.directory.path().join("events.jsonl.1"),
    )
    .unwrap();
    OpenOptions::new()
        .write(true)
        .open(events.path())
        .unwrap()
        .set_len(0)
        .unwrap();
    events.append(&call(2, "second", "", 10).concat());
    assert_eq!(follower.sees_turn(), "second");

    // As logrotate does it for a program that reopens its file.
    fs::rename(
        events.path(),
        events.directory.path().join("events.jsonl.2"),
    )
    .unwrap();
    events.append(&call(3, "third", "", 10).concat());
    assert_eq!(follower.sees_turn(), "third");
}

#[test]
fn a_pipe_is_followed_to_its_end_and_what_has_not_ended_is_drawn_then() {
    let mut command = example("timeline");
    command
        .args(["-", "--follow"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut follower = Follower::start(command);
    let mut pipe = follower.child.stdin.take().unwrap();
    let mut write = |text: &str| pipe.write_all(text.as_bytes()).unwrap();
    let [first, _] = call(1, "first", "", 10);
    write(&first);
    write(&call(2, "second", "", 10).concat());
    assert_eq!(follower.sees_turn(), "second");
    drop(pipe);
    let [_, open] = follower.sees();
    assert!(
        open.contains("codex.turn first") && open.ends_with("(open)"),
        "{open}"
    );
    assert_eq!(follower.child.wait().unwrap().code(), Some(0));
}

#[test]
fn lines_of_traces_that_do_not_end_are_kept_to_a_bound() {
    let events = Events::empty();
    let padding = format!(r#""padding":"{}","#, "x".repeat(900_000));
    for trace in 1..=80 {
        let [start, _] = call(trace, "endless", &padding, 10);
        events.append(&start);
    }
    let output = example("timeline")
        .args(["-", "--follow"])
        .stdin(File::open(events.path()).unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // Of 72 MB, what is over 64 MiB.
    let given_up = stderr(&output).matches("gave up the oldest trace").count();
    let kept = turns(&stdout(&output)).len();
    assert_eq!((given_up, kept), (6, 74), "{}", stderr(&output));
}

#[test]
fn ctrl_c_ends_a_program_that_follows() {
    let events = Events::empty();
    let mut follower = Follower::of(&events, &[]);
    events.append(&call(1, "first", "", 10).concat());
    assert_eq!(follower.sees_turn(), "first");
    kill_process(Pid::from_child(&follower.child), Signal::INT).unwrap();
    let status = follower.child.wait().unwrap();
    assert_eq!(status.signal(), Some(2), "{status:?}");
}

#[test]
fn a_program_that_follows_ends_when_its_output_is_closed() {
    // Nothing is printed any more that would fail.
    let events = Events::empty();
    let mut follower = Follower::of(&events, &[]);
    events.append(&call(1, "first", "", 10).concat());
    assert_eq!(follower.sees_turn(), "first");
    drop(follower.shown.take());
    assert_eq!(follower.child.wait().unwrap().code(), Some(0));

    // And when something is.
    let mut command = events.command(&[]);
    command.stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

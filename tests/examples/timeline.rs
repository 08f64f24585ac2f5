mod follow;

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use codex_telemetry::Timeline;
use rustix::termios::{Winsize, tcsetwinsize};
use tempfile::TempDir;

use crate::{support::example, terminal::open_terminal};

/// Returns the start and the end of a call of this trace.
fn call(trace: u8, name: &str, more: &str, took: u64) -> [String; 2] {
    let line = |kind: &str, millis: u64, more: &str| {
        format!(
            r#"{{"event":"codex.{kind}","time":"2026-01-02T03:04:05.{millis:03}Z","trace_id":"{trace:032x}",{more}"attempt":1}}"#
        ) + "\n"
    };
    let ids = format!(r#""span_id":"{trace:016x}","name":"{name}",{more}"#);
    let end = format!(r#"{ids}"duration_ms":{took},"outcome":"ok","#);
    [line("turn.start", 0, &ids), line("turn.stop", took, &end)]
}

/// Returns the end of a tool in the trace, with this class of error.
fn tool(trace: u8, class: &str) -> String {
    format!(
        r#"{{"event":"codex.tool.exception","time":"2026-01-02T03:04:05.005Z","trace_id":"{trace:032x}","span_id":"00000000000000ff","parent_span_id":"{trace:016x}","name":"shell","duration_ms":5,"outcome":"error","error_class":"{class}"}}"#
    ) + "\n"
}

/// A file of events.
struct Events {
    directory: TempDir,
}

// === impl Events ===

impl Events {
    /// Three traces, of 10, 30 and 20 milliseconds.
    fn three() -> Self {
        let events = Self::empty();
        let [first, first_end] = call(1, "first", r#""thread_id":"a","#, 10);
        let [second, second_end] = call(2, "second", r#""thread_id":"b","#, 30);
        let [third, third_end] = call(3, "third", r#""thread_id":"b","#, 20);
        let tool = tool(2, "rate_limit");
        for line in [first, first_end, second, tool, second_end, third, third_end] {
            events.append(&line);
        }
        events
    }

    fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        File::create(directory.path().join("events.jsonl")).unwrap();
        Self { directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("events.jsonl")
    }

    fn append(&self, text: &str) {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path());
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = example("timeline");
        command.args(options).arg(self.path());
        command
    }

    /// Runs the program, and returns the names of the turns that it has drawn.
    fn turns(&self, options: &[&str]) -> Vec<String> {
        let output = self.command(options).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        turns(&stdout(&output))
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Returns the names of the turns in a text.
fn turns(text: &str) -> Vec<String> {
    let turns = text
        .lines()
        .filter_map(|line| line.strip_prefix("  codex.turn "));
    let name = |turn: &str| turn.split(' ').next().map(str::to_owned);
    turns.filter_map(name).collect()
}

#[test]
fn a_file_is_drawn_as_the_library_draws_it() {
    let events = Events::three();
    let output = events.command(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = fs::read(events.path()).unwrap();
    let timeline = Timeline::from_json_lines(&text[..]).unwrap();
    assert_eq!(stdout(&output), timeline.to_string());

    let output = events.command(&["--width", "70"]).output().unwrap();
    assert_eq!(stdout(&output), timeline.with_width(70).to_string());
}

#[test]
fn standard_input_is_a_file_as_well() {
    let events = Events::three();
    for options in [&["-"][..], &["-", "--follow"]] {
        let output = example("timeline")
            .args(options)
            .stdin(File::open(events.path()).unwrap())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(turns(&stdout(&output)), ["first", "second", "third"]);
    }
}

#[test]
fn the_options_choose_among_the_traces() {
    let events = Events::three();
    let third = format!("{:032x}", 3);
    for (options, expected) in [
        (&["--trace", &third][..], &["third"][..]),
        (&["--thread", "b"], &["second", "third"]),
        (&["--class", "rate_limit"], &["second"]),
        (&["--slowest", "2"], &["second", "third"]),
        (&["--thread", "b", "--slowest", "1"], &["second"]),
    ] {
        assert_eq!(events.turns(options), expected, "{options:?}");
    }
}

#[test]
fn a_page_is_written_instead_of_text() {
    let events = Events::three();
    let path = |name: &str| events.directory.path().join(name);
    let (svg, html) = (path("out.svg"), path("out.html"));
    let output = events
        .command(&["--thread", "b"])
        .arg("--svg")
        .arg(&svg)
        .arg("--html")
        .arg(&html)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(stdout(&output), "");
    let text = fs::read(events.path()).unwrap();
    let timeline = Timeline::from_json_lines(&text[..]).unwrap().of_thread("b");
    assert_eq!(fs::read_to_string(svg).unwrap(), timeline.to_svg());
    assert_eq!(fs::read_to_string(html).unwrap(), timeline.to_html());
}

#[test]
fn lines_that_are_no_events_are_counted_on_standard_error() {
    let events = Events::three();
    events.append("one\n{\"two\":2}\n");
    let output = events.command(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(turns(&stdout(&output)).len(), 3);
    assert_eq!(
        stderr(&output),
        "timeline: skipped 2 lines that are no events\n"
    );
}

#[test]
fn what_cannot_be_drawn_exits_1_and_says_why() {
    let events = Events::three();
    let missing = events.directory.path().join("missing.jsonl");
    let run = |options: &[&str], path: &Path| {
        example("timeline")
            .args(options)
            .arg(path)
            .output()
            .unwrap()
    };
    let no_directory = events.directory.path().join("no/out.svg");
    for (output, why) in [
        (run(&[], &missing), "cannot read "),
        (run(&["--follow"], &missing), "cannot read "),
        (
            run(&["--class", "timeout"], &events.path()),
            " has no such trace",
        ),
        (run(&[], Path::new("/dev/null")), "/dev/null has no events"),
        (
            run(&["--svg", no_directory.to_str().unwrap()], &events.path()),
            "cannot write ",
        ),
    ] {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains(why), "{output:?}");
    }
}

#[test]
fn invalid_usage_exits_2_with_the_usage_and_draws_nothing() {
    for (arguments, why) in [
        (&[][..], "missing FILE"),
        (&["--trace", "xyz", "-"], "32 hexadecimal digits"),
        (
            &["--class", "sad", "-"],
            "\"sad\" is no class of errors; they are: transport, ",
        ),
        (&["--width", "59", "-"], "at least 60"),
        (&["--slowest", "all", "-"], "all"),
        (&["--follow", "--slowest", "1", "-"], "--follow has no end"),
        (&["--follow", "--svg", "x", "-"], "--follow has no end"),
        (&["a", "b"], "b"),
    ] {
        let output = example("timeline").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
        let text = stderr(&output);
        assert!(
            text.contains(why) && text.contains("usage: timeline"),
            "{text}"
        );
    }
}

#[test]
fn a_terminal_decides_on_the_width_and_on_colours() {
    let events = Events::three();
    let (terminal, stdout) = open_terminal();
    let size = Winsize {
        ws_row: 40,
        ws_col: 72,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal.as_fd(), size).unwrap();
    let mut command = events.command(&["--slowest", "1"]);
    command
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .stdout(stdout);
    let mut child = command.spawn().unwrap();
    // Reading ends when no process has the terminal open for writing.
    drop(command);
    let mut shown = Vec::new();
    // On Linux, reading ends with an error.
    let _ = File::from(terminal).read_to_end(&mut shown);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let shown = String::from_utf8(shown).unwrap().replace("\r\n", "\n");
    let text = fs::read(events.path()).unwrap();
    let timeline = Timeline::from_json_lines(&text[..]).unwrap().slowest(1);
    assert_eq!(shown, timeline.with_width(72).colored().to_string());
}

#[test]
fn the_first_picture_of_the_readme_is_that_of_the_events_of_a_real_turn() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let (_, shown) = readme.split_once("```text\n").unwrap();
    let (shown, _) = shown.split_once("```\n").unwrap();
    let lines = fs::read(root.join("docs/turn.jsonl")).unwrap();
    let timeline = Timeline::from_json_lines(&lines[..]).unwrap();
    assert_eq!(timeline.clone().with_width(96).to_string(), shown);
    let page = fs::read_to_string(root.join("docs/turn.svg")).unwrap();
    assert_eq!(timeline.to_svg(), page);
}

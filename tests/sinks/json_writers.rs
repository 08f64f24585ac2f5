//! JSON lines, whatever the writer does.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    thread,
};

use codex_telemetry::{FanOut, JsonLinesSink, Outcome, TimingLayer};

use crate::{
    checked::{Checked, MemorySink},
    support::*,
};

/// A writer that others can look at, and that can be told to fail.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Sheet>>);

#[derive(Default)]
struct Sheet {
    text: Vec<u8>,
    flushed: usize,
    /// What becomes of the next writes, the last one first: how many bytes each takes; `None` fails.
    next: Vec<Option<usize>>,
}

impl Paper {
    fn failing(mut next: Vec<Option<usize>>) -> Self {
        let paper = Self::default();
        next.reverse();
        paper.0.lock().expect("no panic").next = next;
        paper
    }

    fn text(&self) -> String {
        let sheet = self.0.lock().expect("no panic");
        String::from_utf8(sheet.text.clone()).expect("JSON is UTF-8")
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sheet = self.0.lock().expect("no panic");
        let taken = match sheet.next.pop() {
            None => bytes.len(),
            Some(Some(most)) => bytes.len().min(most),
            Some(None) => return Err(io::Error::other("the disk is full")),
        };
        sheet.text.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut sheet = self.0.lock().expect("no panic");
        sheet.flushed = sheet.text.len();
        Ok(())
    }
}

/// The `event` of each line that is JSON, and how many lines are not.
fn lines(text: &str) -> (Vec<String>, usize) {
    let mut broken = 0;
    let mut events = Vec::new();
    for line in text.lines() {
        match serde_json::from_str::<serde_json::Value>(line) {
            Ok(object) => events.push(object["event"].as_str().expect("a name").to_owned()),
            Err(_) => broken += 1,
        }
    }
    (events, broken)
}

#[test]
fn each_event_is_a_line_and_is_flushed() {
    let paper = Paper::default();
    let stage = Stage::new(JsonLinesSink::new(paper.clone()));
    stage.turn(Outcome::Ok);

    let (events, broken) = lines(&paper.text());
    assert_eq!(events, ["codex.turn.start", "codex.turn.stop"]);
    assert_eq!(broken, 0);
    assert!(paper.text().ends_with('\n'));
    let sheet = paper.0.lock().expect("no panic");
    assert_eq!(sheet.flushed, sheet.text.len());
}

#[test]
fn lines_written_from_many_threads_are_whole() {
    let paper = Paper::default();
    let memory = MemorySink::new();
    let sink = FanOut::new()
        .with(JsonLinesSink::new(paper.clone()))
        .with(memory.clone());
    let layer = TimingLayer::new(Checked::over(sink));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| answer(&layer)));
        }
    });

    let (events, broken) = lines(&paper.text());
    assert_eq!((events.len(), broken), (800, 0));
    let mut written: Vec<_> = paper.text().lines().map(str::to_owned).collect();
    let events = memory.take();
    let mut wanted: Vec<_> = events
        .iter()
        .map(|event| serde_json::to_string(event).expect("JSON"))
        .collect();
    written.sort();
    wanted.sort();
    assert_eq!(written, wanted);
}

#[test]
fn a_line_that_cannot_be_written_is_counted_and_the_next_ones_are_written() {
    let paper = Paper::failing(vec![None]);
    let sink = Arc::new(JsonLinesSink::new(paper.clone()));
    let stage = Stage::new(Arc::clone(&sink));
    stage.turn(Outcome::Ok);
    assert_eq!(sink.failed(), 1);
    stage.turn(Outcome::Error);
    assert_eq!(sink.failed(), 1);

    let wanted = [
        "codex.turn.stop",
        "codex.turn.start",
        "codex.turn.exception",
    ];
    assert_eq!(lines(&paper.text()), (wanted.map(str::to_owned).into(), 0));
    assert!(!paper.text().starts_with('\n'), "nothing was torn");
}

#[test]
fn a_line_that_is_torn_does_not_tear_the_next_one() {
    // The first line breaks off, the second cannot even begin, and the third gets through.
    let paper = Paper::failing(vec![Some(10), None, None]);
    let sink = Arc::new(JsonLinesSink::new(paper.clone()));
    let stage = Stage::new(Arc::clone(&sink));
    stage.turn(Outcome::Ok);
    assert_eq!(sink.failed(), 2);
    stage.turn(Outcome::Error);

    let wanted = ["codex.turn.start", "codex.turn.exception"];
    assert_eq!(lines(&paper.text()), (wanted.map(str::to_owned).into(), 1));
    assert_eq!(paper.text().lines().count(), 3);
}

#[test]
fn a_writer_that_takes_a_little_at_a_time_gets_whole_lines() {
    let paper = Paper::failing((0..40).map(|n| Some(n % 7 + 1)).collect());
    let sink = Arc::new(JsonLinesSink::new(paper.clone()));
    Stage::new(Arc::clone(&sink)).turn(Outcome::Ok);
    assert_eq!(sink.failed(), 0);
    assert_eq!(lines(&paper.text()).0.len(), 2);
}

#[test]
fn a_writer_that_takes_nothing_is_a_failure_and_not_a_hang() {
    let paper = Paper::failing(vec![Some(0)]);
    let sink = Arc::new(JsonLinesSink::new(paper.clone()));
    Stage::new(Arc::clone(&sink)).turn(Outcome::Ok);
    assert_eq!(sink.failed(), 1);
}

#[test]
fn the_writer_can_be_taken_back() {
    let sink = Arc::new(JsonLinesSink::new(Vec::new()));
    Stage::new(Arc::clone(&sink)).turn(Outcome::Ok);
    let sink = Arc::into_inner(sink).expect("the stage is gone");
    let text = String::from_utf8(sink.into_inner()).expect("UTF-8");
    assert_eq!(lines(&text).0.len(), 2);
}

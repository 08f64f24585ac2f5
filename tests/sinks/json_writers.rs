//! `JsonLinesSink` with writers that fail, write partially or are shared.

use std::{
    io::{
        self,
        ErrorKind::{self, Interrupted, StorageFull},
        Write,
    },
    sync::{Arc, Mutex},
    thread,
};

use codex_telemetry::{FanOut, JsonLinesSink, Outcome, TimingLayer};

use crate::{
    checked::{Checked, MemorySink},
    support::*,
};

/// A writer into shared memory with scripted failures.
#[derive(Clone, Default)]
struct MockWriter(Arc<Mutex<Written>>);

#[derive(Default)]
struct Written {
    text: Vec<u8>,
    flushed: usize,
    /// The results of the next writes, last one first: the maximum number of bytes, or an error.
    results: Vec<Result<usize, ErrorKind>>,
}

impl MockWriter {
    fn with_results(mut results: Vec<Result<usize, ErrorKind>>) -> Self {
        let writer = Self::default();
        results.reverse();
        writer.0.lock().expect("no panic").results = results;
        writer
    }

    fn text(&self) -> String {
        let written = self.0.lock().expect("no panic");
        String::from_utf8(written.text.clone()).expect("JSON is UTF-8")
    }
}

impl Write for MockWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.lock().expect("no panic");
        let length = match written.results.pop() {
            None => bytes.len(),
            Some(Ok(max)) => bytes.len().min(max),
            Some(Err(kind)) => return Err(kind.into()),
        };
        written.text.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut written = self.0.lock().expect("no panic");
        written.flushed = written.text.len();
        Ok(())
    }
}

/// Returns the event name of each line that is JSON, and the number of other lines.
fn lines(text: &str) -> (Vec<String>, usize) {
    let mut invalid = 0;
    let mut events = Vec::new();
    for line in text.lines() {
        match serde_json::from_str::<serde_json::Value>(line) {
            Ok(object) => events.push(object["event"].as_str().expect("a name").to_owned()),
            Err(_) => invalid += 1,
        }
    }
    (events, invalid)
}

#[test]
fn each_event_is_written_as_a_line_and_flushed() {
    let writer = MockWriter::default();
    let harness = Harness::new(JsonLinesSink::new(writer.clone()));
    harness.turn(Outcome::Ok);

    let (events, invalid) = lines(&writer.text());
    assert_eq!(events, ["codex.turn.start", "codex.turn.stop"]);
    assert_eq!(invalid, 0);
    assert!(writer.text().ends_with('\n'));
    let written = writer.0.lock().expect("no panic");
    assert_eq!(written.flushed, written.text.len());
}

#[test]
fn lines_from_several_threads_do_not_mix() {
    let writer = MockWriter::default();
    let memory = MemorySink::new();
    let sink = FanOut::new()
        .with(JsonLinesSink::new(writer.clone()))
        .with(memory.clone());
    let layer = TimingLayer::new(Checked::over(sink));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| call_through(&layer)));
        }
    });

    let (events, invalid) = lines(&writer.text());
    assert_eq!((events.len(), invalid), (800, 0));
    let mut lines_written: Vec<_> = writer.text().lines().map(str::to_owned).collect();
    let events = memory.take();
    let mut expected: Vec<_> = events
        .iter()
        .map(|event| serde_json::to_string(event).expect("JSON"))
        .collect();
    lines_written.sort();
    expected.sort();
    assert_eq!(lines_written, expected);
}

#[test]
fn a_line_that_fails_is_counted_and_the_next_lines_are_written() {
    let writer = MockWriter::with_results(vec![Err(StorageFull)]);
    let sink = Arc::new(JsonLinesSink::new(writer.clone()));
    let harness = Harness::new(Arc::clone(&sink));
    harness.turn(Outcome::Ok);
    assert_eq!(sink.failed(), 1);
    harness.turn(Outcome::Error);
    assert_eq!(sink.failed(), 1);

    let expected = [
        "codex.turn.stop",
        "codex.turn.start",
        "codex.turn.exception",
    ];
    assert_eq!(
        lines(&writer.text()),
        (expected.map(str::to_owned).into(), 0)
    );
    assert!(!writer.text().starts_with('\n'), "no line was incomplete");
}

#[test]
fn a_line_after_an_incomplete_one_starts_on_a_new_line() {
    // The first line fails after ten bytes, the second at once; the third succeeds.
    let writer = MockWriter::with_results(vec![Ok(10), Err(StorageFull), Err(StorageFull)]);
    let sink = Arc::new(JsonLinesSink::new(writer.clone()));
    let harness = Harness::new(Arc::clone(&sink));
    harness.turn(Outcome::Ok);
    assert_eq!(sink.failed(), 2);
    harness.turn(Outcome::Error);

    let expected = ["codex.turn.start", "codex.turn.exception"];
    assert_eq!(
        lines(&writer.text()),
        (expected.map(str::to_owned).into(), 1)
    );
    assert_eq!(writer.text().lines().count(), 3);
}

#[test]
fn partial_writes_are_continued() {
    let writer = MockWriter::with_results((0..40).map(|n| Ok(n % 7 + 1)).collect());
    let sink = Arc::new(JsonLinesSink::new(writer.clone()));
    Harness::new(Arc::clone(&sink)).turn(Outcome::Ok);
    assert_eq!(sink.failed(), 0);
    assert_eq!(lines(&writer.text()).0.len(), 2);
}

#[test]
fn an_interrupted_write_is_repeated() {
    let writer = MockWriter::with_results(vec![Err(Interrupted), Ok(10), Err(Interrupted)]);
    let sink = Arc::new(JsonLinesSink::new(writer.clone()));
    Harness::new(Arc::clone(&sink)).turn(Outcome::Ok);
    assert_eq!(sink.failed(), 0);
    assert_eq!(lines(&writer.text()).0.len(), 2);
}

#[test]
fn a_write_of_zero_bytes_is_a_failure() {
    let writer = MockWriter::with_results(vec![Ok(0)]);
    let sink = Arc::new(JsonLinesSink::new(writer.clone()));
    Harness::new(Arc::clone(&sink)).turn(Outcome::Ok);
    assert_eq!(sink.failed(), 1);
}

#[test]
fn into_inner_returns_the_writer() {
    let sink = Arc::new(JsonLinesSink::new(Vec::new()));
    Harness::new(Arc::clone(&sink)).turn(Outcome::Ok);
    let sink = Arc::into_inner(sink).expect("no other reference");
    let text = String::from_utf8(sink.into_inner()).expect("UTF-8");
    assert_eq!(lines(&text).0.len(), 2);
}

#[test]
fn debug_prints_the_number_of_failures() {
    let sink = Arc::new(JsonLinesSink::new(MockWriter::with_results(vec![Err(
        StorageFull,
    )])));
    Harness::new(Arc::clone(&sink)).turn(Outcome::Ok);
    assert_eq!(format!("{sink:?}"), "JsonLinesSink { failed: 1, .. }");
}

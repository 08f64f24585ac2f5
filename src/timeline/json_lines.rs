//! Spans from the lines that `JsonLinesSink` writes.

use std::{
    borrow::Cow,
    io::{self, BufRead},
    time::{Duration, SystemTime},
};

use opentelemetry::{SpanId, TraceId};
use serde::Deserialize;

use super::{
    span::{End, PhaseTimes, Span, kept},
    spans::Spans,
};
use crate::event::{ErrorClass, EventKind, Outcome, Phase};

/// The most bytes of a line. A line of the sink is far shorter: what a call keeps is bounded.
const MAX_LINE: usize = 1 << 20;

/// The longest time that is drawn, in milliseconds: a hundred years.
const MAX_MILLIS: f64 = 100.0 * 366.0 * 24.0 * 3600.0 * 1e3;

/// The spans of a text, and the number of lines that have none.
#[derive(Debug, Default)]
pub(super) struct JsonLines {
    pub(super) spans: Spans,
    pub(super) skipped: usize,
}

/// The fields that are drawn. All others are ignored.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    trace_id: Cow<'a, str>,
    #[serde(borrow)]
    span_id: Cow<'a, str>,
    #[serde(borrow, default)]
    parent_span_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    thread_id: Option<Cow<'a, str>>,
    #[serde(default)]
    attempt: u32,
    #[serde(default)]
    duration_ms: Option<f64>,
    #[serde(borrow, default)]
    outcome: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    error_class: Option<Cow<'a, str>>,
    #[serde(default)]
    attributes: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    phases: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    phase: String,
    start_ms: f64,
}

// === impl JsonLines ===

impl JsonLines {
    pub(super) fn read(mut from: impl BufRead) -> io::Result<Self> {
        let mut lines = Self::default();
        let mut line = Vec::new();
        while let Some(is_whole) = read_line(&mut from, &mut line)? {
            match is_whole.then(|| span(&line)).flatten() {
                Some(span) => lines.spans.add(span),
                None if is_whole && line.trim_ascii().is_empty() => {}
                None => lines.skipped += 1,
            }
        }
        Ok(lines)
    }
}

/// Reads a line into `line`. Returns `None` at the end, and `false` if the line is too long: the rest of it is skipped.
fn read_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let mut is_whole = true;
    let mut has_begun = false;
    loop {
        let chunk = match from.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if chunk.is_empty() {
            return Ok(has_begun.then_some(is_whole));
        }
        has_begun = true;
        let newline = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..newline.unwrap_or(chunk.len())];
        is_whole &= line.len() + part.len() <= MAX_LINE;
        if is_whole {
            line.extend_from_slice(part);
        }
        let consumed = part.len() + usize::from(newline.is_some());
        from.consume(consumed);
        if newline.is_some() {
            return Ok(Some(is_whole));
        }
    }
}

/// Returns what a line tells, or `None` if it is no line of the sink.
fn span(line: &[u8]) -> Option<Span> {
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let (operation, kind) = line.event.rsplit_once('.')?;
    let time = humantime::parse_rfc3339(&line.time).ok()?;
    let is_start = kind == EventKind::Start.as_str();
    let end = if is_start {
        None
    } else {
        Some(end(&line, kind, time)?)
    };
    let start = match &end {
        Some(end) => time.checked_sub(end.duration)?,
        None => time,
    };
    let parent = line.parent_span_id.as_deref();
    Some(Span {
        trace_id: TraceId::from_hex(&line.trace_id).ok()?,
        span_id: SpanId::from_hex(&line.span_id).ok()?,
        parent: parent.and_then(|id| SpanId::from_hex(id).ok()),
        operation: kept(operation).into(),
        name: line.name.as_deref().map(kept),
        attempt: line.attempt,
        thread: line.thread_id.map(Cow::into_owned),
        start,
        end,
    })
}

fn end(line: &Line<'_>, kind: &str, time: SystemTime) -> Option<End> {
    let outcome = line.outcome.as_deref()?;
    let mut outcomes = Outcome::ALL.iter().copied();
    let outcome = outcomes.find(|it| it.as_str() == outcome)?;
    (outcome.event_kind().as_str() == kind).then_some(())?;
    let class = line.error_class.as_deref().map(|class| {
        let mut known = ErrorClass::ALL.iter().map(|known| known.as_str());
        match known.find(|known| *known == class) {
            Some(known) => Cow::Borrowed(known),
            None => Cow::Owned(kept(class)),
        }
    });
    Some(End {
        time,
        duration: duration(line.duration_ms?)?,
        outcome,
        class,
        phases: phases(line),
    })
}

fn phases(line: &Line<'_>) -> PhaseTimes {
    let attribute = |key: &str| line.attributes.get(key);
    let mut times = PhaseTimes::default();
    for phase in Phase::ALL {
        let millis = attribute(phase.attribute()).and_then(serde_json::Value::as_f64);
        times.durations[*phase as usize] = millis.and_then(duration);
    }
    let changes = line.phases.iter();
    times.changes = changes
        .filter_map(|change| Some((duration(change.start_ms)?, phase(&change.phase)?)))
        .collect();
    let last = attribute(crate::event::names::PHASE).and_then(serde_json::Value::as_str);
    times.last = last.and_then(phase);
    times
}

fn phase(name: &str) -> Option<Phase> {
    let mut all = Phase::ALL.iter().copied();
    all.find(|phase| phase.as_str() == name)
}

fn duration(millis: f64) -> Option<Duration> {
    let is_drawn = (0.0..=MAX_MILLIS).contains(&millis);
    is_drawn.then(|| Duration::from_secs_f64(millis / 1e3))
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    const START: &str = r#"{"event":"codex.turn.start","time":"2026-01-02T03:04:05.678901Z","trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","attempt":1}"#;

    fn skipped(text: &[u8]) -> usize {
        JsonLines::read(text).unwrap().skipped
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_without_being_kept_and_the_next_one_is_read() {
        let mut text = vec![b'x'; 3 * MAX_LINE];
        text.push(b'\n');
        text.extend_from_slice(START.as_bytes());
        let mut from = BufReader::with_capacity(1000, &text[..]);
        let mut line = Vec::new();
        assert_eq!(read_line(&mut from, &mut line).unwrap(), Some(false));
        assert!(line.capacity() <= 2 * MAX_LINE);
        assert_eq!(read_line(&mut from, &mut line).unwrap(), Some(true));
        assert_eq!(line, START.as_bytes());
        assert_eq!(read_line(&mut from, &mut line).unwrap(), None);
        assert_eq!(skipped(&text), 1);
    }

    #[test]
    fn a_duration_is_the_nanosecond_that_was_written() {
        for nanos in [0, 1, 999, 31_700_802, 127_002_417, 86_400_000_000_001] {
            let exact = Duration::from_nanos(nanos);
            assert_eq!(duration(crate::event::millis(exact)), Some(exact));
        }
        for millis in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(duration(millis), None, "{millis}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_an_error(bytes in vec(any::<u8>(), 0..500)) {
            prop_assert!(JsonLines::read(&bytes[..]).is_ok());
        }

        #[test]
        fn a_line_that_is_cut_anywhere_is_skipped_and_the_one_after_it_is_read(
            at in 1..START.len(),
        ) {
            let text = format!("{}\n{START}\n", &START[..at]);
            let lines = JsonLines::read(text.as_bytes()).unwrap();
            prop_assert_eq!(lines.skipped, 1);
            prop_assert_eq!(lines.spans.into_traces().len(), 1);
        }
    }
}

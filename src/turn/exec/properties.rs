//! Properties that hold for any output of Codex. Property tests and fuzz targets check them.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::{Future, ready},
    io,
    pin::{Pin, pin},
    process::ExitStatus,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, ReadBuf};
use tower::{Service, service_fn};
use tower_layer::Layer;

use super::turn_state::{Resumed, TurnState};
use crate::{
    call::{Call, CallContext, CodexRequest},
    event::{EventKind, Operation},
    sink::MemorySink,
    timing::TimingLayer,
    turn::{
        TurnError, TurnRequest, Usage,
        wire::{CHUNK, LineError, Lines},
    },
};

/// A reader that returns bytes in pieces of given sizes, in a cycle.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, u16>>,
    /// Whether the last read was pending; a size of 0 makes one read pending.
    has_paused: bool,
}

/// Checks that the lines do not depend on the sizes of the reads, that dropping a pending read loses nothing,
/// and that the buffer does not grow beyond the limit.
#[allow(unreachable_pub, reason = "a fuzz target reaches it")]
pub fn any_chunking(bytes: &[u8], sizes: &[u16], limit: usize) {
    let pieces = Pieces {
        bytes,
        sizes: sizes.iter().cycle(),
        has_paused: false,
    };
    let mut lines = Lines::new(pieces, limit);
    let mut cx = Context::from_waker(Waker::noop());
    let mut seen = Vec::new();
    let is_too_long = loop {
        // Dropped while pending, as in a `select!`.
        match pin!(lines.next()).poll(&mut cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(Some(line))) => seen.push(line.to_vec()),
            Poll::Ready(Ok(None)) => break false,
            Poll::Ready(Err(LineError::TooLong)) => break true,
            Poll::Ready(Err(LineError::Io(error))) => panic!("{error}"),
        }
        assert!(lines.buffer.capacity() <= 2 * (limit + CHUNK));
    };
    let (expected, is_expected_too_long) = split(bytes, limit);
    assert_eq!(seen, expected);
    assert_eq!(is_too_long, is_expected_too_long);
}

/// Returns the complete lines before the first one that is too long, and whether there is such a line.
fn split(bytes: &[u8], limit: usize) -> (Vec<&[u8]>, bool) {
    let mut lines = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let ended = line.strip_suffix(b"\n");
        if ended.unwrap_or(line).len() > limit {
            return (lines, true);
        }
        lines.extend(ended);
    }
    (lines, false)
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let size = self.sizes.next().map_or(usize::MAX, |size| (*size).into());
        if size == 0 && !self.has_paused {
            self.has_paused = true;
            return Poll::Pending;
        }
        self.has_paused = false;
        let size = size.clamp(1, buffer.remaining()).min(self.bytes.len());
        let (piece, rest) = self.bytes.split_at(size);
        buffer.put_slice(piece);
        self.bytes = rest;
        Poll::Ready(Ok(()))
    }
}

/// Checks that any output gives a result or is rejected at one line, that the end of the turn is final, and
/// that each call has one start and one end.
#[allow(unreachable_pub, reason = "a fuzz target reaches it")]
pub fn any_output(output: &[u8], is_resumed: bool) {
    let sink = MemorySink::new();
    let mut turns = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<()>| {
        fold(output, is_resumed, call.context);
        ready(Ok::<_, Infallible>(()))
    }));
    let turn = pin!(turns.call(Call::new(Operation::Turn, ())));
    let polled = turn.poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_ready());

    let mut open = HashMap::new();
    for event in sink.events() {
        let count = open.entry(event.span_id()).or_insert(0);
        *count += if event.kind() == EventKind::Start {
            1
        } else {
            -1
        };
        assert!((0..=1).contains(count), "{event:?}");
    }
    assert!(open.values().all(|count| *count == 0), "{open:?}");
}

fn fold(output: &[u8], is_resumed: bool, context: CallContext) {
    let resumed = is_resumed.then(|| Resumed {
        thread_id: "thread".to_owned(),
        previous_usage: Some(Usage::default()),
    });
    let request = TurnRequest::new("a prompt").with_context(context);
    let mut state = TurnState::new(&request, resumed, None, &request.context().begin_phases());

    let mut rejected = None;
    let mut lines = 0;
    for line in output.split(|byte| *byte == b'\n') {
        let had_ended = state.has_ended();
        lines += 1;
        match state.apply(line) {
            Ok(_) => assert!(state.has_ended() || !had_ended, "the end was undone"),
            Err(error) => {
                rejected = Some(error);
                break;
            }
        }
    }
    assert_eq!(state.lines(), lines);
    let has_ended = state.has_ended();
    match rejected {
        Some(TurnError::Protocol { line, .. }) => assert!(line == lines && !has_ended),
        Some(TurnError::InvalidRequest { .. }) => assert!(is_resumed),
        Some(error) => panic!("{error}"),
        None => match state.finish(Ok(ExitStatus::default())) {
            Ok(turn) => assert!(has_ended, "{turn:?}"),
            Err(error) => assert_eq!(has_ended, matches!(error, TurnError::Failed { .. })),
        },
    }
}

#[cfg(test)]
mod phases;

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use serde_json::{Value, value::RawValue};

    use super::*;
    use crate::turn::exec::decode::{Line, line, whole_line};

    /// Any bytes, with many ends of lines.
    fn bytes(longest: usize) -> impl Strategy<Value = Vec<u8>> {
        vec(prop_oneof![4 => any::<u8>(), 1 => Just(b'\n')], 0..longest)
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_the_sizes_of_the_reads(
            bytes in bytes(400),
            sizes in vec(0..40_u16, 0..8),
            limit in 0..40_usize,
        ) {
            any_chunking(&bytes, &sizes, limit);
        }
    }

    proptest! {
        // Each case reads many bytes.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn lines_longer_than_a_read_do_not_depend_on_the_sizes_of_the_reads(
            lines in vec((any::<u8>(), 0..3 * CHUNK), 1..4),
            sizes in vec(any::<u16>(), 0..4),
            limit in CHUNK..4 * CHUNK,
        ) {
            let lines = lines.into_iter().map(|(byte, length)| vec![byte; length]);
            any_chunking(&lines.collect::<Vec<_>>().join(&b'\n'), &sizes, limit);
        }
    }

    proptest! {
        #[test]
        fn any_events_give_a_result_or_are_rejected(
            events in vec(event(), 0..12),
            is_resumed in any::<bool>(),
        ) {
            any_output(events.join("\n").as_bytes(), is_resumed);
        }

        #[test]
        fn any_bytes_among_events_give_a_result_or_are_rejected(
            events in vec(event(), 0..4),
            bytes in vec(any::<u8>(), 0..64),
            more in vec(event(), 0..4),
        ) {
            let (events, more) = (events.join("\n"), more.join("\n"));
            let output = [events.as_bytes(), &bytes, more.as_bytes()].join(&b'\n');
            any_output(&output, false);
        }
    }

    /// Keys and values of Codex's lines, and others.
    const WORDS: &[&str] = &[
        "type",
        "item",
        "id",
        "item_0",
        "item_1",
        "thread_id",
        "thread",
        "usage",
        "input_tokens",
        "output_tokens",
        "error",
        "message",
        "text",
        "status",
        "in_progress",
        "completed",
        "failed",
        "declined",
        "changes",
        "path",
        "kind",
        "items",
        "command",
        "command_execution",
        "file_change",
        "aggregated_output",
        "exit_code",
        "mcp_tool_call",
        "server",
        "tool",
        "arguments",
        "result",
        "collab_tool_call",
        "web_search",
        "query",
        "todo_list",
        "agent_message",
        "reasoning",
        "Reconnecting... 1/5",
        "Read-only file system",
        "x\n\nStack backtrace:\n 0: y",
    ];
    const EVENTS: &[&str] = &[
        "thread.started",
        "turn.started",
        "turn.completed",
        "turn.failed",
        "error",
        "item.started",
        "item.updated",
        "item.completed",
        "turn.paused",
    ];
    const ITEMS: &[&str] = &[
        "agent_message",
        "reasoning",
        "command_execution",
        "file_change",
        "mcp_tool_call",
        "collab_tool_call",
        "web_search",
        "todo_list",
        "error",
        "hologram",
    ];

    fn word(words: &'static [&'static str]) -> impl Strategy<Value = String> {
        proptest::sample::select(words).prop_map(|word| Value::from(word).to_string())
    }

    /// Any JSON, as text: a `Value` cannot have a key twice.
    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            4 => word(WORDS),
            1 => Just("null".to_owned()),
            1 => any::<bool>().prop_map(|it| it.to_string()),
            1 => any::<u64>().prop_map(|it| it.to_string()),
            1 => any::<i64>().prop_map(|it| it.to_string()),
            1 => any::<f32>().prop_map(|it| Value::from(it).to_string()),
            1 => any::<String>().prop_map(|it| Value::from(it).to_string()),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..6).prop_map(|values| format!("[{}]", values.join(","))),
                fields(inner).prop_map(|fields| format!("{{{fields}}}")),
            ]
        })
    }

    fn fields(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
        let field = (word(WORDS), value).prop_map(|(key, value)| format!("{key}:{value}"));
        vec(field, 0..6).prop_map(|fields| fields.join(","))
    }

    /// A line of a known kind, with any fields.
    fn event() -> impl Strategy<Value = String> {
        let item =
            (word(ITEMS), fields(json())).prop_map(|(kind, fields)| with_type(&kind, &fields));
        let item = prop_oneof![3 => item, 1 => json()];
        (word(EVENTS), item, fields(json()))
            .prop_map(|(kind, item, fields)| with_type(&kind, &format!("\"item\":{item},{fields}")))
    }

    /// What makes an output, or looks like one.
    const OUTPUTS: &[&str] = &[
        "aggregated_output",
        "x,\"aggregated_output",
        "arguments",
        "type",
        "mcp_tool_call",
        "\",\"aggregated_output\":\"\\",
    ];

    /// The line of an item that has outputs somewhere.
    fn event_with_outputs() -> impl Strategy<Value = String> {
        let text = prop_oneof![any::<String>(), "[a\\\\\"\n]{0,6}"];
        let text = text.prop_map(|text| Value::from(text).to_string());
        let json = prop_oneof![word(OUTPUTS), text].prop_recursive(3, 24, 6, |inner| {
            let field = (word(OUTPUTS), inner).prop_map(|(key, value)| format!("{key}:{value}"));
            vec(field, 0..6).prop_map(|fields| format!("{{{}}}", fields.join(",")))
        });
        let field = (word(OUTPUTS), json).prop_map(|(key, value)| format!("{key}:{value}"));
        (vec(field, 0..4), 0..2_usize).prop_map(|(fields, kind)| {
            let kind = ["\"command_execution\"", "\"mcp_tool_call\""][kind];
            let item = with_type(kind, &fields.join(","));
            with_type("\"item.completed\"", &format!("\"item\":{item}"))
        })
    }

    fn with_type(kind: &str, fields: &str) -> String {
        let fields = format!("\"type\":{kind},{fields}");
        format!("{{{}}}", fields.trim_end_matches(','))
    }

    /// Checks that a line is decoded if it is a JSON object, and rejected without its content if not.
    fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
        let object = serde_json::from_slice::<HashMap<String, &RawValue>>(bytes);
        match line(bytes) {
            Ok(_) => prop_assert!(object.is_ok()),
            Err(reason) => {
                prop_assert!(object.is_err());
                let reason = reason.replace(|c: char| c.is_ascii_digit(), "");
                let reasons = ["not JSON (at byte  of )", "JSON, but not an object"];
                prop_assert!(reasons.contains(&&*reason), "{reason}");
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_rejected(bytes in vec(any::<u8>(), 0..64)) {
            check(&bytes)?;
        }

        #[test]
        fn any_json_is_decoded_or_rejected(json in json()) {
            check(json.as_bytes())?;
        }

        #[test]
        fn a_whole_event_is_decoded_and_a_cut_one_is_rejected(
            event in event(),
            cut in any::<proptest::sample::Index>(),
        ) {
            check(&event.as_bytes()[..cut.index(event.len())])?;
            prop_assert!(line(event.as_bytes()).is_ok(), "{event}");
        }

        #[test]
        fn an_output_that_is_split_off_changes_nothing(event in event_with_outputs()) {
            let whole = whole_line(event.as_bytes());
            prop_assert!(whole.is_ok(), "{event}");
            prop_assert_eq!(line(event.as_bytes()), whole);
        }

        #[test]
        fn spaces_around_a_line_are_ignored(event in event()) {
            let spaced = format!(" \t{event}\r");
            prop_assert_eq!(line(spaced.as_bytes()), line(event.as_bytes()));
        }

        #[test]
        fn unknown_fields_are_ignored(more in json()) {
            let more = format!(r#"{{"new":{more},"type":"turn.started","newer":[{more}]}}"#);
            prop_assert_eq!(line(more.as_bytes()), Ok(Line::TurnStarted));
        }
    }
}

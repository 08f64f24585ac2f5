//! The lines of `JsonLinesSink` are what `serde_json` writes for the same events.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use codex_telemetry::{
    Call, CallContext, Classification, ErrorClass, FanOut, JsonLinesSink, Operation, Originator,
    Outcome,
};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use proptest::{collection::vec, num::f64, option::of, prelude::*, sample::select};

#[cfg(all(feature = "turn", unix))]
use codex_telemetry::TimingLayer;
#[cfg(all(feature = "turn", unix))]
use tower::{Layer, ServiceExt};

use crate::{checked::MemorySink, support::*};

/// What is said of a call, and during it.
#[derive(Clone, Debug)]
struct Said {
    operation: Operation,
    /// The name, the thread, the turn and the tool call.
    texts: [Option<String>; 4],
    originator: Option<Originator>,
    has_parent: bool,
    attempt: u32,
    attributes: Vec<(String, Value)>,
    span_events: Vec<(String, Vec<(String, Value)>)>,
    /// More attributes and span events than are kept.
    is_flooded: bool,
    error: Option<(ErrorClass, Option<String>, Option<Duration>)>,
    /// The time before the call, and that of the call.
    times: [Duration; 2],
    outcome: Outcome,
}

/// Texts with the characters that JSON escapes, and those that it might.
fn text(length: Range<usize>) -> impl Strategy<Value = String> + Clone {
    const SPECIAL: &[char] = &[
        '"', '\\', '/', '\0', '\u{8}', '\t', '\n', '\u{c}', '\r', '\u{1f}', ' ', '\u{7f}',
        '\u{80}', 'ä', '\u{2028}', '\u{ffff}', '😀',
    ];
    let plain = "[a-z]".prop_map(|text| text.chars().next().unwrap_or('a'));
    let char = prop_oneof![8 => plain, 1 => select(SPECIAL), 1 => any::<char>()];
    vec(char, length).prop_map(String::from_iter)
}

fn float() -> impl Strategy<Value = f64> + Clone {
    const SPECIAL: &[f64] = &[
        0.0,
        -0.0,
        0.1,
        1e-5,
        1e-6,
        1e-7,
        1e15,
        1e16,
        1e17,
        1e21,
        5e-324,
        f64::MAX,
        f64::EPSILON,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        9007199254740993.0,
    ];
    let integral = any::<i32>().prop_map(f64::from);
    let decimal =
        (any::<i32>(), -12..12).prop_map(|(digits, power)| f64::from(digits) * 10_f64.powi(power));
    prop_oneof![f64::ANY, select(SPECIAL), integral, decimal]
}

fn value() -> impl Strategy<Value = Value> + Clone {
    let texts = vec(text(0..9).prop_map(StringValue::from), 0..4);
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        (-99_i64..99).prop_map(Value::I64),
        float().prop_map(Value::F64),
        text(0..40).prop_map(|text| Value::String(text.into())),
        vec(any::<bool>(), 0..4).prop_map(|of| Value::Array(Array::Bool(of))),
        vec(any::<i64>(), 0..4).prop_map(|of| Value::Array(Array::I64(of))),
        vec(float(), 0..4).prop_map(|of| Value::Array(Array::F64(of))),
        texts.prop_map(|of| Value::Array(Array::String(of))),
    ]
}

/// Times of every size: the digits of their milliseconds are written in two ways.
fn time() -> impl Strategy<Value = Duration> + Clone {
    let nanos = (any::<u64>(), 0..64_u32).prop_map(|(bits, shift)| bits >> shift);
    let micros = (0..10_000_000_000_u64).prop_map(|micros| micros * 1000);
    prop_oneof![nanos, micros, Just(0)].prop_map(Duration::from_nanos)
}

fn said() -> impl Strategy<Value = Said> {
    const OPERATIONS: &[Operation] = &[
        Operation::Turn,
        Operation::Tool,
        Operation::Chat,
        Operation::Approval,
        Operation::AttachmentStage,
        Operation::AttachmentCleanup,
        Operation::Custom("billing.sync"),
        Operation::Custom("a \"quoted\"\n\u{1}ä name"),
    ];
    const CLASSES: &[ErrorClass] = &[
        ErrorClass::RateLimit,
        ErrorClass::Custom("no_budget"),
        ErrorClass::Custom("\\\t"),
    ];
    const OUTCOMES: &[Outcome] = Outcome::ALL;
    let originator = select(&["cli", "sdk", "release-bot"][..])
        .prop_map(|name| name.parse::<Originator>().expect("a valid name"));
    let attributes = || vec((text(0..12), value()), 0..5);
    let call = (
        select(OPERATIONS),
        [(); 4].map(|()| of(text(0..300))),
        of(originator),
        any::<bool>(),
        prop_oneof![Just(1), any::<u32>()],
    );
    let during = (
        attributes(),
        vec((text(0..12), attributes()), 0..3),
        prop::bool::weighted(0.02),
        of((select(CLASSES), of(text(0..60)), of(time()))),
        [time(), time()],
        select(OUTCOMES),
    );
    (call, during).prop_map(|(call, during)| {
        let (operation, texts, originator, has_parent, attempt) = call;
        let (attributes, span_events, is_flooded, error, times, outcome) = during;
        Said {
            operation,
            texts,
            originator,
            has_parent,
            attempt,
            attributes,
            span_events,
            is_flooded,
            error,
            times,
            outcome,
        }
    })
}

impl Said {
    fn request(&self) -> Call<()> {
        let mut context = CallContext::new().with_attempt(self.attempt);
        if self.has_parent {
            context = context.with_traceparent(PARENT, None);
        }
        if let Some(originator) = &self.originator {
            context = context.with_originator(originator.clone());
        }
        let [name, thread, turn, call] = self.texts.clone();
        if let Some(id) = thread {
            context = context.with_thread_id(id);
        }
        if let Some(id) = turn {
            context = context.with_turn_id(id);
        }
        if let Some(id) = call {
            context = context.with_call_id(id);
        }
        let request = Call::new(self.operation, ()).with_context(context);
        match name {
            Some(name) => request.with_name(name),
            None => request,
        }
    }

    fn say(&self, context: &CallContext) {
        for (key, value) in &self.attributes {
            context.record(key.clone(), value.clone());
        }
        for (name, attributes) in &self.span_events {
            let attributes = attributes.iter().cloned();
            let attributes = attributes.map(|(key, value)| KeyValue::new(key, value));
            context.add_event_with(name.clone(), attributes);
        }
        if self.is_flooded {
            for n in 0..130 {
                context.record(format!("key {n}"), n);
                context.add_event("again");
            }
            let many = (0..130).map(|n| KeyValue::new(format!("key {n}"), n));
            context.add_event_with("many", many);
        }
        if let Some((class, message, retry_after)) = &self.error {
            let mut classification = Classification::from(*class).with_retry_after(*retry_after);
            classification.message.clone_from(message);
            context.classify(classification);
        }
    }
}

/// Makes the calls with a sink of lines, and returns its text, and that of the events by `serde_json`.
fn written(calls: &[Said]) -> (String, String) {
    let lines = Arc::new(JsonLinesSink::new(Vec::new()));
    let memory = MemorySink::new();
    let both = FanOut::new().with(Arc::clone(&lines)).with(memory.clone());
    let harness = Harness::starting_at(UNIX_EPOCH, both);
    for said in calls {
        harness.manual.advance(said.times[0]);
        harness.call(said.request(), said.outcome, |context| {
            harness.manual.advance(said.times[1] / 2);
            said.say(context);
            harness.manual.advance(said.times[1] / 2);
        });
    }
    drop(harness);
    let lines = Arc::into_inner(lines).expect("no other reference");
    assert_eq!(lines.failed(), 0);
    let events = memory.take();
    assert_eq!(events.len(), 2 * calls.len());
    let expected = events
        .iter()
        .map(|event| serde_json::to_string(event).expect("JSON") + "\n");
    let text = String::from_utf8(lines.into_inner()).expect("UTF-8");
    (text, expected.collect())
}

/// A call of a turn service that has been stopped: it has the phases of its turn.
#[cfg(all(feature = "turn", unix))]
#[tokio::test]
async fn the_line_of_a_turn_has_its_phases_as_serde_json_writes_them() {
    let exec = codex_telemetry::CodexExec::new();
    exec.shutdown(Duration::ZERO).await;
    let lines = Arc::new(JsonLinesSink::new(Vec::new()));
    let memory = MemorySink::new();
    let both = FanOut::new().with(Arc::clone(&lines)).with(memory.clone());
    let service = TimingLayer::new(both).layer(exec);
    let request = codex_telemetry::TurnRequest::new("a prompt");
    service.oneshot(request).await.expect_err("it is stopped");

    let lines = Arc::into_inner(lines).expect("no other reference");
    let text = String::from_utf8(lines.into_inner()).expect("UTF-8");
    let events = memory.take();
    let end = serde_json::to_string(&events[1]).expect("JSON");
    assert!(
        end.contains(r#","phases":[{"phase":"wait","start_ms":0.0}"#),
        "{end}"
    );
    assert_eq!(text.lines().nth(1), Some(&*end));
}

proptest! {
    #[test]
    fn a_line_is_the_json_of_its_event(calls in vec(said(), 1..4)) {
        let (lines, expected) = written(&calls);
        prop_assert_eq!(lines, expected);
    }
}

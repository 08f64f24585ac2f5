//! The exact JSON of events.

use std::time::Duration;

use codex_telemetry::{
    Call, CallContext, Classification, ErrorClass, Event, Operation, Originator, Outcome,
};
use opentelemetry::{Array, KeyValue, StringValue, Value};

use crate::{checked::MemorySink, support::*};

fn json(event: &Event) -> String {
    serde_json::to_string(event).expect("JSON")
}

/// Makes a call and returns its start and its end as JSON, with `SPAN` as the span id.
fn call(
    request: Call<()>,
    outcome: Outcome,
    work: impl FnOnce(&Harness, &CallContext),
) -> [String; 2] {
    let sink = MemorySink::new();
    let harness = Harness::new(sink.clone());
    harness.call(request, outcome, |context| work(&harness, context));
    let [start, end] = &sink.take()[..] else {
        panic!("not two events");
    };
    let span = start.span_id().to_string();
    [start, end].map(|event| json(event).replace(&span, "SPAN"))
}

/// Returns a turn whose parent is [`PARENT`].
fn from_parent() -> Call<()> {
    turn().with_context(CallContext::new().with_traceparent(PARENT, None))
}

/// Returns the attributes of a call that records them by `record`, as JSON.
fn attributes(record: impl FnOnce(&CallContext)) -> serde_json::Value {
    let [_, end] = call(turn(), Outcome::Ok, |_, context| record(context));
    let end: serde_json::Value = serde_json::from_str(&end).expect("JSON");
    end["attributes"].clone()
}

#[test]
fn a_minimal_event_has_only_the_fields_that_every_event_has() {
    let [start, end] = call(from_parent(), Outcome::Ok, |_, _| ());
    let ids = r#""trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"SPAN","parent_span_id":"b7ad6b7169203331""#;
    assert_eq!(
        start,
        format!(
            r#"{{"event":"codex.turn.start","time":"2026-01-02T03:04:05.678901Z","severity":"INFO",{ids},"attempt":1}}"#
        )
    );
    assert_eq!(
        end,
        format!(
            r#"{{"event":"codex.turn.stop","time":"2026-01-02T03:04:05.678901Z","severity":"INFO","duration_ms":0.0,"outcome":"ok",{ids},"attempt":1}}"#
        )
    );
}

#[test]
fn a_full_event_has_every_field() {
    let context = CallContext::new()
        .with_traceparent(PARENT, None)
        .with_originator(Originator::Sdk)
        .with_thread_id("thread")
        .with_turn_id("turn")
        .with_call_id("call")
        .with_attempt(2);
    let request = Call::new(Operation::Tool, ()).with_name("shell");
    let [start, end] = call(
        request.with_context(context),
        Outcome::Error,
        |harness, context| {
            context.record("gen_ai.usage.input_tokens", 10);
            harness.manual.advance(Duration::from_millis(1));
            context.add_event("retry");
            harness.manual.advance(Duration::from_micros(1_233_567));
            context.classify(
                Classification::from(ErrorClass::RateLimit)
                    .with_message("slow \"down\"\n")
                    .with_retry_after(Some(Duration::from_millis(1500))),
            );
        },
    );
    let fields = r#""originator":"sdk","trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"SPAN","parent_span_id":"b7ad6b7169203331","name":"shell","thread_id":"thread","turn_id":"turn","call_id":"call","attempt":2"#;
    assert_eq!(
        start,
        format!(
            r#"{{"event":"codex.tool.start","time":"2026-01-02T03:04:05.678901Z","severity":"INFO",{fields}}}"#
        )
    );
    assert_eq!(
        end,
        format!(
            r#"{{"event":"codex.tool.exception","time":"2026-01-02T03:04:06.913468Z","severity":"WARN","duration_ms":1234.567,"outcome":"error","error_class":"rate_limit","error_message":"slow \"down\"\n","retry_after_ms":1500.0,{fields},"attributes":{{"gen_ai.usage.input_tokens":10}},"span_events":[{{"name":"retry","time":"2026-01-02T03:04:05.679901Z"}}]}}"#
        )
    );
}

#[test]
fn a_cancelled_call_has_the_outcome_and_class_cancelled() {
    let [_, end] = call(from_parent(), Outcome::Cancelled, |harness, _| {
        harness.manual.advance(Duration::from_millis(20));
    });
    assert_eq!(
        end,
        r#"{"event":"codex.turn.exception","time":"2026-01-02T03:04:05.698901Z","severity":"INFO","duration_ms":20.0,"outcome":"cancelled","error_class":"cancelled","trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"SPAN","parent_span_id":"b7ad6b7169203331","attempt":1}"#
    );
}

#[test]
fn a_duration_has_no_binary_rounding_noise() {
    for (micros, millis) in [
        (9, "0.009"),
        (15, "0.015"),
        (1_100, "1.1"),
        (4_611_001, "4611.001"),
    ] {
        let [_, end] = call(turn(), Outcome::Error, |harness, context| {
            let time = Duration::from_micros(micros);
            harness.manual.advance(time);
            let class = Classification::from(ErrorClass::RateLimit);
            context.classify(class.with_retry_after(Some(time)));
        });
        assert!(
            end.contains(&format!(r#""duration_ms":{millis},"#)),
            "{end}"
        );
        assert!(
            end.contains(&format!(r#""retry_after_ms":{millis},"#)),
            "{end}"
        );
    }
}

#[test]
fn the_last_value_of_an_attribute_wins() {
    let attributes = attributes(|context| {
        context.record("tokens", 1);
        context.record("model", "small");
        context.record("tokens", 2);
    });
    assert_eq!(attributes.to_string(), r#"{"model":"small","tokens":2}"#);
}

#[test]
fn a_span_event_has_its_attributes_and_the_number_of_those_it_did_not_keep() {
    let [_, end] = call(turn(), Outcome::Ok, |_, context| {
        let used = [
            KeyValue::new("used_percent", 12.5),
            KeyValue::new("plan", "pro"),
        ];
        context.add_event_with("codex.rate_limits", used);
        let many = (0..130).map(|n| KeyValue::new(format!("key {n}"), n));
        context.add_event_with("many", many);
        context.add_event("none");
    });
    let end: serde_json::Value = serde_json::from_str(&end).expect("JSON");
    let events = end["span_events"].as_array().expect("an array");
    let time = "2026-01-02T03:04:05.678901Z";
    let expected = serde_json::json!({
        "name": "codex.rate_limits", "time": time,
        "attributes": {"used_percent": 12.5, "plan": "pro"},
    });
    assert_eq!(events[0], expected);
    let attributes = events[1]["attributes"].as_object().expect("an object");
    assert_eq!(attributes.len(), 128);
    assert_eq!(events[1]["dropped_attributes"], 2);
    assert_eq!(events[2], serde_json::json!({"name": "none", "time": time}));
    assert_eq!(end.get("dropped_attributes"), None);
}

#[test]
fn what_a_call_did_not_keep_is_counted() {
    let [_, end] = call(turn(), Outcome::Ok, |_, context| {
        for n in 0..130 {
            context.record(format!("key {n}"), n);
            context.add_event("retry");
        }
        context.add_event("retry");
    });
    let end: serde_json::Value = serde_json::from_str(&end).expect("JSON");
    assert_eq!(end["attributes"].as_object().expect("an object").len(), 128);
    assert_eq!(
        (&end["dropped_attributes"], &end["dropped_span_events"]),
        (&2.into(), &3.into())
    );
}

#[test]
fn every_type_of_attribute_has_its_json_type() {
    let attributes = attributes(|context| {
        context.record("bool", true);
        context.record("float", 0.5);
        context.record("text", "a\"b");
        context.record("bools", Value::Array(Array::Bool(vec![true, false])));
        context.record("ints", Value::Array(Array::I64(vec![1, -2])));
        context.record("floats", Value::Array(Array::F64(vec![0.5])));
        let texts = vec![StringValue::from("a"), StringValue::from("b")];
        context.record("texts", Value::Array(Array::String(texts)));
    });
    let expected = serde_json::json!({
        "bool": true, "float": 0.5, "text": "a\"b", "bools": [true, false], "ints": [1, -2],
        "floats": [0.5], "texts": ["a", "b"],
    });
    assert_eq!(attributes, expected);
}

#[test]
fn a_non_finite_number_is_a_string_and_never_null() {
    let attributes = attributes(|context| {
        context.record("nan", f64::NAN);
        context.record("up", f64::INFINITY);
        let floats = vec![1.0, f64::NEG_INFINITY];
        context.record("floats", Value::Array(Array::F64(floats)));
    });
    let expected = serde_json::json!({
        "nan": "NaN", "up": "Infinity", "floats": [1.0, "-Infinity"],
    });
    assert_eq!(attributes, expected);
}

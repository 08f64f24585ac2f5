//! Model responses inside a turn: their spans, their metrics, and whose tokens are counted.

use codex_telemetry::{
    CallContext, CallGuard, ErrorClass, Operation, Originator, OtlpConfig, OtlpSink, Sink,
    event::names, otlp::config::Sampler,
};
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};

use super::support::{Calls, Rig, millis, nanos};
use crate::{
    checked::MemorySink,
    receiver::{Attributes, MetricKind, Receiver, Span, Value},
    rig::PATIENCE,
};

const MODEL: &str = "gpt-5.4";

/// Opens a model response.
fn chat(turn: &CallContext) -> CallGuard {
    turn.open_child(Operation::Chat, Some(MODEL.into()), None)
}

/// Records the tokens of a response, or the sum of two such responses.
fn record_tokens(record: impl Fn(&'static str, i64), responses: i64) {
    record(names::INPUT_TOKENS, 1200 * responses);
    record(names::OUTPUT_TOKENS, 34 * responses);
    record(names::CACHE_READ_TOKENS, 1000 * responses);
    record(names::CACHE_WRITE_TOKENS, 100 * responses);
    record(names::REASONING_TOKENS, 30 * responses);
}

/// Makes a turn with two model responses, a tool between them, and what they used together.
fn turn(calls: &Calls) {
    let work = |turn: CallContext| {
        let first = chat(&turn);
        first.record(names::RESPONSE_TIME_TO_FIRST_CHUNK, 0.5);
        calls.advance(1500);
        record_tokens(|key, count| first.record(key, count), 1);
        first.finish();
        let tool = turn.open_child(Operation::Tool, Some("ls".into()), None);
        calls.advance(15);
        tool.finish();
        let second = chat(&turn);
        calls.advance(700);
        record_tokens(|key, count| second.record(key, count), 1);
        second.finish();
        turn.record(names::INFERENCE_CALLS, 2);
        record_tokens(|key, count| turn.record(key, count), 2);
        Ok(())
    };
    let context = CallContext::new()
        .with_originator(Originator::Cli)
        .with_thread_id("thread-1")
        .with_turn_id("turn-1");
    calls
        .run(Operation::Turn, "reviewer", context, work)
        .unwrap();
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Attributes {
    let pair = |(key, value): (&str, &str)| (key.to_owned(), Value::from(value));
    pairs.map(pair).into()
}

/// Returns the span with this name.
#[track_caller]
fn span(receiver: &Receiver, name: &str) -> Span {
    let mut spans = receiver.spans().into_iter();
    let span = spans.find(|span| span.name == name);
    span.unwrap_or_else(|| panic!("no {name} in {:?}", receiver.spans()))
}

/// Returns the totals of a counter of tokens by operation.
fn tokens(receiver: &Receiver, kind: &str) -> Vec<(Value, i64)> {
    let metric = receiver.metric(&format!("gen_ai.client.inference.usage.{kind}"));
    let points = metric.map(|metric| metric.points).unwrap_or_default();
    let total = |point: crate::receiver::Point| {
        let operation = point.attributes["gen_ai.operation.name"].clone();
        (operation, point.as_int().unwrap())
    };
    points.into_iter().map(total).collect()
}

// === spans ===

#[test]
fn a_model_response_is_a_client_span_with_the_attributes_of_the_conventions() {
    let rig = Rig::new();
    let work = |turn: CallContext| {
        let chat = chat(&turn);
        chat.record(names::PROVIDER_NAME, "azure");
        chat.record(names::RESPONSE_ID, "resp_1");
        chat.record(names::RESPONSE_TIME_TO_FIRST_CHUNK, 0.125);
        chat.record(names::CONVERSATION_COMPACTED, true);
        record_tokens(|key, count| chat.record(key, count), 1);
        rig.calls.advance(250);
        chat.finish();
        rig.calls.advance(50);
        Ok(())
    };
    let context = CallContext::new()
        .with_originator(Originator::Cli)
        .with_thread_id("thread-1")
        .with_turn_id("turn-1");
    rig.calls
        .run(Operation::Turn, "reviewer", context, work)
        .unwrap();
    let receiver = rig.flush();
    let span = span(receiver, "chat gpt-5.4");
    assert_eq!(span.kind, SpanKind::Client);
    assert_eq!(span.status, StatusCode::Unset);
    let expected: [(&str, Value); _] = [
        ("gen_ai.operation.name", "chat".into()),
        ("gen_ai.provider.name", "azure".into()),
        ("gen_ai.request.model", MODEL.into()),
        ("gen_ai.response.id", "resp_1".into()),
        ("gen_ai.response.time_to_first_chunk", 0.125.into()),
        ("gen_ai.conversation.compacted", true.into()),
        ("gen_ai.usage.input_tokens", 1200.into()),
        ("gen_ai.usage.output_tokens", 34.into()),
        ("gen_ai.usage.cache_read.input_tokens", 1000.into()),
        ("gen_ai.usage.cache_write.input_tokens", 100.into()),
        ("gen_ai.usage.reasoning.output_tokens", 30.into()),
        ("gen_ai.conversation.id", "thread-1".into()),
        ("codex.originator", "cli".into()),
        ("codex.turn.id", "turn-1".into()),
        ("codex.duration_ms", 250.0.into()),
        ("codex.outcome", "ok".into()),
    ];
    let expected: Attributes = expected
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .collect();
    assert_eq!(span.attributes, expected);

    let turn = self::span(receiver, "invoke_agent reviewer");
    assert_eq!(span.parent_span_id, Some(turn.span_id));
    assert_eq!(span.trace_id, turn.trace_id);
    assert_eq!(
        (span.start_nanos, span.end_nanos),
        (nanos(millis(0)), nanos(millis(250)))
    );
}

#[test]
fn a_model_that_was_recorded_counts_before_the_name_of_the_response() {
    let rig = Rig::new();
    let work = |turn: CallContext| {
        let chat = chat(&turn);
        chat.record(names::REQUEST_MODEL, "gpt-5.4-mini");
        chat.finish();
        Ok(())
    };
    let context = CallContext::new();
    rig.calls.run(Operation::Turn, "x", context, work).unwrap();
    let receiver = rig.flush();
    let span = span(receiver, "chat gpt-5.4");
    assert_eq!(span.attributes["gen_ai.request.model"], "gpt-5.4-mini");
    let metric = receiver.wait_for_metric("gen_ai.client.inference.duration");
    let labels = &metric.points[0].attributes;
    assert_eq!(labels["gen_ai.request.model"], "gpt-5.4-mini");
}

#[test]
fn a_response_of_an_unknown_model_has_none_and_the_default_provider() {
    let rig = Rig::new();
    let work = |turn: CallContext| {
        turn.open_child(Operation::Chat, None, None).finish();
        Ok(())
    };
    let context = CallContext::new();
    rig.calls.run(Operation::Turn, "x", context, work).unwrap();
    let receiver = rig.flush();
    let span = span(receiver, "chat");
    assert_eq!(span.attribute("gen_ai.request.model"), None);
    assert_eq!(span.attributes["gen_ai.provider.name"], "openai");
    let metric = receiver.wait_for_metric("gen_ai.client.inference.duration");
    let expected = labels([
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
    ]);
    assert_eq!(metric.points[0].attributes, expected);
}

#[test]
fn a_response_that_failed_or_was_cancelled_ends_as_a_tool_call_does() {
    let rig = Rig::new();
    let work = |turn: CallContext| {
        let failed = chat(&turn);
        failed.record(names::ERROR_KIND, "serverOverloaded");
        failed.record(names::HTTP_STATUS, 503);
        failed.fail(ErrorClass::Overloaded);
        drop(chat(&turn));
        turn.record(names::INFERENCE_CALLS, 2);
        Ok(())
    };
    let context = CallContext::new();
    rig.calls.run(Operation::Turn, "x", context, work).unwrap();
    let receiver = rig.flush();
    let spans = receiver.spans();
    let [failed, cancelled] = &spans[..2] else {
        panic!("{spans:?}")
    };
    assert_eq!(failed.status, StatusCode::Error);
    assert_eq!(failed.attributes["error.type"], "overloaded");
    assert_eq!(failed.attributes["codex.error.kind"], "serverOverloaded");
    assert_eq!(failed.attributes["http.response.status_code"], 503);
    assert_eq!(failed.events[0].name, "exception");
    assert_eq!(cancelled.status, StatusCode::Unset);
    assert_eq!(cancelled.attributes["error.type"], "cancelled");

    let metric = receiver.wait_for_metric("gen_ai.client.inference.duration");
    for class in ["overloaded", "cancelled"] {
        let point = metric.point(&[("error.type", class.into())]).unwrap();
        assert_eq!(point.as_histogram().unwrap().count, 1, "{class}");
    }
    let severities = |name: &str| {
        let logs = receiver.logs().into_iter();
        let logs = logs.filter(|log| log.event_name == name);
        logs.map(|log| log.severity_text).collect::<Vec<_>>()
    };
    assert_eq!(severities("codex.chat.start"), ["INFO", "INFO"]);
    assert_eq!(severities("codex.chat.exception"), ["WARN", "INFO"]);
}

#[test]
fn a_failed_response_keeps_the_spans_of_a_trace_that_was_not_sampled() {
    let rig = Rig::with(|config| config.sampler(Sampler::AlwaysOff).keep_failures(true));
    let context = CallContext::new;
    let good = |turn: CallContext| {
        chat(&turn).finish();
        Ok(())
    };
    rig.calls
        .run(Operation::Turn, "good", context(), good)
        .unwrap();
    let retried = |turn: CallContext| {
        chat(&turn).fail(ErrorClass::ServerError);
        chat(&turn).finish();
        Ok(())
    };
    rig.calls
        .run(Operation::Turn, "retried", context(), retried)
        .unwrap();
    let spans = rig.flush().spans();
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(
        names,
        ["chat gpt-5.4", "chat gpt-5.4", "invoke_agent retried"]
    );
}

#[test]
fn an_approval_is_inside_of_the_tool_call_that_waits_for_it() {
    let rig = Rig::new();
    let work = |turn: CallContext| {
        let tool = turn.open_child(
            Operation::Tool,
            Some("command_execution".into()),
            Some("call_7".into()),
        );
        tool.record(names::TOOL_TYPE, "extension");
        rig.calls.advance(5);
        let approval = tool.open_child(Operation::Approval, Some("command_execution".into()), None);
        approval.record(names::APPROVAL_DECISION, "accept");
        rig.calls.advance(2000);
        approval.finish();
        tool.record(names::APPROVAL_WAIT, 2000.0);
        rig.calls.advance(40);
        tool.finish();
        Ok(())
    };
    let context = CallContext::new();
    rig.calls
        .run(Operation::Turn, "reviewer", context, work)
        .unwrap();
    let receiver = rig.flush();
    let turn = span(receiver, "invoke_agent reviewer");
    let tool = span(receiver, "execute_tool command_execution");
    let approval = span(receiver, "codex.approval command_execution");
    assert_eq!(approval.parent_span_id.as_ref(), Some(&tool.span_id));
    assert_eq!(tool.parent_span_id, Some(turn.span_id));
    assert_eq!(approval.kind, SpanKind::Internal);
    assert_eq!(approval.attributes["codex.approval.decision"], "accept");
    assert_eq!(tool.attributes["gen_ai.tool.call.id"], "call_7");
    assert_eq!(tool.attribute("codex.approval.decision"), None);
    assert!(tool.start_nanos <= approval.start_nanos && approval.end_nanos <= tool.end_nanos);

    let sum = |name: &str| {
        let metric = receiver.wait_for_metric(name);
        assert_eq!(metric.points.len(), 1, "{metric:?}");
        let point = metric.points[0].as_histogram().unwrap();
        assert_eq!(point.count, 1, "{name}");
        point.sum.unwrap()
    };
    assert!((sum("gen_ai.execute_tool.duration") - 0.045).abs() < 1e-9);
    assert!((sum("codex.approval.duration") - 2.0).abs() < 1e-9);
}

// === metrics ===

#[test]
fn model_responses_have_a_duration_and_a_time_to_the_first_chunk() {
    let rig = Rig::new();
    turn(&rig.calls);
    let receiver = rig.flush();
    let expected = labels([
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", MODEL),
        ("codex.originator", "cli"),
    ]);
    for (name, count, sum) in [
        ("gen_ai.client.inference.duration", 2, 2.2),
        // The second response was not streamed.
        ("gen_ai.client.inference.time_to_first_chunk", 1, 0.5),
    ] {
        let metric = receiver.wait_for_metric(name);
        assert_eq!(metric.kind, MetricKind::Histogram);
        assert_eq!(metric.unit, "s");
        assert_ne!(metric.description, "");
        assert_eq!(metric.points.len(), 1, "{metric:?}");
        assert_eq!(metric.points[0].attributes, expected, "{name}");
        let point = metric.points[0].as_histogram().unwrap();
        assert_eq!((point.bounds[0], point.bounds.len()), (0.01, 14));
        assert_eq!(point.count, count, "{name}");
        assert!((point.sum.unwrap() - sum).abs() < 1e-9, "{point:?}");
    }
    // Nothing is among the calls without a metric of their own.
    assert_eq!(receiver.metric("codex.call.duration"), None);
}

#[test]
fn the_number_of_model_responses_of_a_turn_is_a_histogram_by_agent() {
    let rig = Rig::new();
    turn(&rig.calls);
    rig.calls.ok(Operation::Turn, "silent", 1);
    let metric = rig
        .flush()
        .wait_for_metric("gen_ai.invoke_agent.inference_calls");
    assert_eq!(metric.unit, "{inference_call}");
    assert_eq!(metric.points.len(), 1, "{metric:?}");
    let expected = labels([("gen_ai.agent.name", "reviewer")]);
    assert_eq!(metric.points[0].attributes, expected);
    let point = metric.points[0].as_histogram().unwrap();
    assert_eq!((point.count, point.sum), (1, Some(2.0)));
}

#[test]
fn active_model_responses_are_counted_and_ended_ones_are_not() {
    let rig = Rig::new();
    let active = |receiver: &Receiver| {
        let metric = receiver.wait_for_metric("codex.call.active");
        let chats = [("codex.operation", "codex.chat".into())];
        metric.point(&chats).unwrap().as_int()
    };
    let work = |turn: CallContext| {
        let chat = chat(&turn);
        assert_eq!(active(rig.flush()), Some(1));
        chat.finish();
        assert_eq!(active(rig.flush()), Some(0));
        Ok(())
    };
    let context = CallContext::new();
    rig.calls.run(Operation::Turn, "x", context, work).unwrap();
}

// === tokens ===

const KINDS: [(&str, i64); 5] = [
    ("input_tokens", 1200),
    ("output_tokens", 34),
    ("cache_read.input_tokens", 1000),
    ("cache_write.input_tokens", 100),
    ("reasoning.output_tokens", 30),
];

#[test]
fn the_tokens_of_a_turn_whose_responses_are_told_are_added_for_each_response_and_once() {
    for sampler in [Sampler::AlwaysOn, Sampler::AlwaysOff] {
        let rig = Rig::with(|config| config.sampler(sampler));
        turn(&rig.calls);
        let receiver = rig.flush();
        for (kind, each) in KINDS {
            let expected = [("chat".into(), 2 * each)];
            assert_eq!(tokens(receiver, kind), expected, "{kind}");
        }
        let metric = receiver.wait_for_metric("gen_ai.client.token.usage");
        for (kind, sum) in [("input", 2400.0), ("output", 68.0)] {
            let kind = [("gen_ai.token.type", kind.into())];
            let point = metric.point(&kind).unwrap().as_histogram().unwrap();
            assert_eq!((point.count, point.sum), (2, Some(sum)));
        }
    }
}

#[test]
fn the_tokens_of_a_turn_whose_responses_are_not_told_are_added_once_for_the_turn() {
    for inference_calls in [None, Some(0)] {
        let rig = Rig::new();
        let work = |turn: CallContext| {
            record_tokens(|key, count| turn.record(key, count), 2);
            if let Some(calls) = inference_calls {
                turn.record(names::INFERENCE_CALLS, calls);
            }
            Ok(())
        };
        let context = CallContext::new();
        rig.calls.run(Operation::Turn, "x", context, work).unwrap();
        let receiver = rig.flush();
        for (kind, each) in KINDS {
            let expected = [("invoke_agent".into(), 2 * each)];
            assert_eq!(tokens(receiver, kind), expected, "{kind}");
        }
    }
}

#[test]
fn the_tokens_of_a_turn_are_not_counted_twice_if_a_response_was_dropped() {
    let events = {
        let sink = MemorySink::new();
        turn(&Calls::new(sink.clone()));
        sink.events()
    };
    let chats = || {
        let events = events.iter();
        events.filter(|event| event.operation() == Operation::Chat && event.kind().is_terminal())
    };
    assert_eq!(chats().count(), 2);
    for dropped in 0..=2 {
        let receiver = Receiver::http();
        let config = OtlpConfig::builder().endpoint(&receiver.endpoint());
        let sink = OtlpSink::start(config.build().unwrap());
        let missing: Vec<_> = chats().take(dropped).map(|event| event.span_id()).collect();
        // As a full queue does it.
        for event in &events {
            if !missing.contains(&event.span_id()) {
                sink.emit(event.clone());
            }
        }
        sink.blocking_flush(PATIENCE).unwrap();
        let total: i64 = tokens(&receiver, "input_tokens")
            .into_iter()
            .map(|(_, total)| total)
            .sum();
        let left = i64::try_from(2 - dropped).unwrap();
        assert_eq!(total, 1200 * left, "{dropped} dropped");
    }
}

#[test]
fn the_duration_of_a_tool_call_is_that_of_its_call_whatever_codex_has_measured() {
    let rig = Rig::new();
    let work = |context: CallContext| {
        rig.calls.advance(1078);
        context.record(names::ITEM_DURATION, 513.0);
        context.record(names::APPROVAL_WAIT, 400.0);
        context.record(names::APPROVAL_DECISION, "accept");
        Ok(())
    };
    let context = CallContext::new();
    rig.calls.run(Operation::Tool, "ls", context, work).unwrap();
    let metric = rig.flush().wait_for_metric("gen_ai.execute_tool.duration");
    let sum = metric.points[0].as_histogram().unwrap().sum.unwrap();
    assert!((sum - 0.678).abs() < 1e-9, "{sum}");
}

//! The instruments and their measurements.

use codex_telemetry::{CallContext, ErrorClass, Operation, Originator, event::names};
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality;

use super::support::Rig;
use crate::receiver::{Histogram, Metric, MetricKind, Number, Receiver, Value};

const TURNS: [f64; 13] = [
    0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6,
];
const TOOLS: [f64; 14] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
const TOKENS: [f64; 14] = [
    1.,
    4.,
    16.,
    64.,
    256.,
    1024.,
    4096.,
    16384.,
    65536.,
    262_144.,
    1_048_576.,
    4_194_304.,
    16_777_216.,
    67_108_864.,
];

/// Returns a histogram and its only point.
#[track_caller]
fn histogram(receiver: &Receiver, name: &str, unit: &str) -> (Metric, Histogram) {
    let metric = receiver.wait_for_metric(name);
    assert_eq!(metric.kind, MetricKind::Histogram);
    assert_eq!(metric.unit, unit);
    assert_ne!(metric.description, "");
    assert_eq!(metric.temporality, Some(AggregationTemporality::Cumulative));
    assert_eq!(metric.points.len(), 1, "{metric:?}");
    let point = metric.points[0].as_histogram().unwrap().clone();
    (metric, point)
}

#[track_caller]
fn total(metric: &Metric, unit: &str, monotonic: bool) -> i64 {
    assert_eq!(metric.kind, MetricKind::Sum { monotonic });
    assert_eq!(metric.unit, unit);
    assert_ne!(metric.description, "");
    assert_eq!(metric.temporality, Some(AggregationTemporality::Cumulative));
    assert_eq!(metric.points.len(), 1, "{metric:?}");
    metric.points[0].as_int().unwrap()
}

#[test]
fn durations_of_turns_have_the_boundaries_of_the_conventions() {
    let rig = Rig::new();
    rig.calls.ok(Operation::Turn, "reviewer", 1500);
    let (_, point) = histogram(rig.flush(), "gen_ai.invoke_agent.duration", "s");
    assert_eq!(point.bounds, TURNS);
    assert_eq!((point.count, point.sum), (1, Some(1.5)));
    assert_eq!(point.counts[4], 1, "between 0.8 and 1.6");
}

#[test]
fn durations_of_tool_calls_have_the_boundaries_of_the_conventions() {
    let rig = Rig::new();
    rig.calls.ok(Operation::Tool, "ls", 15);
    let (_, point) = histogram(rig.flush(), "gen_ai.execute_tool.duration", "s");
    assert_eq!(point.bounds, TOOLS);
    assert_eq!((point.count, point.sum), (1, Some(0.015)));
    assert_eq!(point.counts[1], 1, "between 0.01 and 0.02");
}

#[test]
fn cleanups_and_custom_operations_have_the_boundaries_of_tools() {
    let rig = Rig::new();
    rig.calls.ok(Operation::AttachmentCleanup, "", 20);
    rig.calls.ok(Operation::Custom("billing.sync"), "x", 30);
    let receiver = rig.flush();
    let (_, point) = histogram(receiver, "codex.attachment.cleanup.duration", "s");
    assert_eq!((point.bounds, point.sum), (TOOLS.to_vec(), Some(0.02)));
    let (metric, point) = histogram(receiver, "codex.call.duration", "s");
    assert_eq!((point.bounds, point.sum), (TOOLS.to_vec(), Some(0.03)));
    let labels = &metric.points[0].attributes;
    assert_eq!(labels["codex.operation"], "billing.sync");
    assert_eq!(labels.len(), 1, "{labels:?}");
}

#[test]
fn totals_are_cumulative_over_exports() {
    let rig = Rig::new();
    let mut starts = Vec::new();
    for count in 1..=3 {
        rig.calls.ok(Operation::Tool, "ls", 1000);
        let (metric, point) = histogram(rig.flush(), "gen_ai.execute_tool.duration", "s");
        assert_eq!(point.count, count);
        starts.push(metric.points[0].start_nanos);
    }
    assert!(starts[0] > 0 && starts.iter().all(|start| *start == starts[0]));
}

#[test]
fn tokens_are_a_histogram_by_input_and_output() {
    let rig = Rig::new();
    let work = |context: CallContext| {
        context.record(names::INPUT_TOKENS, 1200);
        context.record(names::OUTPUT_TOKENS, 34);
        Ok(())
    };
    let context = CallContext::new().with_originator(Originator::Cli);
    rig.calls.run(Operation::Turn, "x", context, work).unwrap();
    let metric = rig.flush().wait_for_metric("gen_ai.client.token.usage");
    assert_eq!(metric.unit, "{token}");
    assert_eq!(metric.kind, MetricKind::Histogram);
    assert_eq!(metric.points.len(), 2);
    for (kind, tokens) in [("input", 1200.0), ("output", 34.0)] {
        let labels = [
            ("gen_ai.token.type", kind.into()),
            ("gen_ai.operation.name", "invoke_agent".into()),
            ("gen_ai.provider.name", "openai".into()),
            ("codex.originator", "cli".into()),
        ];
        let point = metric.point(&labels).unwrap();
        assert_eq!(point.attributes.len(), labels.len(), "{point:?}");
        let histogram = point.as_histogram().unwrap();
        assert_eq!(histogram.bounds, TOKENS);
        assert_eq!((histogram.count, histogram.sum), (1, Some(tokens)));
    }
}

#[test]
fn tokens_have_the_provider_that_was_recorded() {
    let rig = Rig::new();
    let work = |context: CallContext| {
        context.record(names::INPUT_TOKENS, 1200);
        context.record(names::PROVIDER_NAME, "azure");
        Ok(())
    };
    let context = CallContext::new();
    rig.calls.run(Operation::Turn, "x", context, work).unwrap();
    let metric = rig.flush().wait_for_metric("gen_ai.client.token.usage");
    let provider = &metric.points[0].attributes[names::PROVIDER_NAME];
    assert_eq!(*provider, Value::from("azure"));
}

#[test]
fn a_turn_without_token_counts_is_not_in_the_token_histogram() {
    let rig = Rig::new();
    rig.calls.ok(Operation::Turn, "x", 1);
    let receiver = rig.flush();
    receiver.wait_for_metric("gen_ai.invoke_agent.duration");
    assert_eq!(receiver.metric("gen_ai.client.token.usage"), None);
}

#[test]
fn cleaned_attachments_and_their_bytes_are_counted() {
    let rig = Rig::new();
    for (removed, bytes) in [(3, 4096), (0, 0), (1, 10)] {
        let work = |context: CallContext| {
            context.record(names::CLEANUP_REMOVED, removed);
            context.record(names::CLEANUP_BYTES, bytes);
            Ok(())
        };
        let context = CallContext::new().with_originator(Originator::Cli);
        let operation = Operation::AttachmentCleanup;
        rig.calls.run(operation, "", context, work).unwrap();
    }
    let receiver = rig.flush();
    let count = receiver.wait_for_metric("codex.attachment.cleaned.count");
    assert_eq!(total(&count, "{attachment}", true), 4);
    let size = receiver.wait_for_metric("codex.attachment.cleaned.size");
    assert_eq!(total(&size, "By", true), 4106);
    for metric in [count, size] {
        let labels = &metric.points[0].attributes;
        assert_eq!(labels["codex.originator"], "cli");
        assert_eq!(labels.len(), 1, "{labels:?}");
    }
}

#[test]
fn active_calls_are_counted_up_and_down() {
    let rig = Rig::new();
    let first = rig
        .calls
        .start(Operation::Tool, "ls", CallContext::new(), |_| Ok(()));
    let second = rig
        .calls
        .start(Operation::Tool, "rm", CallContext::new(), |_| Ok(()));
    let metric = rig.flush().wait_for_metric("codex.call.active");
    assert_eq!(total(&metric, "{call}", false), 2);
    let labels = &metric.points[0].attributes;
    assert_eq!(labels["codex.operation"], "codex.tool");
    assert_eq!(labels.len(), 1, "{labels:?}");
    drop((first, second));
    let active = rig.flush().wait_for_metric("codex.call.active");
    assert_eq!(active.points[0].value, Number::Int(0));
}

#[test]
fn failed_calls_are_in_the_duration_histogram() {
    let rig = Rig::new();
    let work = |context: CallContext| {
        context.classify(ErrorClass::Timeout);
        rig.calls.advance(1000);
        Err("no")
    };
    let context = CallContext::new();
    rig.calls
        .run(Operation::Turn, "x", context, work)
        .unwrap_err();
    let (metric, point) = histogram(rig.flush(), "gen_ai.invoke_agent.duration", "s");
    assert_eq!(point.sum, Some(1.0));
    assert_eq!(metric.points[0].attributes["error.type"], "timeout");
}

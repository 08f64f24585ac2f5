//! The instruments and their measurements.

use codex_telemetry::{
    CallContext, ErrorClass, Operation, Originator,
    event::names,
    otlp::config::{HistogramAggregation, Temporality},
};
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
fn tokens_are_counters_by_kind() {
    let rig = Rig::new();
    for _ in 0..2 {
        let work = |context: CallContext| {
            context.record(names::REQUEST_MODEL, "gpt-5.4");
            context.record(names::INPUT_TOKENS, 1200);
            context.record(names::OUTPUT_TOKENS, 34);
            context.record(names::CACHE_READ_TOKENS, 1000);
            context.record(names::CACHE_WRITE_TOKENS, 100);
            context.record(names::REASONING_TOKENS, 30);
            Ok(())
        };
        let context = CallContext::new().with_originator(Originator::Cli);
        rig.calls.run(Operation::Turn, "x", context, work).unwrap();
    }
    let receiver = rig.flush();
    for (kind, tokens) in [
        ("input_tokens", 2400),
        ("output_tokens", 68),
        ("cache_read.input_tokens", 2000),
        ("cache_write.input_tokens", 200),
        ("reasoning.output_tokens", 60),
    ] {
        let name = format!("gen_ai.client.inference.usage.{kind}");
        let metric = receiver.wait_for_metric(&name);
        assert_eq!(total(&metric, "{token}", true), tokens, "{kind}");
        let labels = [
            ("gen_ai.token.modality", "unknown".into()),
            ("gen_ai.operation.name", "invoke_agent".into()),
            ("gen_ai.provider.name", "openai".into()),
            ("gen_ai.request.model", "gpt-5.4".into()),
            ("codex.originator", "cli".into()),
        ];
        assert!(metric.point(&labels).is_some(), "{metric:?}");
        assert_eq!(metric.points[0].attributes.len(), labels.len());
    }
}

#[test]
fn the_token_histogram_is_left_out_with_the_latest_conventions_alone() {
    let rig = Rig::with(|config| config.latest_conventions(true));
    let work = |context: CallContext| {
        context.record(names::INPUT_TOKENS, 1);
        Ok(())
    };
    let context = CallContext::new();
    rig.calls.run(Operation::Turn, "x", context, work).unwrap();
    let receiver = rig.flush();
    receiver.wait_for_metric("gen_ai.client.inference.usage.input_tokens");
    assert_eq!(receiver.metric("gen_ai.client.token.usage"), None);
}

#[test]
fn the_tool_calls_of_a_turn_are_a_histogram_where_they_are_told() {
    let rig = Rig::new();
    rig.calls.ok(Operation::Turn, "silent", 1);
    let work = |context: CallContext| {
        context.record(names::TOOL_CALLS, 3);
        Ok(())
    };
    let context = CallContext::new();
    let turn = rig.calls.run(Operation::Turn, "reviewer", context, work);
    turn.unwrap();
    let name = "gen_ai.invoke_agent.tool_calls";
    let (metric, point) = histogram(rig.flush(), name, "{tool_call}");
    assert_eq!(point.bounds, [1., 2., 4., 8., 16., 32., 64., 128.]);
    assert_eq!((point.count, point.sum), (1, Some(3.0)));
    let labels = &metric.points[0].attributes;
    assert_eq!(labels["gen_ai.agent.name"], "reviewer");
    assert_eq!(labels.len(), 1, "{labels:?}");
}

#[test]
fn the_duration_of_a_tool_call_is_without_the_wait_for_an_approval() {
    let rig = Rig::new();
    let work = |context: CallContext| {
        rig.calls.advance(60_015);
        context.record(names::APPROVAL_WAIT, 60_000.0);
        Ok(())
    };
    let context = CallContext::new();
    rig.calls.run(Operation::Tool, "rm", context, work).unwrap();
    let (_, point) = histogram(rig.flush(), "gen_ai.execute_tool.duration", "s");
    let sum = point.sum.unwrap();
    assert!((sum - 0.015).abs() < 1e-9, "{sum}");
}

#[test]
fn a_tool_call_is_in_the_duration_histogram_unless_its_approval_was_refused() {
    // What a call without an approval, or of another service, can tell.
    const NONE: &str = "";
    let (denied, given_up) = (ErrorClass::ApprovalDenied, ErrorClass::Timeout);
    for (decision, class, is_measured) in [
        (NONE, None, true),
        (NONE, Some(given_up), true),
        (NONE, Some(denied), false),
        ("accept", None, true),
        ("accept", Some(given_up), true),
        ("accept_for_session", None, true),
        ("accept_with_execpolicy_amendment", None, true),
        // A tool of the program, which has no such rule.
        ("accept_with_execpolicy_amendment", Some(denied), false),
        ("decline", Some(denied), false),
        ("decline", None, false),
        ("cancel", Some(denied), false),
        ("timeout", Some(denied), false),
        ("error", Some(denied), false),
        ("unanswered", Some(given_up), false),
    ] {
        let rig = Rig::new();
        let work = |context: CallContext| {
            context.record(names::TOOL_TYPE, "function");
            if decision != NONE {
                context.record(names::APPROVAL_DECISION, decision);
            }
            match class {
                Some(class) => {
                    context.classify(class);
                    Err("no")
                }
                None => Ok(()),
            }
        };
        let _ = rig
            .calls
            .run(Operation::Tool, "rm", CallContext::new(), work);
        rig.calls.ok(Operation::Tool, "ls", 1);
        let receiver = rig.flush();
        let metric = receiver.wait_for_metric("gen_ai.execute_tool.duration");
        let point = metric.point(&[("gen_ai.tool.name", "rm".into())]);
        assert_eq!(point.is_some(), is_measured, "{decision} {class:?}");
        assert_eq!(receiver.spans().len(), 2, "both have spans");
    }
}

#[test]
fn the_wait_for_an_approval_has_a_duration_of_its_own() {
    let rig = Rig::new();
    let work = |context: CallContext| {
        rig.calls.advance(2000);
        context.record(names::APPROVAL_WAIT, 1500.0);
        context.record(names::APPROVAL_DECISION, "decline");
        context.classify(ErrorClass::ApprovalDenied);
        Err("no")
    };
    let context = CallContext::new();
    let declined = rig.calls.run(Operation::Tool, "rm", context, work);
    declined.unwrap_err();
    let (_, point) = histogram(rig.flush(), "codex.approval.duration", "s");
    assert_eq!(point.bounds, TURNS);
    assert_eq!((point.count, point.sum), (1, Some(1.5)));
}

#[test]
fn with_delta_temporality_each_export_has_what_was_added() {
    for temporality in [Temporality::Delta, Temporality::LowMemory] {
        let rig = Rig::with(|config| config.temporality(temporality));
        let _open = rig
            .calls
            .start(Operation::Turn, "x", CallContext::new(), |_| Ok(()));
        let mut ended = 0;
        for count in 1..=3 {
            for _ in 0..count {
                rig.calls.ok(Operation::Tool, "ls", 1000);
            }
            let receiver = rig.flush();
            let metric = receiver.wait_for_metric("gen_ai.execute_tool.duration");
            assert_eq!(metric.temporality, Some(AggregationTemporality::Delta));
            let point = metric.points[0].as_histogram().unwrap();
            assert_eq!(point.count, count);
            assert!(metric.points[0].start_nanos >= ended, "{metric:?}");
            ended = metric.points[0].time_nanos;
            let active = receiver.wait_for_metric("codex.call.active");
            let cumulative = Some(AggregationTemporality::Cumulative);
            assert_eq!(active.temporality, cumulative);
            let turns = [("codex.operation", "codex.turn".into())];
            assert_eq!(active.point(&turns).unwrap().as_int(), Some(1));
        }
    }
}

#[test]
fn histograms_can_have_exponential_buckets() {
    let rig =
        Rig::with(|config| config.histogram_aggregation(HistogramAggregation::Base2Exponential));
    rig.calls.ok(Operation::Tool, "ls", 1000);
    rig.calls.ok(Operation::Tool, "ls", 4000);
    let metric = rig.flush().wait_for_metric("gen_ai.execute_tool.duration");
    assert_eq!(metric.kind, MetricKind::ExponentialHistogram);
    let point = metric.points[0].as_exponential_histogram().unwrap();
    assert_eq!((point.count, point.sum), (2, Some(5.0)));
    assert_eq!((point.min, point.max), (Some(1.0), Some(4.0)));
    assert!(point.counts.len() <= 160, "{point:?}");
    assert!(point.scale > 0, "{point:?}");
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
fn an_operation_whose_calls_have_ended_has_no_active_calls_in_each_export() {
    for temporality in [Temporality::Cumulative, Temporality::Delta] {
        let rig = Rig::with(|config| config.temporality(temporality));
        for operation in [Operation::Tool, Operation::Turn] {
            rig.calls.ok(operation, "x", 1);
            let active = rig.flush().wait_for_metric("codex.call.active");
            let tools = [("codex.operation", "codex.tool".into())];
            assert_eq!(active.point(&tools).unwrap().as_int(), Some(0));
        }
    }
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

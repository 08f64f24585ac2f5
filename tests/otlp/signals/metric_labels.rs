//! The labels of metrics.

use codex_telemetry::{CallContext, ErrorClass, Operation, Originator};

use super::support::Rig;
use crate::receiver::{Attributes, Metric, Value};

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Attributes {
    let pair = |(key, value): (&str, &str)| (key.to_owned(), Value::from(value));
    pairs.map(pair).into()
}

/// Returns the labels of all points of a metric, sorted.
fn all_labels(metric: &Metric) -> Vec<Attributes> {
    let mut all: Vec<_> = metric.points.iter().map(|p| p.attributes.clone()).collect();
    all.sort_by_key(|labels| format!("{labels:?}"));
    all
}

fn fail(rig: &Rig, operation: Operation, name: &'static str, class: ErrorClass) {
    let context = CallContext::new().with_originator(Originator::Cli);
    let work = |context: CallContext| {
        context.classify(class);
        Err("no")
    };
    rig.calls.run(operation, name, context, work).unwrap_err();
}

#[test]
fn turns_have_the_labels_agent_originator_and_error_type() {
    let rig = Rig::new();
    rig.calls.ok(Operation::Turn, "reviewer", 1);
    fail(&rig, Operation::Turn, "reviewer", ErrorClass::RateLimit);
    let metric = rig.flush().wait_for_metric("gen_ai.invoke_agent.duration");
    let expected = [
        labels([
            ("codex.originator", "cli"),
            ("error.type", "rate_limit"),
            ("gen_ai.agent.name", "reviewer"),
        ]),
        labels([("gen_ai.agent.name", "reviewer")]),
    ];
    assert_eq!(all_labels(&metric), expected);
}

#[test]
fn tool_calls_have_the_labels_tool_originator_and_error_type() {
    let rig = Rig::new();
    rig.calls.ok(Operation::Tool, "ls", 1);
    fail(&rig, Operation::Tool, "ls", ErrorClass::ToolFailed);
    let metric = rig.flush().wait_for_metric("gen_ai.execute_tool.duration");
    let expected = [
        labels([
            ("codex.originator", "cli"),
            ("error.type", "tool_failed"),
            ("gen_ai.tool.name", "ls"),
        ]),
        labels([("gen_ai.tool.name", "ls")]),
    ];
    assert_eq!(all_labels(&metric), expected);
}

#[test]
fn cleanups_have_the_labels_originator_and_error_type() {
    let rig = Rig::new();
    fail(&rig, Operation::AttachmentCleanup, "", ErrorClass::Io);
    let name = "codex.attachment.cleanup.duration";
    let metric = rig.flush().wait_for_metric(name);
    let expected = labels([("codex.originator", "cli"), ("error.type", "io")]);
    assert_eq!(all_labels(&metric), [expected]);
}

#[test]
fn the_error_type_is_the_same_on_span_and_metric() {
    let rig = Rig::new();
    for class in [ErrorClass::Timeout, ErrorClass::Custom("out_of_paper")] {
        fail(&rig, Operation::Turn, "x", class);
    }
    let receiver = rig.flush();
    let metric = receiver.wait_for_metric("gen_ai.invoke_agent.duration");
    for span in receiver.spans() {
        let class = span.attributes["error.type"].clone();
        assert!(metric.point(&[("error.type", class)]).is_some(), "{span:?}");
    }
    assert_eq!(metric.points.len(), 2);
}

#[test]
fn unknown_tools_share_a_label_on_metrics_and_keep_their_names_on_spans() {
    let rig = Rig::new();
    fail(&rig, Operation::Tool, "invented", ErrorClass::ToolNotFound);
    fail(&rig, Operation::Tool, "made up", ErrorClass::ToolNotFound);
    let receiver = rig.flush();
    let metric = receiver.wait_for_metric("gen_ai.execute_tool.duration");
    assert_eq!(metric.points.len(), 1);
    assert_eq!(metric.points[0].attributes["gen_ai.tool.name"], "_OTHER");
    assert_eq!(metric.points[0].as_histogram().unwrap().count, 2);
    let names: Vec<_> = receiver.spans().into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["execute_tool invented", "execute_tool made up"]);
}

#[test]
fn metrics_have_no_ids() {
    let rig = Rig::new();
    let operations = [
        Operation::Turn,
        Operation::Tool,
        Operation::AttachmentCleanup,
        Operation::Custom("billing.sync"),
    ];
    for operation in operations {
        let context = CallContext::new()
            .with_thread_id("an-id")
            .with_turn_id("an-id")
            .with_call_id("an-id")
            .with_attempt(7);
        let work = |context: CallContext| {
            context.record("gen_ai.usage.input_tokens", 3);
            context.record("an.id", "an-id");
            context.record_thread_id("an-id");
            context.record_turn_id("an-id");
            Ok(())
        };
        rig.calls.run(operation, "x", context, work).unwrap();
    }
    let receiver = rig.flush();
    let metrics = receiver.metrics();
    assert!(metrics.len() >= 9, "{metrics:#?}");
    for metric in metrics {
        for point in metric.points {
            for (key, value) in &point.attributes {
                assert_ne!(*value, "an-id", "{} {key}", metric.name);
                assert_ne!(*value, 7, "{} {key}", metric.name);
            }
        }
    }
}

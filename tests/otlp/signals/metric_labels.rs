//! The labels of metrics.

use std::collections::BTreeSet;

use codex_telemetry::{CallContext, ErrorClass, Operation, Originator, event::names};

use futures_util::FutureExt as _;

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
fn turns_have_the_labels_agent_model_originator_and_error_type() {
    let rig = Rig::new();
    let work = |context: CallContext| {
        context.record(names::REQUEST_MODEL, "gpt-5.4");
        Ok(())
    };
    let context = CallContext::new();
    rig.calls
        .run(Operation::Turn, "reviewer", context, work)
        .unwrap();
    fail(&rig, Operation::Turn, "reviewer", ErrorClass::RateLimit);
    let metric = rig.flush().wait_for_metric("gen_ai.invoke_agent.duration");
    let expected = [
        labels([
            ("codex.originator", "cli"),
            ("error.type", "rate_limit"),
            ("gen_ai.agent.name", "reviewer"),
            ("gen_ai.operation.name", "invoke_agent"),
        ]),
        labels([
            ("gen_ai.agent.name", "reviewer"),
            ("gen_ai.operation.name", "invoke_agent"),
            ("gen_ai.request.model", "gpt-5.4"),
        ]),
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
fn tool_calls_of_a_turn_have_the_labels_agent_and_type() {
    let rig = Rig::new();
    let work = |turn: CallContext| {
        let tool = turn.open_child(Operation::Tool, Some("ls".into()), None);
        tool.record(names::TOOL_TYPE, "function");
        tool.finish();
        Ok(())
    };
    let context = CallContext::new();
    rig.calls
        .run(Operation::Turn, "reviewer", context, work)
        .unwrap();
    let metric = rig.flush().wait_for_metric("gen_ai.execute_tool.duration");
    let expected = labels([
        ("gen_ai.agent.name", "reviewer"),
        ("gen_ai.tool.name", "ls"),
        ("gen_ai.tool.type", "function"),
    ]);
    assert_eq!(all_labels(&metric), [expected]);
}

#[test]
fn approvals_have_the_label_decision_on_whichever_call_has_it() {
    let rig = Rig::new();
    for (operation, decision) in [
        (Operation::Tool, "accept"),
        (Operation::Tool, "decline"),
        (Operation::Approval, "timeout"),
    ] {
        let work = |context: CallContext| {
            context.record(names::APPROVAL_DECISION, decision);
            Ok(())
        };
        let context = CallContext::new();
        rig.calls.run(operation, "rm", context, work).unwrap();
    }
    let metric = rig.flush().wait_for_metric("codex.approval.duration");
    let expected = ["accept", "decline", "timeout"];
    let expected = expected.map(|decision| labels([("codex.approval.decision", decision)]));
    assert_eq!(all_labels(&metric), expected);
}

#[test]
fn an_error_without_a_class_has_the_error_type_other() {
    let rig = Rig::new();
    let context = CallContext::new();
    let failed = rig.calls.run(Operation::Turn, "x", context, |_| Err("no"));
    failed.unwrap_err();
    fail(&rig, Operation::Turn, "x", ErrorClass::Other);
    let metric = rig.flush().wait_for_metric("gen_ai.invoke_agent.duration");
    for point in metric.points {
        assert_eq!(point.attributes["error.type"], "_OTHER");
    }
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
fn a_tool_has_its_own_series_after_many_calls_that_ended_before_a_lookup() {
    const INVENTED: usize = 3000;
    let rig = Rig::new();
    for number in 0..INVENTED {
        let work = |context: CallContext| {
            let timed_out = number % 3 == 1;
            context.classify(if timed_out {
                ErrorClass::Timeout
            } else {
                ErrorClass::Overloaded
            });
            Err("no")
        };
        let (name, context) = (format!("invented_{number}"), CallContext::new());
        let call = rig.calls.call(Operation::Tool, Some(name), context, work);
        match number % 3 {
            // Cancelled.
            0 => drop(call),
            _ => assert!(call.now_or_never().unwrap().is_err()),
        }
    }
    rig.calls.ok(Operation::Tool, "ls", 1);
    let metric = rig.flush().wait_for_metric("gen_ai.execute_tool.duration");
    let count = |labels: &[(&str, Value)]| {
        let point = metric.point(labels).unwrap_or_else(|| panic!("{metric:?}"));
        point.as_histogram().unwrap().count
    };
    assert_eq!(count(&[("gen_ai.tool.name", "ls".into())]), 1);
    for class in ["cancelled", "timeout", "overloaded"] {
        let labels = [
            ("gen_ai.tool.name", "_OTHER".into()),
            ("error.type", class.into()),
        ];
        assert_eq!(count(&labels), 1000, "{class}");
    }
    assert_eq!(metric.points.len(), 4);
}

#[test]
fn a_tool_that_was_looked_up_keeps_its_name_when_its_call_fails() {
    let rig = Rig::new();
    let work = |context: CallContext| {
        context.record(names::TOOL_TYPE, "function");
        context.classify(ErrorClass::Timeout);
        Err("no")
    };
    let context = CallContext::new();
    rig.calls
        .run(Operation::Tool, "ls", context, work)
        .unwrap_err();
    // Known from the call before, though it was not looked up itself.
    fail(&rig, Operation::Tool, "ls", ErrorClass::Overloaded);
    let metric = rig.flush().wait_for_metric("gen_ai.execute_tool.duration");
    assert_eq!(metric.points.len(), 2);
    for point in metric.points {
        assert_eq!(point.attributes["gen_ai.tool.name"], "ls");
    }
}

#[test]
fn a_label_has_a_limited_number_of_values() {
    const LIMIT: usize = 100;
    let rig = Rig::new();
    for number in 0..3 * LIMIT {
        let name = format!("name_{number}");
        let originator = Originator::named(&name).unwrap();
        let context = CallContext::new().with_originator(originator);
        let work = |context: CallContext| {
            context.record(names::REQUEST_MODEL, name.clone());
            context.record(names::PROVIDER_NAME, name.clone());
            context.record(names::INPUT_TOKENS, 1);
            Ok(())
        };
        let call = rig
            .calls
            .call(Operation::Turn, Some(name.clone()), context, work);
        call.now_or_never().unwrap().unwrap();
    }
    // They are known.
    let context = CallContext::new().with_originator(Originator::Sdk);
    let record = |context: CallContext| {
        context.record(names::INPUT_TOKENS, 1);
        Ok(())
    };
    rig.calls
        .run(Operation::Turn, "name_0", context, record)
        .unwrap();
    let receiver = rig.flush();
    for (metric, labels) in [
        (
            "gen_ai.invoke_agent.duration",
            ["codex.originator", "gen_ai.agent.name"],
        ),
        (
            "gen_ai.client.inference.usage.input_tokens",
            ["gen_ai.request.model", "gen_ai.provider.name"],
        ),
    ] {
        let metric = receiver.wait_for_metric(metric);
        for label in labels {
            let values = metric.points.iter();
            let values: BTreeSet<_> = values
                .filter_map(|point| Some(format!("{:?}", point.attribute(label)?)))
                .collect();
            // A few known values may not have occurred.
            assert!((LIMIT - 2..=LIMIT + 1).contains(&values.len()), "{label}");
            assert!(values.iter().any(|value| value.contains("_OTHER")));
        }
    }
    let metric = receiver.wait_for_metric("gen_ai.invoke_agent.duration");
    let known = [
        ("codex.originator", "sdk".into()),
        ("gen_ai.agent.name", "name_0".into()),
    ];
    assert!(metric.point(&known).is_some(), "{metric:?}");
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

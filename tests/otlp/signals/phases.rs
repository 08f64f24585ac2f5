//! Where the time of turns went: their attributes and the histogram of their phases.

use std::time::Duration;

use codex_telemetry::{
    CallContext, CodexClassifier, CodexRequest as _, ErrorClass, Operation, Originator, Phase,
    RetryPolicy, ServiceBuilderExt as _,
    event::names,
    otlp::config::Limits,
    turn::{CodexExec, Turn, TurnRequest},
};
use tower::{Service, ServiceBuilder, ServiceExt as _};

use super::support::Rig;
use crate::{
    checked::Checked,
    receiver::{Attributes, Metric, Value},
    rig::PATIENCE,
};

/// The name of the histogram.
const PHASES: &str = "codex.turn.phase.duration";

/// A turn with a tool, by a stand-in for Codex.
const TURN: &str = r#"
    run='"id":"i","type":"command_execution","command":"ls","aggregated_output":""'
    echo '{"type":"thread.started","thread_id":"t"}'
    echo '{"type":"turn.started"}'
    echo "{\"type\":\"item.started\",\"item\":{$run,\"status\":\"in_progress\"}}"
    echo "{\"type\":\"item.completed\",\"item\":{$run,\"exit_code\":0,\"status\":\"completed\"}}"
    echo '{"type":"turn.completed","usage":{"input_tokens":3,"output_tokens":2}}'
"#;
/// A turn that the provider refuses.
const REFUSED: &str = r#"
    echo '{"type":"thread.started","thread_id":"t"}'
    echo '{"type":"turn.started"}'
    echo '{"type":"turn.failed","error":{"message":"rate limit exceeded"}}'
    exit 1
"#;

/// Returns the stand-in for Codex, which runs a script.
fn codex(script: &str) -> CodexExec {
    let fake = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/turn/fake-codex");
    CodexExec::builder()
        .codex(fake)
        .env("FAKE_CODEX", script)
        .build()
}

/// Runs a turn to its end.
fn run<S>(turns: S)
where
    S: Service<TurnRequest, Response = Turn>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let turn = turns.oneshot(TurnRequest::new("hello"));
    let turn = async { tokio::time::timeout(PATIENCE, turn).await };
    let _ = runtime.unwrap().block_on(turn).expect("the turn ends");
}

/// Records phases on a call, in milliseconds.
fn record(context: &CallContext, phases: &[(Phase, f64)]) {
    for (phase, millis) in phases {
        context.record(phase.attribute(), *millis);
    }
}

/// Returns how often a phase was measured, and the sum in seconds.
fn measured(metric: &Metric, phase: Phase) -> (u64, f64) {
    let points = metric.points.iter();
    let points = points.filter(|point| point.attributes["codex.phase"] == phase.as_str());
    points.fold((0, 0.0), |(count, sum), point| {
        let histogram = point.as_histogram().unwrap();
        (count + histogram.count, sum + histogram.sum.unwrap())
    })
}

/// Returns the sum of all points of a histogram, in seconds.
fn sum(metric: &Metric) -> f64 {
    let points = metric.points.iter();
    let points = points.map(|point| point.as_histogram().unwrap());
    points.map(|histogram| histogram.sum.unwrap()).sum()
}

/// Returns the sum of the phases in attributes, in milliseconds.
fn sum_of_phases(attributes: &Attributes) -> f64 {
    let phases = Phase::ALL.iter();
    let millis = phases.filter_map(|phase| attributes.get(phase.attribute()));
    millis.map(float).sum()
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Double(number) => *number,
        other => panic!("{other:?} is no float"),
    }
}

#[track_caller]
fn assert_equal(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-6, "{a} and {b}");
}

#[test]
fn each_phase_that_took_time_is_measured_once_for_each_turn() {
    let rig = Rig::new();
    for (model, tools) in [(1500.0, 250.0), (500.0, 0.0)] {
        let work = |context: CallContext| {
            record(&context, &[(Phase::Wait, 0.0), (Phase::Model, model)]);
            record(&context, &[(Phase::Tools, tools)]);
            Ok(())
        };
        let context = CallContext::new();
        rig.calls.run(Operation::Turn, "x", context, work).unwrap();
    }
    let metric = rig.flush().wait_for_metric(PHASES);
    assert_eq!(metric.unit, "s");
    assert_eq!(measured(&metric, Phase::Model), (2, 2.0));
    assert_eq!(measured(&metric, Phase::Tools), (1, 0.25));
    assert_eq!(metric.points.len(), 2, "{metric:?}");
    let bounds = &metric.points[0].as_histogram().unwrap().bounds;
    let from_to = (bounds[0], bounds[bounds.len() - 1]);
    assert_eq!(from_to, (0.01, 655.36));
}

#[test]
fn phases_have_the_labels_agent_originator_and_error_type_and_no_model() {
    let rig = Rig::new();
    let context = CallContext::new().with_originator(Originator::Cli);
    let work = |context: CallContext| {
        context.record(names::REQUEST_MODEL, "gpt-5.4");
        record(&context, &[(Phase::Approval, 5.0)]);
        context.classify(ErrorClass::Timeout);
        Err("no")
    };
    let turn = Operation::Turn;
    rig.calls.run(turn, "reviewer", context, work).unwrap_err();
    let metric = rig.flush().wait_for_metric(PHASES);
    let labels = [
        ("codex.phase", "approval"),
        ("codex.originator", "cli"),
        ("error.type", "timeout"),
        ("gen_ai.agent.name", "reviewer"),
    ];
    let labels = labels.map(|(key, value)| (key.to_owned(), Value::from(value)));
    assert_eq!(metric.points.len(), 1, "{metric:?}");
    assert_eq!(metric.points[0].attributes, labels.into());
}

#[test]
fn the_phases_of_a_turn_add_up_to_its_duration_on_span_log_record_and_metrics() {
    let rig = Rig::new();
    let sink = Checked::over(rig.sink.clone());
    run(ServiceBuilder::new()
        .timing(sink.clone())
        .service(codex(TURN)));
    let receiver = rig.flush();
    let phases = receiver.wait_for_metric(PHASES);
    let turns = receiver.wait_for_metric("gen_ai.invoke_agent.duration");
    assert_equal(sum(&phases), sum(&turns));
    // The turn's are the last.
    let span = receiver.spans().pop().unwrap().attributes;
    let log = receiver.logs().pop().unwrap().attributes;
    for attributes in [span, log] {
        let duration = float(&attributes["codex.duration_ms"]);
        assert_equal(sum_of_phases(&attributes), duration);
        for phase in [Phase::Startup, Phase::Tools] {
            assert!(float(&attributes[phase.attribute()]) > 0.0, "{phase}");
        }
        assert_eq!(attributes.get(Phase::Approval.attribute()), None);
        assert_eq!(attributes.get(names::PHASE), None, "it completed");
    }
}

#[test]
fn a_turn_that_failed_has_the_phase_in_which_it_ended() {
    let rig = Rig::new();
    let sink = Checked::over(rig.sink.clone());
    let turns = ServiceBuilder::new().timing(sink.clone());
    run(turns.error_class(CodexClassifier).service(codex(REFUSED)));
    let receiver = rig.flush();
    let span = receiver.spans().pop().unwrap().attributes;
    assert_eq!(span[names::PHASE], "model");
    assert_eq!(span["error.type"], "rate_limit");
    let phases = receiver.wait_for_metric(PHASES);
    for point in &phases.points {
        assert_eq!(point.attributes["error.type"], "rate_limit");
    }
    assert!(measured(&phases, Phase::Model).1 > 0.0, "{phases:?}");
}

#[test]
fn attributes_of_the_program_do_not_displace_the_phases_of_a_turn() {
    let rig = Rig::new();
    let sink = Checked::over(rig.sink.clone());
    let record = |request: TurnRequest| {
        (0..1000).for_each(|n| request.context().record(format!("key {n}"), n));
        request
    };
    let turns = ServiceBuilder::new().timing(sink.clone());
    run(turns.map_request(record).service(codex(REFUSED)));
    let receiver = rig.flush();
    let span = receiver.spans().pop().unwrap();
    let log = receiver.logs().pop().unwrap().attributes;
    for attributes in [&span.attributes, &log] {
        assert_eq!(attributes.len(), 128);
        let duration = float(&attributes["codex.duration_ms"]);
        assert_equal(sum_of_phases(attributes), duration);
        assert_eq!(attributes[names::PHASE], "model");
        assert_eq!(attributes["key 0"], 0);
    }
    let phases = receiver.wait_for_metric(PHASES);
    let turns = receiver.wait_for_metric("gen_ai.invoke_agent.duration");
    assert_equal(sum(&phases), sum(&turns));
    // Those that the service records after them, such as tokens, are dropped as well.
    let own = span.attributes.keys().filter(|key| key.starts_with("key "));
    let dropped = usize::try_from(span.dropped_attributes).unwrap();
    assert!(dropped >= 1000 - own.count(), "{dropped}");
}

#[test]
fn each_attempt_of_a_retried_turn_and_the_whole_are_counted_and_add_up() {
    let rig = Rig::new();
    let sink = Checked::over(rig.sink.clone());
    let pause = Duration::from_millis(20);
    let policy = RetryPolicy::new().max_attempts(2).backoff(pause, pause);
    run(ServiceBuilder::new()
        .timing(sink.clone())
        .retry(policy)
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service(codex(REFUSED)));
    let receiver = rig.flush();
    let phases = receiver.wait_for_metric(PHASES);
    let turns = receiver.wait_for_metric("gen_ai.invoke_agent.duration");
    assert_equal(sum(&phases), sum(&turns));
    assert_eq!(measured(&phases, Phase::Model).0, 3);
    let (count, pauses) = measured(&phases, Phase::Retry);
    assert_eq!(count, 1, "of the whole");
    assert!(pauses >= 0.01, "{pauses}");
}

#[test]
fn a_limit_of_attributes_leaves_out_the_phases_after_all_others_that_were_recorded() {
    let mut limits = Limits::default();
    limits.spans.attributes.count = 7;
    let rig = Rig::with(|config| config.limits(limits));
    let work = |context: CallContext| {
        (0..9).for_each(|n| context.record(format!("key {n}"), n));
        record(&context, &[(Phase::Wait, 1.0), (Phase::Model, 2.0)]);
        Ok(())
    };
    let context = CallContext::new();
    rig.calls.run(Operation::Turn, "x", context, work).unwrap();
    let span = rig.flush().spans().remove(0);
    // Operation, provider, agent, duration and outcome are the others.
    assert_eq!(sum_of_phases(&span.attributes), 3.0);
    assert_eq!(span.attributes.len(), 7);
    assert_eq!(span.dropped_attributes, 9);
}

#[test]
fn what_is_no_duration_is_not_measured_as_a_phase() {
    let rig = Rig::new();
    let work = |context: CallContext| {
        let phases = [
            (Phase::Wait, f64::NAN),
            (Phase::Startup, -1.0),
            (Phase::Model, f64::INFINITY),
            (Phase::Retry, 5.0),
        ];
        record(&context, &phases);
        context.record(names::PHASE_TOOLS, "long");
        Ok(())
    };
    let context = CallContext::new();
    rig.calls.run(Operation::Turn, "x", context, work).unwrap();
    let metric = rig.flush().wait_for_metric(PHASES);
    assert_eq!(measured(&metric, Phase::Retry), (1, 0.005));
    assert_eq!(metric.points.len(), 1, "{metric:?}");
}

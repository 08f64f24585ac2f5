//! Failed traces that were not sampled, and are exported nevertheless.

use codex_telemetry::{
    CallContext, Clock, Operation,
    otlp::{Signal, Stats, config::Sampler},
};

use super::support::Rig;
use crate::{receiver::Span, rig::PATIENCE};

/// Returns a rig that samples no trace and keeps failures.
fn rig() -> Rig {
    Rig::with(|config| {
        config
            .sampler(Sampler::TraceIdRatio(0.0))
            .keep_failures(true)
    })
}

/// Makes a turn with two tool calls, of which the second fails if `fails`.
fn turn(rig: &Rig, context: CallContext, fails: bool) {
    let tool = Operation::Tool;
    let work = |context: CallContext| {
        rig.calls.run(tool, "good", context.child(), |_| Ok(()))?;
        let result = if fails { Err("no") } else { Ok(()) };
        rig.calls.run(tool, "last", context.child(), |_| result)
    };
    let _ = rig.calls.run(Operation::Turn, "agent", context, work);
}

fn names(spans: &[Span]) -> Vec<&str> {
    let mut names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    names.sort_unstable();
    names
}

const WHOLE: [&str; 3] = [
    "execute_tool good",
    "execute_tool last",
    "invoke_agent agent",
];

fn assert_balanced(stats: Stats) {
    for signal in Signal::ALL {
        let of = stats.of(signal);
        assert_eq!(of.accepted, of.exported + of.failed + of.pending, "{stats}");
    }
}

#[test]
fn a_failed_trace_arrives_whole_and_a_good_one_does_not() {
    let rig = rig();
    turn(&rig, CallContext::new(), false);
    turn(&rig, CallContext::new(), true);
    turn(&rig, CallContext::new(), false);
    let spans = rig.flush().spans();
    assert_eq!(names(&spans), WHOLE);
    for span in &spans {
        assert_eq!(span.trace_id, spans[0].trace_id);
        // What was propagated: the decision of the sampler stands.
        assert_eq!(span.flags & 1, 0);
    }
    let stats = rig.sink.stats();
    assert_eq!((stats.traces.accepted, stats.traces.exported), (3, 3));
    assert_balanced(stats);
}

#[test]
fn by_default_a_trace_that_was_not_sampled_does_not_arrive() {
    let rig = Rig::with(|config| config.sampler(Sampler::AlwaysOff));
    turn(&rig, CallContext::new(), true);
    assert_eq!(rig.flush().spans(), []);
    assert_eq!(rig.sink.stats().traces.accepted, 0);
}

#[test]
fn failures_are_kept_if_traces_are_the_only_signal() {
    let rig = Rig::with(|config| {
        let config = config.signals([Signal::Traces]).keep_failures(true);
        config.sampler(Sampler::AlwaysOff)
    });
    turn(&rig, CallContext::new(), true);
    assert_eq!(names(&rig.flush().spans()), WHOLE);
}

#[test]
fn a_sampled_trace_arrives_once() {
    let rig = Rig::with(|config| config.keep_failures(true));
    turn(&rig, CallContext::new(), true);
    assert_eq!(names(&rig.flush().spans()), WHOLE);
    assert_eq!(rig.sink.stats().traces.accepted, 3);
}

#[test]
fn a_cancelled_call_is_no_failure() {
    let rig = rig();
    drop(
        rig.calls
            .start(Operation::Turn, "x", CallContext::new(), |_| Ok(())),
    );
    assert_eq!(rig.flush().spans(), []);
}

#[test]
fn a_trace_is_decided_when_its_local_root_has_ended() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let context = || CallContext::new().with_traceparent(parent, None);
    let rig = rig();
    let work = |context: CallContext| {
        rig.calls
            .run(Operation::Tool, "x", context.child(), |_| Err("no"))
            .unwrap_err();
        assert_eq!(rig.flush().spans(), [], "the root is open");
        Ok(())
    };
    rig.calls
        .run(Operation::Turn, "first", context(), work)
        .unwrap();
    assert_eq!(
        names(&rig.flush().spans()),
        ["execute_tool x", "invoke_agent first"]
    );

    // Another root in the same trace is decided by itself.
    rig.calls
        .run(Operation::Turn, "second", context(), |_| Ok(()))
        .unwrap();
    assert_eq!(rig.flush().spans().len(), 2);
}

#[test]
fn calls_of_one_trace_on_several_threads_are_one_trace() {
    let rig = rig();
    let layer = codex_telemetry::TimingLayer::with_clock(rig.sink.clone(), Clock::system());
    for _ in 0..50 {
        let work = tower::service_fn(async |call: codex_telemetry::Call<()>| {
            let open = || {
                call.context
                    .open_child(Operation::Tool, Some("x".into()), None)
            };
            let guards: Vec<_> = (0..4).map(|_| open()).collect();
            std::thread::scope(|scope| {
                for (number, guard) in guards.into_iter().enumerate() {
                    scope.spawn(move || match number {
                        0 => guard.fail(codex_telemetry::ErrorClass::Io),
                        _ => guard.finish(),
                    });
                }
            });
            Ok::<_, ()>(())
        });
        let service = tower::Layer::layer(&layer, work);
        let call = codex_telemetry::Call::new(Operation::Turn, ());
        let turn = tower::ServiceExt::oneshot(service, call);
        futures_util::FutureExt::now_or_never(turn)
            .unwrap()
            .unwrap();
    }
    assert_eq!(rig.flush().spans().len(), 50 * 5);
}

#[test]
fn a_shutdown_decides_on_what_a_trace_has() {
    let rig = rig();
    let work = |context: CallContext| {
        rig.calls
            .run(Operation::Tool, "x", context.child(), |_| Err("no"))
            .unwrap_err();
        rig.sink.blocking_shutdown(PATIENCE).unwrap();
        Ok(())
    };
    rig.calls
        .run(Operation::Turn, "late", CallContext::new(), work)
        .unwrap();
    assert_eq!(names(&rig.receiver.spans()), ["execute_tool x"]);
    assert_balanced(rig.sink.stats());
}

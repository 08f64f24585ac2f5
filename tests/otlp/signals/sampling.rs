//! Sampling, which is decided when a call opens.

use codex_telemetry::{
    CallContext, FanOut, Operation, OtlpConfig, OtlpSink, otlp::config::Sampler,
};

use super::support::{Calls, PATIENCE, Rig};

use crate::checked::MemorySink;

fn rig(sampler: Sampler) -> Rig {
    Rig::with(|config| config.sampler(sampler))
}

fn parent(flags: &str) -> CallContext {
    let parent = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
    CallContext::new().with_traceparent(&parent, None)
}

/// What a turn's service is told to hand on, and what a tool's is within it.
fn told(calls: &Calls, context: CallContext) -> [String; 2] {
    let mut told = [String::new(), String::new()];
    let [outer, inner] = &mut told;
    let turn = |context: CallContext| {
        *outer = context.traceparent().unwrap();
        calls.run(Operation::Tool, "x", context.child(), |context| {
            *inner = context.traceparent().unwrap();
            Ok(())
        })
    };
    calls.run(Operation::Turn, "x", context, turn).unwrap();
    told
}

#[test]
fn always_off_exports_no_span_and_says_so_downstream() {
    let rig = rig(Sampler::AlwaysOff);
    for context in [CallContext::new(), parent("01")] {
        for told in told(&rig.calls, context) {
            assert!(told.ends_with("-00"), "{told}");
        }
    }
    let receiver = rig.flush();
    assert_eq!(receiver.spans(), []);
    assert_eq!(rig.sink.stats().traces.accepted, 0);
}

#[test]
fn metrics_and_logs_see_every_call_of_a_trace_that_is_not_sampled() {
    let rig = rig(Sampler::AlwaysOff);
    told(&rig.calls, CallContext::new());
    let receiver = rig.flush();
    assert_eq!(receiver.logs().len(), 4);
    assert!(receiver.logs().iter().all(|log| log.flags == 0));
    for name in [
        "gen_ai.invoke_agent.duration",
        "gen_ai.execute_tool.duration",
    ] {
        let metric = receiver.wait_for_metric(name);
        assert_eq!(metric.points[0].as_histogram().unwrap().count, 1);
    }
}

#[test]
fn a_ratio_decides_the_same_for_parent_and_child() {
    let rig = rig(Sampler::TraceIdRatio(0.5));
    let mut sampled = 0;
    for _ in 0..64 {
        let [outer, inner] = told(&rig.calls, CallContext::new());
        assert_eq!(outer[53..], inner[53..]);
        sampled += usize::from(outer.ends_with("-01"));
    }
    // Both kinds come, but for one try in 2^63.
    assert!((1..64).contains(&sampled));
    let spans = rig.flush().spans();
    assert_eq!(spans.len(), 2 * sampled);
    for span in &spans {
        assert_eq!(span.flags & 1, 1);
        let of_trace = spans.iter().filter(|s| s.trace_id == span.trace_id);
        assert_eq!(of_trace.count(), 2);
    }
}

#[test]
fn a_remote_parent_decides_for_a_sampler_that_asks_it() {
    for sampler in [
        Sampler::ParentBasedAlwaysOn,
        Sampler::ParentBasedAlwaysOff,
        Sampler::ParentBasedTraceIdRatio(0.0),
    ] {
        let rig = rig(sampler);
        for (flags, spans) in [("00", 0), ("01", 2)] {
            for told in told(&rig.calls, parent(flags)) {
                assert!(told.ends_with(&format!("-{flags}")), "{sampler:?} {told}");
            }
            assert_eq!(rig.flush().spans().len(), spans, "{sampler:?} {flags}");
        }
    }
}

#[test]
fn a_remote_parent_does_not_decide_for_a_sampler_that_asks_nobody() {
    let rig = rig(Sampler::AlwaysOn);
    for told in told(&rig.calls, parent("00")) {
        assert!(told.ends_with("-01"), "{told}");
    }
    assert_eq!(rig.flush().spans().len(), 2);
}

#[test]
fn the_sampler_of_the_environment_is_the_sinks() {
    let receiver = crate::receiver::Receiver::http();
    let setup = OtlpConfig::from_variables([
        ("CODEX_OTLP_ENDPOINT", &*receiver.endpoint()),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0"),
    ]);
    let sink = OtlpSink::start(setup.config.unwrap());
    let calls = Calls::new(sink.clone());
    told(&calls, CallContext::new());
    told(&calls, parent("01"));
    sink.shutdown(PATIENCE).unwrap();
    assert_eq!(receiver.spans().len(), 2);
    assert_eq!(receiver.logs().len(), 8);
}

#[test]
fn an_export_beside_another_sink_decides_for_both() {
    let rig = rig(Sampler::AlwaysOff);
    let memory = MemorySink::new();
    let both = FanOut::new().with(memory.clone()).with(rig.sink.clone());
    for told in told(&Calls::new(both), CallContext::new()) {
        assert!(told.ends_with("-00"), "{told}");
    }
    assert_eq!(rig.flush().spans(), []);
    assert_eq!(memory.events().len(), 4);
    assert!(memory.events().iter().all(|event| !event.is_sampled()));
}

#[test]
fn a_sink_that_was_shut_down_decides_no_more() {
    let rig = rig(Sampler::AlwaysOff);
    rig.sink.shutdown(PATIENCE).unwrap();
    let both = FanOut::new().with(MemorySink::new()).with(rig.sink.clone());
    for told in told(&Calls::new(both), CallContext::new()) {
        assert!(told.ends_with("-01"), "{told}");
    }
}

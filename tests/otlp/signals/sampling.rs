//! Sampling, which is decided when a call opens.

use codex_telemetry::{
    CallContext, FanOut, Operation, OtlpConfig, OtlpSink, otlp::config::Sampler,
};

use super::support::{Calls, Rig};
use crate::{checked::MemorySink, rig::PATIENCE};

fn rig(sampler: Sampler) -> Rig {
    Rig::with(|config| config.sampler(sampler))
}

fn parent(flags: &str) -> CallContext {
    let parent = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
    CallContext::new().with_traceparent(&parent, None)
}

fn is_sampled(traceparent: &str) -> bool {
    let flags = u8::from_str_radix(&traceparent[53..], 16).unwrap();
    flags & 1 == 1
}

/// Makes a turn with a tool call in it. Returns the traceparents that their services propagate.
fn traceparents(calls: &Calls, context: CallContext) -> [String; 2] {
    let mut traceparents = [String::new(), String::new()];
    let [outer, inner] = &mut traceparents;
    let turn = |context: CallContext| {
        *outer = context.traceparent().unwrap();
        calls.run(Operation::Tool, "x", context.child(), |context| {
            *inner = context.traceparent().unwrap();
            Ok(())
        })
    };
    calls.run(Operation::Turn, "x", context, turn).unwrap();
    traceparents
}

#[test]
fn always_off_exports_no_span_and_propagates_unsampled() {
    let rig = rig(Sampler::AlwaysOff);
    for context in [CallContext::new(), parent("01")] {
        for traceparent in traceparents(&rig.calls, context) {
            assert!(!is_sampled(&traceparent), "{traceparent}");
        }
    }
    let receiver = rig.flush();
    assert_eq!(receiver.spans(), []);
    assert_eq!(rig.sink.stats().traces.accepted, 0);
}

#[test]
fn metrics_and_logs_include_unsampled_calls() {
    let rig = rig(Sampler::AlwaysOff);
    traceparents(&rig.calls, CallContext::new());
    let receiver = rig.flush();
    assert_eq!(receiver.logs().len(), 4);
    assert!(receiver.logs().iter().all(|log| log.flags & 1 == 0));
    for name in [
        "gen_ai.invoke_agent.duration",
        "gen_ai.execute_tool.duration",
    ] {
        let metric = receiver.wait_for_metric(name);
        assert_eq!(metric.points[0].as_histogram().unwrap().count, 1);
    }
}

#[test]
fn a_ratio_samples_parent_and_child_alike() {
    let rig = rig(Sampler::TraceIdRatio(0.5));
    let mut sampled = 0;
    for _ in 0..64 {
        let [outer, inner] = traceparents(&rig.calls, CallContext::new());
        assert_eq!(outer[53..], inner[53..]);
        sampled += usize::from(is_sampled(&outer));
    }
    // All traces are sampled, or none, with a probability of 2^-63.
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
fn a_parent_based_sampler_follows_a_remote_parent() {
    for sampler in [
        Sampler::ParentBasedAlwaysOn,
        Sampler::ParentBasedAlwaysOff,
        Sampler::ParentBasedTraceIdRatio(0.0),
    ] {
        let rig = rig(sampler);
        for (flags, spans) in [("00", 0), ("01", 2)] {
            for traceparent in traceparents(&rig.calls, parent(flags)) {
                assert!(
                    traceparent.ends_with(&format!("-{flags}")),
                    "{sampler:?} {traceparent}"
                );
            }
            assert_eq!(rig.flush().spans().len(), spans, "{sampler:?} {flags}");
        }
    }
}

#[test]
fn another_sampler_ignores_a_remote_parent() {
    let rig = rig(Sampler::AlwaysOn);
    for traceparent in traceparents(&rig.calls, parent("00")) {
        assert!(is_sampled(&traceparent), "{traceparent}");
    }
    assert_eq!(rig.flush().spans().len(), 2);
}

#[test]
fn the_sink_uses_the_sampler_of_the_environment() {
    let receiver = crate::receiver::Receiver::http();
    let with_warnings = OtlpConfig::from_variables([
        ("CODEX_OTLP_ENDPOINT", &*receiver.endpoint()),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0"),
    ]);
    let sink = OtlpSink::start(with_warnings.config.unwrap());
    let calls = Calls::new(sink.clone());
    traceparents(&calls, CallContext::new());
    traceparents(&calls, parent("01"));
    sink.blocking_shutdown(PATIENCE).unwrap();
    assert_eq!(receiver.spans().len(), 2);
    assert_eq!(receiver.logs().len(), 8);
}

#[test]
fn the_sampler_applies_to_all_sinks_of_a_fan_out() {
    let rig = rig(Sampler::AlwaysOff);
    let memory = MemorySink::new();
    let both = FanOut::new().with(memory.clone()).with(rig.sink.clone());
    for traceparent in traceparents(&Calls::new(both), CallContext::new()) {
        assert!(!is_sampled(&traceparent), "{traceparent}");
    }
    assert_eq!(rig.flush().spans(), []);
    assert_eq!(memory.events().len(), 4);
    assert!(memory.events().iter().all(|event| !event.is_sampled()));
}

#[test]
fn a_sink_that_was_shut_down_does_not_sample() {
    let rig = rig(Sampler::AlwaysOff);
    rig.sink.blocking_shutdown(PATIENCE).unwrap();
    let both = FanOut::new().with(MemorySink::new()).with(rig.sink.clone());
    for traceparent in traceparents(&Calls::new(both), CallContext::new()) {
        assert!(is_sampled(&traceparent), "{traceparent}");
    }
}

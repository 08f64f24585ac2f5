//! `Sink::sample` of the sinks that wrap others.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use codex_telemetry::{CallContext, Event, FanOut, Interest, Outcome, Sink};
use opentelemetry::TraceId;

use crate::support::*;

/// An enabled sink that samples by a fixed decision.
struct Sampler(Option<bool>);

impl Sink for Sampler {
    fn emit(&self, _: Event) {}

    fn sample(&self, _: TraceId, _: Option<bool>) -> Option<bool> {
        self.0
    }
}

/// A disabled sink that would sample every trace.
struct Disabled;

impl Sink for Disabled {
    fn emit(&self, _: Event) {}

    fn interest(&self) -> Interest {
        Interest::NONE
    }

    fn sample(&self, _: TraceId, _: Option<bool>) -> Option<bool> {
        Some(true)
    }
}

const DECISIONS: [Option<bool>; 3] = [None, Some(false), Some(true)];

fn sample(sink: &impl Sink) -> Option<bool> {
    sink.sample(TraceId::from(1), Some(true))
}

#[test]
fn a_sink_makes_no_decision_by_default() {
    assert_eq!(sample(&|_: Event| ()), None);
    assert_eq!(sample(&()), None);
}

#[test]
fn arc_option_and_fan_out_return_the_decision_of_the_inner_sink() {
    for decision in DECISIONS {
        assert_eq!(sample(&Arc::new(Sampler(decision))), decision);
        assert_eq!(sample(&Some(Sampler(decision))), decision);
        assert_eq!(sample(&FanOut::new().with(Sampler(decision))), decision);
    }
    assert_eq!(sample(&None::<Sampler>), None);
    assert_eq!(sample(&FanOut::new()), None);
}

#[test]
fn a_fan_out_samples_if_any_sink_does_and_does_not_if_the_others_have_no_decision() {
    for (a, b, decision) in [
        (None, None, None),
        (None, Some(false), Some(false)),
        (None, Some(true), Some(true)),
        (Some(false), Some(false), Some(false)),
        (Some(false), Some(true), Some(true)),
        (Some(true), Some(true), Some(true)),
    ] {
        for (a, b) in [(a, b), (b, a)] {
            let sink = FanOut::new().with(Sampler(a)).with(Sampler(b));
            assert_eq!(sample(&sink), decision, "{a:?} and {b:?}");
        }
    }
}

#[test]
fn a_fan_out_ignores_the_decision_of_a_disabled_sink() {
    let sink = FanOut::new().with(Disabled).with(Sampler(Some(false)));
    assert_eq!(sample(&sink), Some(false));
}

#[test]
fn wrappers_pass_on_the_trace_id_and_the_decision_of_the_parent() {
    struct Arguments;
    impl Sink for Arguments {
        fn emit(&self, _: Event) {}

        fn sample(&self, trace_id: TraceId, parent_sampled: Option<bool>) -> Option<bool> {
            assert_eq!(trace_id, TraceId::from(7));
            assert_eq!(parent_sampled, Some(false));
            Some(true)
        }
    }

    let sample = |sink: &dyn Sink| sink.sample(TraceId::from(7), Some(false));
    assert_eq!(sample(&Arc::new(Arguments)), Some(true));
    assert_eq!(sample(&Some(Arguments)), Some(true));
    assert_eq!(sample(&FanOut::new().with(Arguments)), Some(true));
}

#[test]
fn the_decision_is_in_the_traceparent_and_does_not_affect_events() {
    for (decision, parent, flags) in [
        (None, None, "-03"),
        (Some(false), None, "-02"),
        (Some(true), None, "-03"),
        (None, Some(UNSAMPLED_PARENT), "-00"),
        (Some(true), Some(UNSAMPLED_PARENT), "-01"),
        (None, Some(PARENT), "-01"),
        (Some(false), Some(PARENT), "-00"),
    ] {
        let events = Arc::new(AtomicUsize::new(0));
        let count = {
            let events = Arc::clone(&events);
            move |_: Event| {
                events.fetch_add(1, Relaxed);
            }
        };
        let harness = Harness::new(FanOut::new().with(Arc::new(Sampler(decision))).with(count));
        let context = CallContext::new();
        let context = match parent {
            Some(parent) => context.with_traceparent(parent, None),
            None => context,
        };
        harness.call(turn().with_context(context), Outcome::Ok, |context| {
            let traceparent = context.traceparent().expect("the call is open");
            assert!(traceparent.ends_with(flags), "{traceparent}");
        });
        assert_eq!(events.load(Relaxed), 2);
    }
}

const UNSAMPLED_PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

use std::sync::Arc;

use opentelemetry::{KeyValue, metrics::Meter};

use super::{shared::Shared, stats::SignalStats};
use crate::otlp::{config::Signal, convert::names};

/// Exports the counters of the sink as metrics.
pub(crate) fn observe(meter: &Meter, shared: &Arc<Shared>) {
    type Count = fn(SignalStats) -> u64;
    let counters: [(_, _, Count); 4] = [
        (
            names::ACCEPTED,
            "Records that the queue accepted.",
            |stats| stats.accepted,
        ),
        (
            names::EXPORTED,
            "Records that the receiver accepted.",
            |stats| stats.exported,
        ),
        (
            names::FAILED,
            "Records that could not be delivered.",
            |stats| stats.failed,
        ),
        (
            names::DROPPED,
            "Records that were dropped because the queue was full.",
            |stats| stats.dropped,
        ),
    ];
    for (name, description, count) in counters {
        let shared = Arc::clone(shared);
        meter
            .u64_observable_counter(name)
            .with_unit("{record}")
            .with_description(description)
            .with_callback(move |observer| {
                let stats = shared.stats();
                for signal in Signal::ALL {
                    if shared.counters(signal).is_enabled() {
                        let label = KeyValue::new(names::SIGNAL, signal.as_str());
                        observer.observe(count(stats.of(signal)), &[label]);
                    }
                }
            })
            .build();
    }
}

//! The time that codex-telemetry's layers add to a call, compared to other middleware.
//!
//! ```sh
//! cargo bench --manifest-path benches/peers/Cargo.toml
//! ```
//!
//! Each middleware wraps a trivial service that is always ready. One thread calls it, without a runtime.
//! HTTP middleware wraps an HTTP service and the rest wraps a service of this crate's requests, so compare
//! what each adds to its own bare service. The measured time includes dropping the response, where some
//! middleware ends its span, but not building the request.
//!
//! Calls are made in bursts. After each burst, outside of the measured time, everything is exported, so no
//! queue overflows. The exporters only count. Export threads work on other cores during a burst, as in an
//! application. In the end the benchmark prints the record counts, and fails if a record was dropped.
//!
//! All peers are the latest versions, and use the same opentelemetry, 0.33.

mod by_hand;
#[path = "../../support/counting.rs"]
mod counting;
#[path = "../../support/discard.rs"]
mod discard;
mod fastrace_peer;
mod http_metrics;
mod http_peers;
mod ours;
mod peers;
mod record_counts;
#[path = "../../support/report.rs"]
mod report;
mod sdk;
mod services;
#[path = "../../support/stack.rs"]
mod stack;

use std::time::Duration;

use criterion::Criterion;

use crate::{peers::Peers, record_counts::RecordCounts};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .sample_size(20)
        .nresamples(2_000)
        .configure_from_args();
    let mut counts = RecordCounts::default();
    let mut peers = Peers::new(&mut criterion);

    peers.bare();
    ours::run(&mut peers, &mut counts);
    by_hand::run(&mut peers, &mut counts);
    fastrace_peer::run(&mut peers, &mut counts);
    http_metrics::run(&mut peers, &mut counts);
    // Last, because it sets a global subscriber.
    http_peers::run(&mut peers, &mut counts);

    drop(peers);
    criterion.final_summary();
    counts.finish();
}

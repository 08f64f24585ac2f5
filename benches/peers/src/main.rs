//! What codex-telemetry's layers add to a call, beside what other middleware adds.
//!
//! ```sh
//! cargo bench --manifest-path benches/peers/Cargo.toml
//! ```
//!
//! Each is put around a trivial service that is always ready, and called on one thread, without a
//! runtime. Middleware for HTTP stands on a bare HTTP service, the rest on a bare one of ours: compare
//! what each adds to its own. Requests are built outside of the measured time, and dropping the response
//! is inside: some end their span there.
//!
//! Calls come in bursts, and between them, outside of the measured time, everything is exported; so no
//! queue overflows, whoever is slow. Exporters count and do nothing else. Export threads work during a
//! burst, on the machine's other cores, as they would in an application. The books are printed at the
//! end, and a run that lost anything fails.
//!
//! The peers are the newest there are, and all of them are built on the same opentelemetry, 0.33.

mod books;
mod burst;
mod by_hand;
#[path = "../../support/counting.rs"]
mod counting;
mod http_peers;
mod ours;
#[path = "../../support/report.rs"]
mod report;
mod sdk;
mod services;

use std::time::Duration;

use criterion::Criterion;

use crate::{books::Books, burst::Peers};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30)
        .configure_from_args();
    let mut books = Books::default();
    let mut peers = Peers::new(&mut criterion);

    peers.bare();
    ours::run(&mut peers, &mut books);
    by_hand::run(&mut peers, &mut books);
    // Last, because from its third rung on the process has a global subscriber.
    http_peers::run(&mut peers, &mut books);

    drop(peers);
    criterion.final_summary();
    books.close();
}

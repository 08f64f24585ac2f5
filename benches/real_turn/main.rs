//! The wall time of a turn of the real Codex through the three layers with OTLP over loopback, compared
//! to the same `codex exec` without this crate.
//!
//! ```sh
//! scripts/fetch-codex
//! cargo bench --bench real_turn
//! ```
//!
//! Both use the same model server on loopback, which makes the agent run one command and finish. The two
//! run in pairs, in alternating order. The result is the median of the pairs' ratios, so slow changes of
//! the machine cancel out. Without the real Codex, the benchmark prints one line and measures nothing.
#![allow(clippy::unwrap_used, reason = "an error ends the benchmark")]

#[path = "../../tests/real_codex/binary.rs"]
mod binary;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/real_codex/gate.rs"]
mod gate;
mod harness;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/real_codex/model.rs"]
mod model;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/real_codex/reply.rs"]
mod reply;
#[path = "../support/report.rs"]
mod report;

use std::time::{Duration, Instant};

use harness::Harness;
use report::Report;

const PAIRS: usize = 20;

fn main() {
    let Some(codex) = binary::codex() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let harness = Harness::new(codex);
    let pairs = if report::is_smoke() { 1 } else { PAIRS };
    let (mut plain, mut full) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        // Warm-up: Codex sets up its home directory, and the system caches the binary.
        harness.plain().await;
        harness.full().await;
        for pair in 0..pairs {
            if pair % 2 == 0 {
                plain.push(timed(harness.plain()).await);
                full.push(timed(harness.full()).await);
            } else {
                full.push(timed(harness.full()).await);
                plain.push(timed(harness.plain()).await);
            }
        }
    });
    harness.check_stats(pairs as u64 + 1);

    let ratios = plain.iter().zip(&full);
    let mut ratios: Vec<f64> = ratios
        .map(|(plain, full)| full.as_secs_f64() / plain.as_secs_f64())
        .collect();
    let millis = |times: &[Duration]| {
        let mut times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        report::quartiles(&mut times)
    };
    let mut report = Report::new("real_turn", "A turn of the real Codex, with one command");
    for (name, [low, median, high], unit) in [
        ("plain `codex exec`", millis(&plain), "ms"),
        ("three layers and OTLP", millis(&full), "ms"),
        ("ratio of each pair", report::quartiles(&mut ratios), "×"),
    ] {
        report.cell(name, "median", median, unit);
        report.cell(name, "lower quartile", low, unit);
        report.cell(name, "upper quartile", high, unit);
    }
    report.write();
}

async fn timed(turn: impl Future<Output = ()>) -> Duration {
    let start = Instant::now();
    turn.await;
    start.elapsed()
}

//! The wall time of a turn of the real Codex: by `codex exec` and by `codex app-server`, each through the three
//! layers with OTLP over loopback, and by hand without this crate.
//!
//! ```sh
//! scripts/fetch-codex
//! cargo bench --bench real_turn
//! ```
//!
//! All use the same model server on loopback, which makes the agent run one command and finish. The ways run in
//! rounds, in alternating order. A ratio is taken within each round, and the result is the median of the ratios,
//! so slow changes of the machine cancel out. Without the real Codex, the benchmark prints one line and measures
//! nothing.
#![allow(clippy::unwrap_used, reason = "an error ends the benchmark")]

mod bare;
#[path = "../../tests/real_codex/binary.rs"]
mod binary;
mod harness;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/real_codex/model.rs"]
mod model;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/real_codex/reply.rs"]
mod reply;
#[path = "../support/report.rs"]
mod report;
mod server;

use std::time::{Duration, Instant};

use harness::Harness;
use report::Report;
use server::Servers;

const ROUNDS: usize = 20;

/// How many turns of a server a round has for one turn by `exec`: they are shorter.
const LATER_TURNS: usize = 5;

/// How many turns run at once, and how long the model takes for each.
const CROWD: (usize, Duration) = (100, Duration::from_secs(1));

/// As [`CROWD`], in a smoke run.
const SMALL_CROWD: (usize, Duration) = (3, Duration::from_millis(10));

/// How often a turn of the crowd runs alone.
const ALONE: usize = 5;

/// The times of one round.
#[derive(Default)]
struct Round {
    plain: Duration,
    full: Duration,
    /// Later turns by the minimal client.
    bare: Vec<Duration>,
}

fn main() {
    let Some(codex) = binary::codex() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let harness = Harness::new(codex);
    let (rounds, (crowd, model_time)) = if report::is_smoke() {
        (1, SMALL_CROWD)
    } else {
        (ROUNDS, CROWD)
    };
    let mut times = Vec::new();
    let (mut alone, mut together) = (Duration::ZERO, Duration::ZERO);
    runtime.block_on(async {
        // Warm-up: Codex sets up its home directory, and the system caches the binary.
        harness.plain().await;
        harness.full().await;
        let servers = Servers::start(&harness).await;
        for round in 0..rounds {
            times.push(run_round(&harness, &servers, round % 2 == 0).await);
        }
        for _ in 0..ALONE {
            alone = alone.max(servers.bare_crowd(1, model_time).await);
        }
        together = servers.bare_crowd(crowd, model_time).await;
        servers.end().await;
    });
    harness.check_stats(rounds as u64 + 1);
    report_exec(&times);
    report_server(&times, crowd, alone, together);
}

async fn run_round(harness: &Harness, servers: &Servers<'_>, forward: bool) -> Round {
    let mut round = Round::default();
    if forward {
        round.plain = timed(harness.plain()).await;
        round.full = timed(harness.full()).await;
    }
    for _ in 0..LATER_TURNS {
        round.bare.push(timed(servers.bare()).await);
    }
    if !forward {
        round.full = timed(harness.full()).await;
        round.plain = timed(harness.plain()).await;
    }
    round
}

/// Writes the table of the turns by `codex exec`.
fn report_exec(rounds: &[Round]) {
    let mut report = Report::new("real_turn", "A turn of the real Codex, with one command");
    let ratio = |round: &Round| round.full.as_secs_f64() / round.plain.as_secs_f64();
    for (name, mut values, unit) in [
        (
            "plain `codex exec`",
            millis(rounds, |round| vec![round.plain]),
            "ms",
        ),
        (
            "three layers and OTLP",
            millis(rounds, |round| vec![round.full]),
            "ms",
        ),
        (
            "ratio of each pair",
            rounds.iter().map(ratio).collect(),
            "×",
        ),
    ] {
        let [low, median, high] = report::quartiles(&mut values);
        report.cell(name, "median", median, unit);
        report.cell(name, "lower quartile", low, unit);
        report.cell(name, "upper quartile", high, unit);
    }
    report.write();
}

/// Writes the table of the turns by `codex app-server`.
fn report_server(rounds: &[Round], crowd: usize, alone: Duration, together: Duration) {
    let title = "A later turn of the same thread by `codex app-server`, with one command";
    let mut report = Report::new("server_turn", title);
    let exec_over_bare = rounds.iter().map(|round| {
        let mut bare: Vec<_> = round.bare.iter().map(Duration::as_secs_f64).collect();
        let [_, median, _] = report::quartiles(&mut bare);
        round.plain.as_secs_f64() / median
    });
    // The worst time is the longest, and the worst ratio is the one that favours the server least.
    let bare = millis(rounds, |round| round.bare.clone());
    let exec_over_bare: Vec<_> = exec_over_bare.collect();
    for (name, mut values, worst, unit) in [
        ("bare JSON-RPC", bare, f64::max as fn(f64, f64) -> f64, "ms"),
        (
            "plain `codex exec` over bare JSON-RPC, each round",
            exec_over_bare,
            f64::min,
            "×",
        ),
    ] {
        let [_, median, _] = report::quartiles(&mut values);
        report.cell(name, "median", median, unit);
        report.cell(
            name,
            "worst",
            values.into_iter().reduce(worst).unwrap(),
            unit,
        );
    }
    let ratio = together.as_secs_f64() / alone.as_secs_f64();
    let name = format!(
        "{crowd} turns on {crowd} threads at once over the slowest single one, bare JSON-RPC"
    );
    report.cell(&name, "median", ratio, "×");
    report.write();
}

/// Returns times of all rounds in milliseconds.
fn millis(rounds: &[Round], get: impl Fn(&Round) -> Vec<Duration>) -> Vec<f64> {
    let times = rounds.iter().flat_map(get);
    times.map(|time| time.as_secs_f64() * 1e3).collect()
}

async fn timed<T>(turn: impl Future<Output = T>) -> Duration {
    let start = Instant::now();
    turn.await;
    start.elapsed()
}

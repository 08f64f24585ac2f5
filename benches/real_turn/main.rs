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
//!
//! With a number of turns it runs so many through one handle instead, and prints what they leave:
//!
//! ```sh
//! MALLOC_ARENA_MAX=1 cargo bench --bench real_turn -- --turns 10000
//! ```
#![allow(clippy::unwrap_used, reason = "an error ends the benchmark")]

mod bare;
#[path = "../../tests/real_codex/binary.rs"]
mod binary;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/real_codex/gate.rs"]
mod gate;
mod harness;
mod many;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/real_codex/model.rs"]
mod model;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/real_codex/reply.rs"]
mod reply;
#[path = "../support/report.rs"]
mod report;
mod server;

use std::{
    slice::from_ref,
    time::{Duration, Instant},
};

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
    /// `codex exec` by hand.
    plain: Duration,
    /// `codex exec` through the layers.
    full: Duration,
    /// Later turns by the minimal client.
    bare: Vec<Duration>,
    /// Later turns through the layers.
    layered: Vec<Duration>,
    /// `codex exec` by hand, and later turns through the layers, without a command.
    plain_message: Duration,
    layered_messages: Vec<Duration>,
}

/// The times of turns at once, and of the slowest one of some that ran alone.
struct Crowd {
    alone: Duration,
    together: Duration,
}

fn main() {
    let Some(codex) = binary::codex() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let harness = Harness::new(codex);
    if let Some(turns) = many::turns() {
        return runtime.block_on(many::run(&harness, turns));
    }
    let (rounds, (count, model_time)) = if report::is_smoke() {
        (1, SMALL_CROWD)
    } else {
        (ROUNDS, CROWD)
    };
    let mut times = Vec::new();
    let mut bare = Crowd::new();
    let mut layered = Crowd::new();
    runtime.block_on(async {
        // Warm-up: Codex sets up its home directory, and the system caches the binary.
        harness.plain().await;
        harness.full().await;
        let servers = Servers::start(&harness).await;
        for round in 0..rounds {
            times.push(run_round(&harness, &servers, round % 2 == 0).await);
        }
        for _ in 0..ALONE {
            bare.alone = bare.alone.max(servers.bare_crowd(1, model_time).await);
            layered.alone = layered
                .alone
                .max(servers.layered_crowd(1, model_time).await);
        }
        bare.together = servers.bare_crowd(count, model_time).await;
        layered.together = servers.layered_crowd(count, model_time).await;
        servers.end().await;
    });
    // A turn by `exec` is a span and has one of its command; in a server it has one of each response, too.
    let later = 4 * (1 + rounds * LATER_TURNS) + 2 * rounds * LATER_TURNS;
    let spans = 2 * (1 + rounds) + later + 2 * (ALONE + count);
    harness.check_stats(spans as u64);
    report_exec(&times);
    report_server(&times, count, &bare, &layered);
}

async fn run_round(harness: &Harness, servers: &Servers<'_>, is_even: bool) -> Round {
    let mut round = Round::default();
    if is_even {
        round.plain = timed(harness.plain()).await;
        round.full = timed(harness.full()).await;
    } else {
        round.full = timed(harness.full()).await;
        round.plain = timed(harness.plain()).await;
    }
    for turn in 0..LATER_TURNS {
        if is_even == (turn % 2 == 0) {
            round.bare.push(timed(servers.bare()).await);
            round.layered.push(timed(servers.layered()).await);
        } else {
            round.layered.push(timed(servers.layered()).await);
            round.bare.push(timed(servers.bare()).await);
        }
    }
    round.plain_message = timed(harness.plain_without_command()).await;
    for _ in 0..LATER_TURNS {
        let turn = timed(servers.layered_without_command()).await;
        round.layered_messages.push(turn);
    }
    round
}

/// Writes the table of the turns by `codex exec`.
fn report_exec(rounds: &[Round]) {
    let mut report = Report::new("real_turn", "A turn of the real Codex, with one command");
    let ratio = |round: &Round| over(round.full, round.plain);
    let ratios = rounds.iter().map(ratio).collect();
    for (name, mut values, unit) in [
        (
            "plain `codex exec`",
            times(rounds, |round| from_ref(&round.plain)),
            "ms",
        ),
        (
            "three layers and OTLP",
            times(rounds, |round| from_ref(&round.full)),
            "ms",
        ),
        ("ratio of each pair", ratios, "×"),
    ] {
        let [low, median, high] = report::quartiles(&mut values);
        report.cell(name, "median", median, unit);
        report.cell(name, "lower quartile", low, unit);
        report.cell(name, "upper quartile", high, unit);
    }
    report.write();
}

/// Writes the table of the turns by `codex app-server`.
fn report_server(rounds: &[Round], count: usize, bare: &Crowd, layered: &Crowd) {
    let title = "A later turn of a thread by `codex app-server`, with one command";
    let mut report = Report::new("server_turn", title);
    let pairs = rounds
        .iter()
        .flat_map(|round| round.layered.iter().zip(&round.bare));
    let pairs = pairs.map(|(layered, bare)| over(*layered, *bare)).collect();
    // Whole rounds: a later turn is shorter than a turn by `exec`, so there are more of them.
    let over_exec = |later: fn(&Round) -> &[Duration], exec: fn(&Round) -> Duration| {
        let ratio = |round| over(median(later(round)), exec(round));
        rounds.iter().map(ratio).collect()
    };
    let bare_exec = over_exec(|round| &round.bare, |round| round.plain);
    let layered_exec = over_exec(|round| &round.layered, |round| round.full);
    let message_exec = over_exec(|round| &round.layered_messages, |round| round.plain_message);
    for (name, mut values, unit) in [
        ("bare JSON-RPC", times(rounds, |round| &round.bare), "ms"),
        (
            "three layers and OTLP",
            times(rounds, |round| &round.layered),
            "ms",
        ),
        ("ratio of each pair", pairs, "×"),
        ("over a turn by `codex exec`, by hand", bare_exec, "×"),
        (
            "over a turn by `codex exec`, three layers and OTLP",
            layered_exec,
            "×",
        ),
        (
            "a turn without a command, three layers and OTLP",
            times(rounds, |round| &round.layered_messages),
            "ms",
        ),
        (
            "over a turn by `codex exec`, without a command",
            message_exec,
            "×",
        ),
    ] {
        let [_, median, _] = report::quartiles(&mut values);
        report.cell(name, "median", median, unit);
        let worst = values.into_iter().reduce(f64::max).unwrap();
        report.cell(name, "worst", worst, unit);
    }
    for (way, crowd) in [("bare JSON-RPC", bare), ("three layers and OTLP", layered)] {
        let name = format!("{count} turns at once over the slowest single one, {way}");
        report.cell(&name, "median", over(crowd.together, crowd.alone), "×");
    }
    report.write();
}

/// Returns times of all rounds in milliseconds.
fn times(rounds: &[Round], get: fn(&Round) -> &[Duration]) -> Vec<f64> {
    let times = rounds.iter().flat_map(get);
    times.map(|time| time.as_secs_f64() * 1e3).collect()
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

fn over(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

async fn timed<T>(turn: impl Future<Output = T>) -> Duration {
    let start = Instant::now();
    turn.await;
    start.elapsed()
}

// === impl Crowd ===

impl Crowd {
    const fn new() -> Self {
        Self {
            alone: Duration::ZERO,
            together: Duration::ZERO,
        }
    }
}

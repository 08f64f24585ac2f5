//! The reference program under load, while everything around it fails at random, and the program itself.
//!
//! Real HTTP clients run turns, upload files, answer questions or not, send nonsense and go away. Meanwhile the
//! collector fails, hangs and restarts, the Codex server is killed and stopped, and the program is killed and started
//! again on the same state. Then the load ends, and the last life drains after SIGTERM.
//!
//! | module | |
//! |---|---|
//! | `load` | the lives of the program under load |
//! | `client`, `turn`, `session` | the clients; `ledger` is what they have seen |
//! | `codex`, `collector` | the chaos around the program |
//! | `last_life` | what must hold when the load has ended, and the drain |
//! | `events`, `turns`, `state`, `processes` | what must hold in the end |
//!
//! `CODEX_TELEMETRY_CHAOS_SECONDS` sets how long the load takes (default: 15), and `CODEX_TELEMETRY_CHAOS_SEED` repeats
//! one; the scheduling still differs.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not reach their helpers"
)]

mod callers;
#[path = "../support/checked/mod.rs"]
mod checked;
mod client;
mod codex;
#[path = "../soak/chaos.rs"]
mod collector;
mod events;
mod last_life;
mod ledger;
mod load;
mod processes;
mod program;
#[path = "../otlp/receiver/mod.rs"]
mod receiver;
mod report;
mod session;
mod sse;
mod state;
mod torn_line;
mod turn;
mod turns;

use std::{
    env,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use ledger::Ledger;
use program::Setup;
use receiver::Receiver;
use report::Report;

/// A time limit that nothing reaches, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn no_failure_of_anything_around_the_program_nor_of_itself_loses_a_call_a_turn_a_process_or_a_file()
{
    let number = |name| -> Option<u64> { env::var(name).ok().map(|text| text.parse().unwrap()) };
    let seed =
        number("CODEX_TELEMETRY_CHAOS_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let seconds = number("CODEX_TELEMETRY_CHAOS_SECONDS").unwrap_or(15);
    println!("CODEX_TELEMETRY_CHAOS_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let started = Instant::now();

    let receiver = Arc::new(Receiver::http());
    let setup = Setup::new(receiver.endpoint());
    let ledger = Arc::new(Ledger::default());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();

    let load = load::run(
        &setup,
        &receiver,
        &ledger,
        &mut rng,
        Duration::from_secs(seconds),
    );
    let logs = || setup.logs(load.lives.len() + 1);
    let faults = std::mem::take(&mut ledger.lock().faults);
    assert!(
        faults.is_empty(),
        "{} faults:\n{}\n{}",
        faults.len(),
        faults.join("\n"),
        logs()
    );

    let last = runtime.block_on(last_life::check(&setup, &ledger, &load));
    let faults = std::mem::take(&mut ledger.lock().faults);
    assert!(faults.is_empty(), "{faults:#?}\n{}", logs());
    let (exit, part) = last_life::drain(&setup, &ledger, load.program, load.begin, &runtime);
    assert_eq!(exit, Some(3), "turns were interrupted\n{}", logs());
    let logs = logs();
    assert!(!logs.contains("panicked"), "{logs}");

    let mut lives = load.lives;
    lives.push(part);
    let events: Vec<_> = lives
        .iter()
        .enumerate()
        .map(|(number, part)| {
            let is_killed = number + 1 < lives.len();
            events::Events::read(&setup.events(), part, number, is_killed)
        })
        .collect();
    turns::check_lost(&last.turns, &events);
    last.check_export(&receiver, &events);
    state::check_files(&setup);
    let uploads = runtime.block_on(state::sweep(&setup));

    let report = Report {
        took: started.elapsed(),
        ledger: &ledger,
        turns: &last.turns,
        events: &events,
        receiver: &receiver,
        codex: load.codex,
        stats: &last.stats,
        usage: last.usage,
        resumed: last.resumed,
        uploads,
    };
    println!("{report}");
}

//! A soak test: 10,000 tool calls and 200 turns at once, with callers that cancel at random, tools that
//! fail and a collector that comes and goes. In the end every call has ended once, the counters of the
//! OTLP sink add up, and no process, zombie, descriptor, thread or temporary file is left.
//!
//! Before that, [50 calls at once](host_calls) come from a Codex, with results of 10 MB.
//!
//! The turns are those of a fake Codex. A round also has eight turns of the real Codex, one of each
//! [kind](real_turns::Kind), if `tests/real_codex` would find its binary; otherwise one line says so.
//!
//! The test checks the whole process, so its binary has no other test. `CODEX_TELEMETRY_SOAK_SECONDS`
//! sets the minimum duration. `CODEX_TELEMETRY_SOAK_SEED` repeats a load; the scheduling of the threads
//! still differs.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not reach their helpers"
)]

#[path = "../real_codex/binary.rs"]
mod binary;
mod calls;
mod chaos;
#[path = "../support/checked/mod.rs"]
mod checked;
mod counter;
#[expect(dead_code, reason = "tests/real_codex uses more of it")]
#[path = "../real_codex/gate.rs"]
mod gate;
mod host_calls;
#[path = "../real_codex/isolated.rs"]
mod isolated;
#[expect(dead_code, reason = "tests/real_codex uses more of it")]
#[path = "../real_codex/model.rs"]
mod model;
#[expect(dead_code, reason = "tests/real_codex uses more of it")]
#[path = "../real_codex/processes.rs"]
mod processes;
mod real_turns;
#[path = "../otlp/receiver/mod.rs"]
mod receiver;
#[expect(dead_code, reason = "tests/real_codex uses more of it")]
#[path = "../real_codex/reply.rs"]
mod reply;
mod report;
mod resources;
mod round;
mod stand_in;
mod tools;
mod turns;

use std::{
    env,
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use real_turns::RealTurns;
use report::Totals;
use resources::Resources;
use round::Load;

/// Returns the number of bytes by which the resident memory may grow after the first round.
///
/// Each round starts new threads, and the arenas that glibc gives to them add up to about 200 MiB.
/// With `MALLOC_ARENA_MAX=1` there is only one arena.
fn max_growth() -> u64 {
    match env::var("MALLOC_ARENA_MAX").as_deref() {
        Ok("1") => 64 << 20,
        _ => 512 << 20,
    }
}

#[test]
fn under_load_every_call_ends_once_the_counters_add_up_and_nothing_leaks() {
    if stand_in::is_this() {
        return stand_in::serve();
    }
    let number = |name| -> Option<u64> { env::var(name).ok().map(|text| text.parse().unwrap()) };
    let seed =
        number("CODEX_TELEMETRY_SOAK_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let seconds = number("CODEX_TELEMETRY_SOAK_SECONDS").unwrap_or(0);
    println!("CODEX_TELEMETRY_SOAK_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);

    // Opens what the process opens only once.
    round::run(&Load::small(), &mut rng);
    let before = Resources::now();
    // Once: a debug build takes seconds for lines of 10 MB.
    println!("{}", host_calls::run());
    before.check();
    let mut first_resident = None;
    let mut totals = Totals::default();
    let started = Instant::now();
    for number in 1.. {
        let [first, second] = RealTurns::two_halves(&mut rng);
        // A queue with room for all events, and one with room for few.
        for load in [Load::full(1 << 18, first), Load::full(64, second)] {
            let report = round::run(&load, &mut rng);
            before.check();
            totals.add(&report.totals);
            let now = resources::resident_memory();
            println!("round {number}: {} MiB, {report}", now >> 20);
            let first = *first_resident.get_or_insert(now);
            assert!(now < first + max_growth(), "from {first} to {now} bytes");
        }
        if started.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
    }
    println!(
        "total: {} loads in {:.0?}; {totals}; left: no process, zombie, descriptor, thread or temporary file",
        totals.loads,
        started.elapsed()
    );
}

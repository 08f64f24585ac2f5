//! Ten thousand tool calls and two hundred turns at once, dropped and aborted at random, with tools that
//! fail and a collector that comes and goes: at the end every call has ended once, the books add up, and
//! nothing is left behind.
//!
//! It looks at the whole process, so it is the only test of its binary. `CODEX_TELEMETRY_SOAK_SECONDS`
//! makes it go on for so long; `CODEX_TELEMETRY_SOAK_SEED` makes it draw the same again. The threads'
//! timing is not drawn, so the same seed is the same load and not the same run.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not reach their helpers"
)]

mod calls;
#[path = "../support/checked/mod.rs"]
mod checked;
mod collector;
mod process;
#[path = "../otlp/receiver/mod.rs"]
mod receiver;
mod round;
mod tally;
mod tools;
mod turns;

use std::{
    env,
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use round::Load;

/// What this process may grow by from its first round to any later one.
///
/// The arenas of glibc alone come to some 200 MiB, as each round's threads share them out anew. With
/// `MALLOC_ARENA_MAX=1` there is nothing to share out.
fn growth() -> u64 {
    match env::var("MALLOC_ARENA_MAX").as_deref() {
        Ok("1") => 64 << 20,
        _ => 512 << 20,
    }
}

#[test]
fn under_load_every_call_ends_once_the_books_add_up_and_nothing_is_left() {
    let number = |name| -> Option<u64> { env::var(name).ok().map(|text| text.parse().unwrap()) };
    let seed =
        number("CODEX_TELEMETRY_SOAK_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let seconds = number("CODEX_TELEMETRY_SOAK_SECONDS").unwrap_or(0);
    println!("CODEX_TELEMETRY_SOAK_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);

    // What a process opens once and keeps is open after this.
    round::run(&Load::small(), &mut rng);
    let before = process::Holdings::now();
    let mut resident = None;
    let started = Instant::now();
    for number in 1.. {
        // A queue in which all find room, and one in which few do.
        for load in [Load::full(1 << 18), Load::full(64)] {
            let report = round::run(&load, &mut rng);
            before.check();
            let now = process::resident();
            println!("round {number}: {} MiB, {report}", now >> 20);
            let first = *resident.get_or_insert(now);
            assert!(now < first + growth(), "grown from {first} to {now} bytes");
        }
        if started.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
    }
}

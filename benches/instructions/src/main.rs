//! Counts the instructions that a call executes on its thread, for each rung, and compares them with the pins in
//! `pins.txt`. It is no timed test: callgrind simulates the processor, so a busy machine does not matter.
//!
//! ```sh
//! scripts/instructions          # fails if a rung has more instructions than its pin allows
//! scripts/instructions --set    # sets the pins
//! ```
//!
//! The number depends on the compiler, on the allocator of the C library and, a little, on the processor, whose best
//! `memcpy` the C library takes. The slack has room for the last two. The exporters, the export thread and the clock
//! do not count.

mod callgrind;
#[path = "../../support/counting.rs"]
mod counting;
#[path = "../../support/discard.rs"]
mod discard;
mod error;
mod pins;
mod rungs;
#[path = "../../overhead/services.rs"]
mod services;
#[path = "../../support/stack.rs"]
mod stack;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use crate::{
    error::Error,
    pins::{Pins, Verdict, percent_over},
    rungs::RUNGS,
};

/// The file of the pins.
const PINS: &str = "benches/instructions/pins.txt";

/// What `--set` writes if there are no pins yet.
const SLACK: f64 = 5.0;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        [] => check(),
        ["--set"] => set().map(|()| true),
        ["--rung", name] => match RUNGS.iter().find(|rung| rung.name == name) {
            Some(rung) => rung.run(),
            None => Err(Error::new(format!("no rung is called {name}"))),
        },
        _ => Err(Error::new("usage: scripts/instructions [--set]")),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Compares each rung with its pin; returns whether all of them hold.
fn check() -> Result<bool, Error> {
    let pins = read()?;
    let mut exceeded = Vec::new();
    let mut stale = false;
    println!(
        "{:<52} {:>7} {:>9} {:>7}",
        "instructions per call", "pin", "counted", ""
    );
    for rung in RUNGS {
        let counted = callgrind::instructions(rung)?;
        let verdict = pins.verdict(rung.name, counted);
        let pin = pins.get(rung.name);
        let over = pin.map(|pin| format!("{:+.1} %", percent_over(counted, pin)));
        let pin = pin.map(|pin| pin.to_string());
        println!(
            "{:<52} {:>7} {counted:>9.1} {:>7}{}",
            rung.name,
            pin.unwrap_or_default(),
            over.unwrap_or_default(),
            verdict.note(),
        );
        match verdict {
            Verdict::Holds => {}
            Verdict::Stale => stale = true,
            Verdict::Exceeded | Verdict::Unpinned => exceeded.push(rung),
        }
    }
    let gone = pins
        .names()
        .filter(|name| RUNGS.iter().all(|rung| rung.name != *name));
    let gone: Vec<_> = gone.collect();
    for name in &gone {
        println!("{name}: there is no such rung");
    }
    if stale {
        println!(
            "\nA rung is far below its pin, which would not notice if that were lost again. Set the pins:\n    scripts/instructions --set"
        );
    }
    if exceeded.is_empty() && gone.is_empty() {
        return Ok(true);
    }
    let program = env::current_exe().map_err(|error| Error::new(error.to_string()))?;
    let profiles = exceeded
        .iter()
        .map(|rung| callgrind::out_file(&program, rung));
    let profiles: String = profiles
        .map(|file| format!("\n    callgrind_annotate {}", file.display()))
        .collect();
    println!(
        "\nA call may not execute over {} % more instructions than its rung's pin in {}.\n\
         To see where they are:{profiles}\n\
         If they are worth it, or if the compiler or the rungs have changed, set the pins and say why in the commit:\n    \
         scripts/instructions --set",
        pins.slack, PINS,
    );
    let rustc = rustc()?;
    if rustc != pins.rustc {
        println!(
            "The pins were set with rustc {}, and this is {rustc}.",
            pins.rustc
        );
    }
    Ok(false)
}

/// Counts all rungs and writes their pins.
fn set() -> Result<(), Error> {
    let slack = read().map_or(SLACK, |pins| pins.slack);
    let mut pins = Pins::new(slack, rustc()?);
    for rung in RUNGS {
        let counted = callgrind::instructions(rung)?;
        println!("{:<52} {counted:>9.1}", rung.name);
        pins.set(rung.name, counted);
    }
    let file = file();
    fs::write(&file, pins.to_string()).map_err(|error| Error::at(&file, error))
}

fn read() -> Result<Pins, Error> {
    let file = file();
    let text = fs::read_to_string(&file).map_err(|error| Error::at(&file, error))?;
    Pins::parse(&text)
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(PINS)
}

/// Returns the version of the compiler.
fn rustc() -> Result<String, Error> {
    let output = Command::new("rustc").arg("--version").output();
    let output = output.map_err(|error| Error::new(format!("rustc does not start: {error}")))?;
    let version = String::from_utf8_lossy(&output.stdout);
    let version = version.trim();
    Ok(version.strip_prefix("rustc ").unwrap_or(version).to_owned())
}

//! Tests with faults of the operating system, other processes and other users of the directory.
//!
//! Some need a child process: this test binary again, which runs one ignored test. The tests that kill
//! a process are in the crate itself, in `src/attachment/checks.rs`.

mod checks;
mod child_process;
mod disk;
mod durability;
mod panics;
mod permissions;
mod processes;
mod swaps;

//! What the operating system, a kill and a neighbour can do to a store.
//!
//! Some of it only a process of its own can go through. Such a process is this test binary again, told
//! by name to run one test, which is ignored otherwise.

mod checks;
mod disk;
mod durability;
mod elsewhere;
mod kills;
mod panics;
mod permissions;
mod swaps;
mod worker;

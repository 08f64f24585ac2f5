//! Tests of the attachment store, its cleanup and its sweeper.

#![cfg(feature = "services")]
// `clippy.toml` allows `unwrap` in tests, but not in their helper functions.
#![allow(clippy::unwrap_used)]

#[path = "../support/checked/mod.rs"]
mod checked;
mod concurrency;
mod events;
mod faults;
mod hostile;
mod leases;
mod locking;
mod readers;
mod staging;
mod support;
mod sweeper;
mod sweeping;
mod time_to_live;
mod turns;
mod values;

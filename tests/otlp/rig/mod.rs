//! Support for the tests of the sink: configurations, calls and custom exporters.

mod calls;
mod config;
mod custom;
mod executor;

pub(crate) use self::{
    calls::{calls, emit, events},
    config::{PATIENCE, Wire, assert_all_exported, only, pending_at_shutdown},
    custom::{Gate, Gated, Recorder, spans_only},
    executor::block_on,
};

//! What the tests of the sink's conduct share: quick configurations, calls, and exporters that do as
//! they are told.

mod calls;
mod config;
mod executor;
mod own;

pub(crate) use self::{
    calls::{calls, emit, events},
    config::{PATIENCE, Wire, all_arrived, left_at_the_end, only},
    executor::block_on,
    own::{Counting, Gate, Gated, spans_only},
};

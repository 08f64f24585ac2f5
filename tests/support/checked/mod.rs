//! A sink that fails its test unless every call has one start and then one end, and ends before its
//! parent does.
//!
//! Every suite includes this folder and uses this [`MemorySink`] instead of the crate's.
#![allow(dead_code, unused_imports, reason = "no suite uses all of it")]

mod sink;
mod tracker;

pub(crate) use self::{
    sink::{Checked, MemorySink},
    tracker::{CallTracker, Fault},
};

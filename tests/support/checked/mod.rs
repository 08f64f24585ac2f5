//! A sink that fails its test when a call has a start without an end, an end without a start, two of
//! either, or ends after the call that it was made in.
//!
//! Every suite includes this folder, and uses this [`MemorySink`] in place of the crate's.
#![allow(dead_code, unused_imports, reason = "each suite uses its part")]

mod account;
mod sink;

pub(crate) use self::{
    account::{Account, Fault},
    sink::{Checked, MemorySink},
};

//! Tests of the tool service.

#![cfg(feature = "services")]

mod approval;
mod approval_deadline;
mod approval_layers;
mod approval_placement;
mod approval_wait;
mod arguments;
mod cancellation;
#[path = "../support/checked/mod.rs"]
mod checked;
mod content;
mod errors;
mod layers;
mod model_messages;
mod outputs;
mod panics;
mod privacy;
mod registry;
#[cfg(feature = "schemars")]
mod schemas;
mod specs;
mod stats;
mod support;
mod values;

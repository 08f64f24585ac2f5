//! What happened: the one thing that reaches a sink, and the plain values in it.
//!
//! Nothing here knows of sinks, requests or layers; everything else in the crate is built on it.

mod clock;
mod cut;
mod error_class;
pub(crate) mod id;
#[cfg(feature = "json")]
mod json;
pub mod names;
mod operation;
mod originator;
mod outcome;
mod record;
mod recorder;
mod view;

#[cfg(feature = "turn")]
pub(crate) use self::cut::cut;
#[cfg(feature = "otlp")]
pub(crate) use self::error_class::error_text;
pub(crate) use self::{
    clock::millis,
    record::{Identity, Opening, Place, Record},
    recorder::{Emit, Recorder},
};
pub use self::{
    clock::{Clock, ManualClock},
    error_class::{Classification, ErrorClass},
    operation::Operation,
    originator::{InvalidOriginator, Originator, OriginatorName},
    outcome::{EventKind, Outcome},
    view::Event,
};

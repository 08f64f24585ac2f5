//! The [`Event`] that reaches a sink, and the plain values in it.
//!
//! | [kind](EventKind) | name of a turn's event | when | what it has |
//! |---|---|---|---|
//! | start | `codex.turn.start` | the call begins | the originator, the ids, the name, the number of the attempt |
//! | stop | `codex.turn.stop` | the service returned `Ok` | also the duration, attributes, span events, and the [`Phases`] of a turn |
//! | exception | `codex.turn.exception` | it returned `Err`, was dropped, or panicked | also the [class](ErrorClass), the message, and how long to wait before a retry |
//!
//! An [`Operation`] is the prefix of the name: `codex.turn`, `codex.tool`, `codex.chat`, …, or one of the application.
//! [`names`] has the keys of the attributes that the services record.
//!
//! ```
//! use codex_telemetry::{ErrorClass, Event};
//!
//! /// A sink that reports turns and tools that were refused.
//! fn sink(event: Event) {
//!     if event.error_class() == Some(ErrorClass::ApprovalDenied) {
//!         eprintln!("{} {}", event.name(), event.error_message().unwrap_or_default());
//!     }
//! }
//! # let _ = codex_telemetry::TimingLayer::new(sink);
//! ```
//!
//! This module knows nothing of sinks, requests or layers. The rest of the crate is built on it.

mod annotations;
mod attributes;
mod call_start;
mod clock;
#[cfg(any(feature = "tool", all(feature = "turn", unix)))]
pub(crate) mod content;
mod emitter;
mod ending;
mod error_class;
#[expect(
    clippy::module_inception,
    reason = "the file of `Event` has the name of the type"
)]
mod event;
mod event_kind;
pub(crate) mod id;
mod interest;
#[cfg(feature = "json")]
mod json;
mod named_enum;
pub mod names;
mod operation;
mod originator;
mod outcome;
mod phase;
#[cfg(all(feature = "turn", unix))]
mod phase_clock;
#[cfg(all(feature = "turn", unix))]
mod phase_link;
mod phases;
mod record;
mod record_pool;
mod severity;
mod text;
mod ticket;

#[cfg(feature = "json")]
pub(crate) use self::json::JsonLine;
#[cfg(all(feature = "turn", unix))]
pub(crate) use self::phase_clock::{PhaseClock, WaitForApproval};
#[cfg(all(feature = "turn", unix))]
use self::phase_link::PhaseLink;
#[cfg(any(feature = "otlp", all(feature = "turn", unix)))]
pub(crate) use self::text::error_text;
#[cfg(any(feature = "tool", all(feature = "turn", unix)))]
pub(crate) use self::text::truncate;
pub(crate) use self::{
    annotations::Annotations,
    call_start::{CallIds, CallStart, Parent},
    clock::millis,
    emitter::{Emit, Emitter},
    ending::Ending,
    record::{Beginning, Record, RecordHandle},
    ticket::Ticket,
};
pub use self::{
    clock::{Clock, ManualClock},
    error_class::{Classification, ErrorClass},
    event::Event,
    event_kind::EventKind,
    interest::Interest,
    operation::Operation,
    originator::{InvalidOriginator, Originator, OriginatorName},
    outcome::Outcome,
    phase::Phase,
    phases::Phases,
    severity::Severity,
};

//! A sink that exports calls over OTLP, as spans, metrics and log records.
//!
//! [`from_env`] returns a sink that is configured by the environment. The sink has two halves: `emit` moves
//! an event into a bounded queue, and an export thread with a runtime of its own exports it.
//!
//! ```text
//! emit(event) ──► queue (bounded, sharded by thread)
//!                   │ a shard is taken as a whole: when it holds a batch, and at each delay
//!                   ▼
//!              export thread ──► traces pipeline:  Event ─► SpanData     ─► exporter ─► receiver
//!                            ──► logs pipeline:    Event ─► SdkLogRecord ─► exporter ─► receiver
//!                            ──► metrics pipeline: Event ─► instruments, totals at an interval ─► exporter
//!                   │
//!                   ▼
//!              stats: accepted, exported, failed, dropped, by signal
//! ```
//!
//! Each signal has a pipeline of its own: a receiver that hangs does not delay the other signals.
//!
//! [`config`] has every variable and every exported name, and the guide to [backends](crate::guide::backends) what to set
//! for each product.

pub mod config;
mod convert;
mod delivery;
mod export;
mod sink;

pub use self::{
    config::{OtlpConfig, Signal},
    convert::{Decision, RecordView},
    delivery::{SignalStats, Stats, Undelivered},
    export::{ProbeError, ProbeErrorKind, probe},
    sink::{OtlpSink, OtlpSinkBuilder, from_env},
};

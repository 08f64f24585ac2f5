//! Export over OTLP: calls as spans, as metrics, and as log records.
//!
//! [`from_env`] gives a sink as the environment says, or none. In two halves: the caller's moves an event
//! into a bounded queue, and an export thread with a runtime of its own does the rest.
//!
//! ```text
//! emit(event) ──► Queue (bounded, a shard for each thread)
//!                   │ taken whole, by count or by clock
//!                   ▼
//!              export thread ──► traces:  Event ─► SpanData      ─► exporter ─► receiver
//!                            ──► logs:    Event ─► SdkLogRecord  ─► exporter ─► receiver
//!                            ──► metrics: Event ─► instruments, totals at an interval ─► exporter
//!                   │
//!                   ▼
//!              Books: accepted, exported, failed, dropped, by signal
//! ```
//!
//! Each signal has a lane of its own, so that one receiver that hangs does not hold up the others.

mod books;
pub mod config;
mod delivery;
mod ear;
mod env;
mod export_thread;
mod exporter;
#[cfg(feature = "grpc")]
mod grpc;
mod http;
mod lane;
mod log;
mod metrics;
mod names;
mod probe;
mod queue;
mod report;
mod sink;
mod span;
mod tls;
mod worker;

pub use self::{
    books::{SignalStats, Stats},
    config::{OtlpConfig, Signal},
    env::from_env,
    probe::{ProbeError, ProbeErrorKind, probe},
    report::Undelivered,
    sink::{OtlpSink, OtlpSinkBuilder},
};

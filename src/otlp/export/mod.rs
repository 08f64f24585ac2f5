//! How a batch of records reaches its receiver, and what the receiver answers.
//!
//! ```text
//! exporter (of the SDK: converts and serializes)
//!    │ bytes
//!    ▼
//! client ─► headers, connection (certificates, proxy) ─► http, or grpc ─► receiver
//!    │                                                     │
//!    │ ExportOutcome                                       ▼
//!    ▼                                        response, or the error of the transport
//! pipeline
//! ```

mod client;
mod connection;
mod exporter;
#[cfg(feature = "grpc")]
mod grpc;
mod headers;
mod http;
mod outcome;
mod probe;
mod renewed;
mod response;
mod secrets;
mod tls;
mod transport;

pub use self::probe::{ProbeError, ProbeErrorKind, probe};
pub(crate) use self::{
    exporter::{CUSTOM, Exporter, logs, metrics, spans},
    outcome::{ExportOutcome, Problem, REJECTED},
};

//! How a batch of records reaches its receiver, and what the receiver answers.

mod diagnostics;
mod exporter;
#[cfg(feature = "grpc")]
mod grpc;
mod http;
mod outcome;
mod probe;
mod tls;

pub use self::probe::{ProbeError, ProbeErrorKind, probe};
pub(crate) use self::{
    exporter::{CUSTOM, Exporter, logs, metrics, spans},
    outcome::{ExportOutcome, Problem},
};

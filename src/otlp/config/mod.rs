#![doc = include_str!("../../../docs/otlp.md")]

mod aggregation;
mod builder;
mod config_error;
mod endpoint;
mod environment;
mod file;
mod headers;
mod limits;
mod log_selection;
mod otlp_config;
mod proxy;
mod resource;
mod sampler;
mod signal;
mod value;
mod variables;

pub use self::{
    aggregation::{HistogramAggregation, Temporality},
    builder::OtlpConfigBuilder,
    config_error::ConfigError,
    endpoint::Endpoint,
    environment::ConfigWithWarnings,
    limits::{AttributeLimits, BatchLimits, Limits},
    log_selection::LogSelection,
    otlp_config::OtlpConfig,
    sampler::Sampler,
    signal::{ClientCertificate, Protocol, Signal, SignalConfig, Tls},
};
pub(crate) use self::{file::read_file, headers::HeaderSource, resource::SCHEMA_URL};

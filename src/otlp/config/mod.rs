#![doc = include_str!("../../../docs/otlp.md")]

mod aggregation;
mod builder;
mod endpoint;
mod environment;
mod headers;
mod limits;
mod log_selection;
mod otlp_config;
mod proxy;
mod sampler;
mod signal;
mod value;

pub(crate) use self::headers::HeaderSource;
pub use self::{
    aggregation::{HistogramAggregation, Temporality},
    builder::OtlpConfigBuilder,
    endpoint::Endpoint,
    environment::ConfigWithWarnings,
    limits::{BatchLimits, Limits},
    log_selection::LogSelection,
    otlp_config::OtlpConfig,
    sampler::Sampler,
    signal::{ClientCertificate, Protocol, Signal, SignalConfig, Tls},
    value::ConfigError,
};

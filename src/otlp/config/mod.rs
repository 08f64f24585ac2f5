#![doc = include_str!("../../../docs/otlp.md")]

mod builder;
mod endpoint;
mod environment;
mod error;
mod headers;
mod otlp_config;
mod sampler;
mod signal;

pub use self::{
    builder::OtlpConfigBuilder,
    endpoint::Endpoint,
    environment::ConfigWithWarnings,
    error::{ConfigError, ConfigWarning},
    otlp_config::OtlpConfig,
    sampler::Sampler,
    signal::{Protocol, Signal, SignalConfig, Tls},
};

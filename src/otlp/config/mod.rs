#![doc = include_str!("../../../docs/otlp.md")]

mod builder;
mod endpoint;
mod environment;
mod otlp_config;
mod sampler;
mod signal;
mod value;

pub use self::{
    builder::OtlpConfigBuilder,
    endpoint::Endpoint,
    environment::ConfigWithWarnings,
    otlp_config::{Limits, OtlpConfig},
    sampler::Sampler,
    signal::{ClientCertificate, Protocol, Signal, SignalConfig, Tls},
    value::ConfigError,
};

#![doc = include_str!("../../../docs/otlp.md")]

mod builder;
mod connection;
mod endpoint;
mod environment;
mod flaw;
mod headers;
mod limits;
mod protocol;
mod reader;
mod resolved;
mod resource;
mod sampler;
mod signal;
mod variables;
mod warning;

pub use self::{
    builder::OtlpConfigBuilder,
    endpoint::Endpoint,
    environment::Setup,
    protocol::Protocol,
    resolved::OtlpConfig,
    sampler::Sampler,
    signal::{Signal, SignalConfig, Tls},
    warning::{ConfigError, ConfigWarning},
};

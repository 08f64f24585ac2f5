//! The ways to a receiver: protocols, TLS, headers, endpoints, and the probe that tells what is wrong.

mod alone;
mod content;
mod endpoints;
mod environment;
mod headers;
mod matrix;
mod pem;
mod probe;
#[cfg(feature = "grpc")]
mod probe_grpc;
mod tls;

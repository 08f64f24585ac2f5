//! Protocols, TLS, headers, endpoints, and the probe.

#[cfg(unix)]
mod blocked;
mod content;
mod echoes;
mod endpoints;
mod environment;
mod headers;
mod matrix;
mod pem;
mod probe;
#[cfg(feature = "grpc")]
mod probe_grpc;
mod proxies;
mod renewed_certificates;
mod renewed_headers;
mod subprocess;
mod tls;

//! Tests of the mock receiver with independent clients: the exporters of `opentelemetry-otlp`, reqwest and
//! tonic.

// Helpers outside of test functions use `unwrap` as well.
#![allow(clippy::unwrap_used)]

mod exporters;
mod grpc;
mod http;
mod lifecycle;
mod support;
mod tls;

//! Proofs that the receiver receives and misbehaves as told, with clients that have nothing of ours
//! in them: the plain exporters of `opentelemetry-otlp`, reqwest, and tonic.

// Helpers outside of the test functions unwrap as freely as those do.
#![allow(clippy::unwrap_used)]

mod exporters;
mod grpc;
mod http;
mod lifecycle;
mod support;
mod tls;

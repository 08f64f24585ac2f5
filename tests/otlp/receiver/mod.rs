//! An OTLP receiver on loopback: HTTP and gRPC, plain and TLS, decoding what it accepts and
//! treating requests as it is told.
//!
//! It runs on a thread of its own with a runtime of its own, since the code under test may have
//! none; every wait is a condition variable or a channel with a deadline.
//!
//! - [`Receiver`] is the handle; [`Behaviour`] is how it treats a request.
//! - [`Span`], [`Metric`] and [`LogRecord`] are what it decoded, [`Request`] what it was asked.
//! - [`Pki`] and [`Tls`] make certificates and servers that use them.
//! - [`closed_port`] and [`blackhole`] are endpoints where no receiver is.

// The receiver is built before, and apart from, the tests that use it: its self-test and any one
// feature set use a part of this API, never all of it.
#![allow(dead_code, unused_imports)]

mod answer;
mod behaviour;
mod body;
mod connection;
mod grpc;
mod handle;
mod handler;
mod http;
mod model;
mod payload;
mod pki;
mod port;
mod request;
mod server;
mod state;
mod tls;

pub(crate) use self::{
    behaviour::Behaviour,
    handle::Receiver,
    model::{
        Attributes, Event, Histogram, LogRecord, Metric, MetricKind, Number, Origin, Point, Span,
        Value,
    },
    pki::Pki,
    port::{blackhole, closed_port},
    request::{Answered, Encoding, Format, Request},
    tls::Tls,
};

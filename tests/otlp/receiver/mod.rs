//! A mock OTLP receiver on loopback: HTTP and gRPC, with and without TLS. It decodes requests and sends the
//! configured responses.
//!
//! It has its own thread and runtime, because the code under test may have no runtime. Every wait is a
//! condition variable or a channel with a deadline.
//!
//! - [`Receiver`] is the handle, [`MockResponse`] the configured response to a request.
//! - [`Span`], [`Metric`] and [`LogRecord`] are decoded records, [`Request`] a received request.
//! - [`Pki`] and [`Tls`] create certificates and servers with TLS.
//! - [`closed_port`] and [`blackhole`] are endpoints without a receiver.

// No single feature set uses all of it.
#![allow(dead_code, unused_imports)]

mod body;
mod connection;
mod grpc;
mod handle;
mod handler;
mod http;
mod mock_response;
mod model;
mod payload;
mod pki;
mod port;
mod reply;
mod request;
mod server;
mod state;
mod tls;

pub(crate) use self::{
    handle::Receiver,
    mock_response::MockResponse,
    model::{
        Attributes, Event, ExponentialHistogram, Histogram, LogRecord, Metric, MetricKind, Number,
        Origin, Point, Span, Value,
    },
    pki::Pki,
    port::{blackhole, closed_port},
    request::{Encoding, Format, Replied, Request},
    tls::Tls,
};

//! Tower layers that time, attribute and classify what a Codex application does.
//!
//! An application that runs OpenAI's Codex starts turns, invokes tools, and stages and cleans up
//! attachments. As tower [services](tower_service::Service) they all take the same three layers:
//!
//! | layer | what it does |
//! |---|---|
//! | [`OriginatorLayer`] | says who asked: the CLI, an SDK, or a name |
//! | [`TimingLayer`] | opens a call for each request, times it, and hands its start and its end to a [`Sink`] |
//! | [`ErrorClassLayer`] | writes why a call failed: `transport`, `rate_limit`, `approval_denied`, … |
//!
//! Every call has exactly two events, its start and its end, however it ends: with an answer, with an
//! error, by being dropped, or in a panic. The layers change neither answers nor errors.
//!
//! # A first stack
//!
//! Any service will do whose request is a [`CodexRequest`]. [`Call`] makes one of any type.
//!
//! ```
//! use codex_telemetry::{
//!     Call, ErrorClass, ErrorClassLayer, MemorySink, Operation, Originator, OriginatorLayer,
//!     Outcome, TimingLayer,
//! };
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let sink = MemorySink::new();
//! let service = ServiceBuilder::new()
//!     .layer(OriginatorLayer::new(Originator::Sdk))
//!     .layer(TimingLayer::new(sink.clone()))
//!     .layer(ErrorClassLayer::new(|_: &&str| ErrorClass::Overloaded))
//!     .service(service_fn(|call: Call<u32>| async move {
//!         call.context.record("tickets", i64::from(call.request));
//!         if call.request > 3 { Err("sold out") } else { Ok(call.request) }
//!     }));
//!
//! let operation = Operation::Custom("tickets.buy");
//! assert_eq!(service.clone().oneshot(Call::new(operation, 2)).await, Ok(2));
//! assert_eq!(service.oneshot(Call::new(operation, 4)).await, Err("sold out"));
//!
//! let failed = &sink.find(operation, Outcome::Error)[0];
//! assert_eq!(failed.name(), "tickets.buy.exception");
//! assert_eq!(failed.error_class(), Some(ErrorClass::Overloaded));
//! assert_eq!(failed.originator(), Some(&Originator::Sdk));
//! assert_eq!(failed.attribute("tickets"), Some(&4.into()));
//! # }
//! ```
//!
//! # Services
//!
//! With the feature `services`, which is on by default, the crate brings the services themselves:
//! [`turn::TurnService`] runs turns of the Codex CLI, [`tool::ToolService`] routes tool calls by name,
//! and [`attachment::CleanupService`] sweeps an [`attachment::AttachmentStore`]. [`CodexClassifier`]
//! knows their errors, [`RetryPolicy`] makes again what failed by a class that a retry may help, and
//! [`ServiceBuilderExt`] adds the layers by a method each.
//!
//! # Export
//!
//! [`otlp::from_env`] gives an [`OtlpSink`] when `CODEX_OTLP_ENDPOINT` is set, and a sink that is off
//! otherwise. The variables are listed in [`otlp::config`].
//!
//! # The order of the layers
//!
//! Originator, timing, error class, from the outside in, and layers that make errors of their own (a
//! timeout, load shedding) inside of the error class. Any order does something defined, and none loses or
//! doubles an event: an originator inside of the timing is on the terminal event alone, and an error
//! class outside of it finds no call to write on.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `otlp` | yes | [`OtlpSink`]: spans, metrics and logs over OTLP/HTTP; implies `tracing` |
//! | `grpc` | | OTLP over gRPC beside HTTP |
//! | `services` | yes | the services, [`CodexClassifier`], [`RetryPolicy`], [`ServiceBuilderExt`]; implies `json` |
//! | `tracing` | yes | [`TracingSink`], and the crate's own warnings |
//! | `json` | | [`JsonLinesSink`], and `serde::Serialize` for [`Event`] |
//!
//! What each class of error means, and what to do about it, is told in [`error_classes`]; how the crate is
//! built, and why, in [`design`].

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)]

#[cfg(feature = "services")]
pub mod attachment;
#[cfg(feature = "services")]
mod builder;
pub mod call;
#[cfg(feature = "services")]
mod classifier;
pub mod design;
mod error;
pub mod error_class;
pub mod error_classes;
pub mod event;
pub mod originator;
#[cfg(feature = "otlp")]
pub mod otlp;
#[cfg(all(doctest, feature = "otlp", feature = "services"))]
mod readme;
#[cfg(feature = "services")]
pub mod retry;
pub mod sink;
pub mod timing;
#[cfg(feature = "services")]
pub mod tool;
#[cfg(feature = "services")]
pub mod turn;

#[cfg(feature = "services")]
pub use crate::attachment::{
    Attachment, AttachmentError, AttachmentStore, CleanupError, CleanupReport, CleanupRequest,
    CleanupService, Sweeper, Ttl,
};
#[cfg(feature = "otlp")]
pub use crate::otlp::{OtlpConfig, OtlpSink};
#[cfg(feature = "json")]
pub use crate::sink::JsonLinesSink;
#[cfg(feature = "tracing")]
pub use crate::sink::TracingSink;
#[cfg(feature = "services")]
pub use crate::tool::{
    ApprovalLayer, ApprovalRequest, Decision, ToolCall, ToolError, ToolOutput, ToolService,
    ToolSnapshot, tool_fn,
};
#[cfg(feature = "services")]
pub use crate::turn::{Turn, TurnError, TurnRequest, TurnService, TurnUpdate, turn_stream};
#[cfg(feature = "services")]
pub use crate::{
    builder::ServiceBuilderExt,
    classifier::{CodexClassifier, ExtendedClassifier},
    retry::RetryPolicy,
};
pub use crate::{
    call::{Call, CallContext, CallGuard, CodexRequest},
    error::BoxError,
    error_class::{Classify, ErrorClassLayer},
    event::{
        Classification, Clock, ClockHands, ErrorClass, Event, EventKind, InvalidOriginator,
        Operation, Originator, OriginatorName, Outcome,
    },
    originator::OriginatorLayer,
    sink::{FanOut, MemorySink, Sink, Timeline, TooFewEvents},
    timing::TimingLayer,
};

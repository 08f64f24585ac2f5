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
//! # From the beginning
//!
//! Ten small steps, each of which runs.
//!
//! ## A service
//!
//! A service takes a request and answers later, with a response or an error. A layer makes of one service
//! another that does something more. Any async function is a service:
//!
//! ```
//! use tower::{ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let buy = service_fn(|tickets: u32| async move {
//!     if tickets > 3 { Err("sold out") } else { Ok(tickets) }
//! });
//! assert_eq!(buy.oneshot(2).await, Ok(2));
//! # }
//! ```
//!
//! ## A request with a context
//!
//! Nothing here is global: who asked, which trace this belongs to and which call is open ride in the
//! request, as its [`CallContext`]. [`Call`] gives one to a request of any type, and an [`Operation`] that
//! names the events; a type of yours can carry its own, see [`CodexRequest`].
//!
//! ```
//! use codex_telemetry::{Call, CallContext, Operation};
//!
//! let context = CallContext::new().with_thread_id("thread-7");
//! let call = Call::new(Operation::Custom("tickets.buy"), 2).with_context(context);
//! assert_eq!(call.request, 2);
//! assert_eq!(call.context.thread_id(), Some("thread-7"));
//! ```
//!
//! ## One layer and a sink
//!
//! [`TimingLayer`] opens the call, and a sink gets its events. What the service learns it records on the
//! open call, and the terminal event has it.
//!
//! ```
//! use codex_telemetry::{Call, MemorySink, Operation, TimingLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), &'static str> {
//! let sink = MemorySink::new();
//! let buy = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<u32>| async move {
//!     call.context.record("tickets", i64::from(call.request));
//!     Ok::<_, &str>(call.request)
//! }));
//! buy.oneshot(Call::new(Operation::Custom("tickets.buy"), 2)).await?;
//!
//! let [start, stop] = &sink.events()[..] else { panic!("a call has two events") };
//! assert_eq!(start.name(), "tickets.buy.start");
//! assert_eq!(stop.name(), "tickets.buy.stop");
//! assert_eq!(stop.attribute("tickets"), Some(&2.into()));
//! assert!(stop.duration().is_some());
//! # Ok(())
//! # }
//! ```
//!
//! [`MemorySink`] is for tests. Others write JSON lines, hand events to `tracing` or export them; your own
//! is one method: see [`sink`].
//!
//! ## All three layers
//!
//! The originator outermost, so that both events say who asked; the error class innermost, where it sees
//! the error first.
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
//! let buy = ServiceBuilder::new()
//!     .layer(OriginatorLayer::new(Originator::Sdk))
//!     .layer(TimingLayer::new(sink.clone()))
//!     .layer(ErrorClassLayer::new(|_: &&str| ErrorClass::Overloaded))
//!     .service(service_fn(|call: Call<u32>| async move {
//!         if call.request > 3 { Err("sold out") } else { Ok(call.request) }
//!     }));
//!
//! let operation = Operation::Custom("tickets.buy");
//! assert_eq!(buy.clone().oneshot(Call::new(operation, 2)).await, Ok(2));
//! assert_eq!(buy.oneshot(Call::new(operation, 4)).await, Err("sold out"));
//!
//! let failed = &sink.find(operation, Outcome::Error)[0];
//! assert_eq!(failed.name(), "tickets.buy.exception");
//! assert_eq!(failed.error_class(), Some(ErrorClass::Overloaded));
//! assert_eq!(failed.originator(), Some(&Originator::Sdk));
//! # }
//! ```
//!
//! ## A failure and its class
//!
//! An [`ErrorClass`] is a small name that metrics can count by, and it knows whether a retry may help. A
//! classifier is any function of the error that gives one, or a [`Classification`], which has the error's
//! text and a hint when to retry as well.
//!
//! ```
//! use codex_telemetry::{Classification, Classify, ErrorClass};
//! use std::time::Duration;
//!
//! struct TooMany { wait: Duration }
//!
//! let classifier = |error: &TooMany| {
//!     Classification::from(ErrorClass::RateLimit)
//!         .with_message("too many requests")
//!         .with_retry_after(Some(error.wait))
//! };
//!
//! let told = classifier.classify(&TooMany { wait: Duration::from_secs(2) });
//! assert!(told.class.is_retryable());
//! assert_eq!(told.class.as_str(), "rate_limit");
//! ```
//!
//! A call that is dropped is `cancelled`, and one that panics is `panic`, without a classifier. What each
//! class means and what to do about it is in [`error_classes`].
//!
//! ## A call within a call
//!
//! A request that is made on behalf of another takes a child of its context. Its call is then a child of the
//! one that is open, in the same trace, and the [`Timeline`] nests it.
//!
//! ```
//! use codex_telemetry::{Call, MemorySink, Operation, TimingLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), &'static str> {
//! let sink = MemorySink::new();
//! let timing = TimingLayer::new(sink.clone());
//! let pay = timing.layer(service_fn(|_: Call<()>| async { Ok::<_, &str>("paid") }));
//! let buy = timing.layer(service_fn(move |call: Call<u32>| {
//!     let payment = Call::new(Operation::Custom("tickets.pay"), ());
//!     pay.clone().oneshot(payment.with_context(call.context.child()))
//! }));
//! buy.oneshot(Call::new(Operation::Custom("tickets.buy"), 2)).await?;
//!
//! println!("{}", sink.timeline());
//! let [bought, paid, ..] = &sink.events()[..] else { panic!("two calls have four events") };
//! assert_eq!(paid.name(), "tickets.pay.start");
//! assert_eq!(paid.parent_span_id(), Some(bought.span_id()));
//! assert_eq!(paid.trace_id(), bought.trace_id());
//! # Ok(())
//! # }
//! ```
//!
//! ## Retry by class
//!
//! [`RetryPolicy`] is a policy for tower's own retry layer: it makes a call again when its class says that
//! this may help. [`ServiceBuilderExt`] adds the layers by a method each, and [`CodexClassifier`] knows the
//! errors of this crate, of tower, of tokio and of the standard library.
//!
//! ```
//! use codex_telemetry::{
//!     BoxError, Call, CodexClassifier, MemorySink, Operation, Outcome, RetryPolicy,
//!     ServiceBuilderExt,
//! };
//! use std::{io, time::Duration};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let sink = MemorySink::new();
//! let buy = ServiceBuilder::new()
//!     .retry(RetryPolicy::new().backoff(Duration::from_millis(1), Duration::from_secs(1)))
//!     .timing(sink.clone())
//!     .error_class(CodexClassifier)
//!     .service_fn(|call: Call<u32>| async move {
//!         match call.context.attempt() {
//!             1 => Err(BoxError::from(io::Error::from(io::ErrorKind::ConnectionReset))),
//!             _ => Ok(call.request),
//!         }
//!     });
//!
//! let operation = Operation::Custom("tickets.buy");
//! assert_eq!(buy.oneshot(Call::new(operation, 2)).await?, 2);
//! assert_eq!(sink.find(operation, Outcome::Error)[0].attempt(), 1);
//! assert_eq!(sink.find(operation, Outcome::Ok)[0].attempt(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! ## A turn of Codex
//!
//! [`TurnService`] runs each turn in a process of the Codex CLI, and takes the layers like any other service.
//! The tools that Codex calls within the turn become child calls. ([`ToolService`] and [`CleanupService`] are
//! the other two services.)
//!
//! ```
//! use codex_telemetry::{
//!     CodexClassifier, MemorySink, Operation, Originator, Outcome, ServiceBuilderExt, TurnRequest,
//!     TurnService, event::names,
//! };
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # // A stand-in for the Codex CLI.
//! # use std::{fs, os::unix::fs::PermissionsExt};
//! # let directory = tempfile::tempdir()?;
//! # let codex_path = directory.path().join("codex");
//! # fs::write(&codex_path, r#"#!/bin/sh
//! # echo '{"type":"thread.started","thread_id":"t"}'
//! # echo '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"Hi!"}}'
//! # echo '{"type":"turn.completed","usage":{"input_tokens":7,"output_tokens":2}}'
//! # "#)?;
//! # fs::set_permissions(&codex_path, fs::Permissions::from_mode(0o755))?;
//! let sink = MemorySink::new();
//! let turns = ServiceBuilder::new()
//!     .originator(Originator::named("release-bot")?)
//!     .timing(sink.clone())
//!     .error_class(CodexClassifier)
//!     .service(TurnService::builder().codex(codex_path).build());
//!
//! let turn = turns.oneshot(TurnRequest::new("Say hi")).await?;
//! assert_eq!(turn.final_message.as_deref(), Some("Hi!"));
//! let stop = &sink.find(Operation::Turn, Outcome::Ok)[0];
//! assert_eq!(stop.attribute(names::OUTPUT_TOKENS), Some(&2.into()));
//! # Ok(())
//! # }
//! ```
//!
//! ## Export
//!
//! [`otlp::from_env`] gives an [`OtlpSink`] when `CODEX_OTLP_ENDPOINT` is set, and a sink that is off
//! otherwise; the other variables are listed in [`otlp::config`]. [`FanOut`] hands events to several sinks.
//!
//! ```
//! use codex_telemetry::{FanOut, MemorySink, TimingLayer, otlp};
//! use std::time::Duration;
//!
//! let export = otlp::from_env();
//! let timing = TimingLayer::new(FanOut::new().with(MemorySink::new()).with(export.clone()));
//! // … calls are made through the layer, and at exit:
//! if let Some(export) = export
//!     && let Err(undelivered) = export.shutdown(Duration::from_secs(5))
//! {
//!     eprintln!("{undelivered}");
//! }
//! # let _ = timing;
//! ```
//!
//! # The order of the layers
//!
//! Originator, timing, error class, from the outside in, and layers that make errors of their own (a
//! timeout, load shedding) inside of the error class. Any order does something defined, and none loses or
//! doubles an event: an originator inside of the timing is on the terminal event alone, and an error
//! class outside of it finds no call to write on.
//!
//! # Errors, panics, cancellation
//!
//! The layers make no errors, and pass on a panic as well as an error; both, and a future that is dropped,
//! end the call as what they are. A sink that panics is detached, and the calls go on. Dropping the future of
//! a service cancels its work; each says under "Cancel safety" what that leaves.
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
//! # Further
//!
//! | page | what it tells |
//! |---|---|
//! | [`error_classes`] | what each class of error means, and what to do about it |
//! | [`otlp::config`] | every variable of the export, and what comes before what |
//! | [`runbook`] | operating it: from the symptom to the command |
//! | [`overhead`] | what the layers cost, and how that was measured |
//! | [`design`] | how the crate is built, and why |

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)]

#[cfg(all(any(feature = "attachment", feature = "turn"), not(unix)))]
compile_error!(
    "the features `attachment` and `turn` (and so `services` and the default features) need a Unix \
     system: use `default-features = false` with features such as `json`, `otlp` and `tool`"
);

#[cfg(all(feature = "attachment", unix))]
pub mod attachment;
mod builder;
pub mod call;
#[cfg(feature = "retry")]
mod classifier;
pub mod design;
mod error;
pub mod error_class;
pub mod error_classes;
pub mod event;
pub mod originator;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod overhead;
#[cfg(all(doctest, feature = "json", feature = "otlp", feature = "services"))]
mod readme;
#[cfg(feature = "retry")]
pub mod retry;
pub mod runbook;
pub mod sink;
pub mod timeline;
pub mod timing;
#[cfg(feature = "tool")]
pub mod tool;
#[cfg(all(feature = "turn", unix))]
pub mod turn;

#[cfg(all(feature = "attachment", unix))]
pub use crate::attachment::{
    Attachment, AttachmentError, AttachmentStore, CleanupReport, CleanupRequest, CleanupService,
    Sweeper, Ttl,
};
#[cfg(feature = "otlp")]
pub use crate::otlp::{OtlpConfig, OtlpSink};
#[cfg(feature = "json")]
pub use crate::sink::JsonLinesSink;
#[cfg(feature = "tracing")]
pub use crate::sink::TracingSink;
#[cfg(feature = "tool")]
pub use crate::tool::{
    ApprovalLayer, ApprovalRequest, Decision, ToolCall, ToolError, ToolOutput, ToolService,
    ToolStats, tool_fn,
};
#[cfg(all(feature = "turn", unix))]
pub use crate::turn::{Turn, TurnError, TurnRequest, TurnService, TurnUpdate, turn_stream};
pub use crate::{
    builder::ServiceBuilderExt,
    call::{Call, CallContext, CallGuard, CodexRequest},
    error::BoxError,
    error_class::{Classify, ErrorClassLayer},
    event::{
        Classification, Clock, ErrorClass, Event, EventKind, InvalidOriginator, ManualClock,
        Operation, Originator, OriginatorName, Outcome,
    },
    originator::OriginatorLayer,
    sink::{FanOut, MemorySink, Sink, TooFewEvents},
    timeline::Timeline,
    timing::TimingLayer,
};
#[cfg(feature = "retry")]
pub use crate::{
    classifier::{CodexClassifier, ExtendedClassifier},
    retry::RetryPolicy,
};

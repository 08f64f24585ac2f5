//! Tower layers that time, attribute and classify the work of a Codex application.
//!
//! An application that runs OpenAI's Codex starts turns, calls tools, and cleans up attachments. Each of these
//! is a tower [`Service`](tower_service::Service), and the same three layers wrap all of them:
//!
//! | layer | what it does |
//! |---|---|
//! | [`OriginatorLayer`] | sets who makes the request: the CLI, an SDK, or a named application |
//! | [`TimingLayer`] | opens a call for each request, times it, and emits its start and its end to a [`Sink`] |
//! | [`ErrorClassLayer`] | classifies the error: `transport`, `rate_limit`, `approval_denied`, … |
//!
//! Every call has exactly two events, a start and an end, whether it ends with a response, an error, a
//! cancellation or a panic. The layers return responses and errors unchanged.
//!
//! # Tutorial
//!
//! ## A service
//!
//! A service takes a request and returns a future of a response or an error. A layer wraps a service in another
//! one. Any async function is a service:
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
//! There is no global state. The originator, the trace and the open call ride in the request, as its
//! [`CallContext`]. [`Call`] adds a context to a request of any type, and an [`Operation`], which is the prefix of
//! the event names. A request type of your own can carry a context too; see [`CodexRequest`].
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
//! [`TimingLayer`] opens a call, and a sink receives its events. The service records attributes on the open
//! call, and the terminal event shows them.
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
//! [`MemorySink`] is for tests. Other sinks write JSON lines, log through `tracing`, or export over OTLP. A sink
//! of your own implements one method; see [`sink`].
//!
//! ## All three layers
//!
//! The originator layer is outermost, so that both events show the originator. The error class layer is
//! innermost, where it finds the open call.
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
//! ## Error classes
//!
//! An [`ErrorClass`] is a name that metrics can count by, and it knows whether a retry may help. A classifier is
//! any function of the error that returns one. It can also return a [`Classification`], which adds the error's
//! text and the time to wait before a retry.
//!
//! ```
//! use codex_telemetry::{Classification, Classify, ErrorClass};
//! use std::time::Duration;
//!
//! struct TooManyRequests { retry_after: Duration }
//!
//! let classifier = |error: &TooManyRequests| {
//!     Classification::from(ErrorClass::RateLimit)
//!         .with_message("too many requests")
//!         .with_retry_after(Some(error.retry_after))
//! };
//!
//! let error = TooManyRequests { retry_after: Duration::from_secs(2) };
//! let classification = classifier.classify(&error);
//! assert!(classification.class.is_retryable());
//! assert_eq!(classification.class.as_str(), "rate_limit");
//! ```
//!
//! A call that is dropped has the class `cancelled`, and one that panics has the class `panic`, without a
//! classifier. [`error_classes`] says what each class means and what to do about it.
//!
//! ## Child calls
//!
//! A request that is made on behalf of another one takes a child of its context. Its call is then a child of the
//! open call, in the same trace, and the [`Timeline`] nests it.
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
//! [`RetryPolicy`] is a policy for tower's retry layer. It retries a call if the class of its error is retryable,
//! and a turn, which has side effects, only after a refusal.
//! [`ServiceBuilderExt`] has a method for each layer. [`CodexClassifier`] classifies the errors of this crate, of
//! tower, of tokio and of the standard library.
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
//! [`CodexExec`] runs each turn in a process of the Codex CLI, and [`CodexAppServer`] runs many turns in one, with
//! approvals; [`turn`] says [which to take](turn#which-service). The layers wrap them like any other service. The
//! tools that Codex calls within the turn are child calls. [`ToolService`], [`StageService`] and [`CleanupService`]
//! are the other services.
//!
//! ```
//! use codex_telemetry::{
//!     CodexClassifier, MemorySink, Operation, Originator, Outcome, ServiceBuilderExt, TurnRequest,
//!     CodexExec, event::names,
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
//!     .service(CodexExec::builder().codex(codex_path).build()); // or `CodexAppServer`
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
//! [`otlp::from_env`] returns an [`OtlpSink`] if `CODEX_OTLP_ENDPOINT` is set, and `None` otherwise, which is a
//! sink that is off. [`otlp::config`] lists the other variables. [`FanOut`] emits events to several sinks.
//!
//! ```
//! use codex_telemetry::{FanOut, MemorySink, TimingLayer, otlp};
//! use std::time::Duration;
//!
//! let export = otlp::from_env();
//! let timing = TimingLayer::new(FanOut::new().with(MemorySink::new()).with(export.clone()));
//! // … calls through the layer, and at exit:
//! if let Some(export) = export
//!     && let Err(undelivered) = export.blocking_shutdown(Duration::from_secs(5))
//! {
//!     eprintln!("{undelivered}");
//! }
//! # let _ = timing;
//! ```
//!
//! ## What a process waits for
//!
//! [`ActiveCalls`] is a sink that lists the calls that are active now, for a health page or a signal handler, and warns
//! of those that take long. A turn shows its [`Phase`].
//!
//! ```
//! use codex_telemetry::{ActiveCalls, FanOut, MemorySink, TimingLayer};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let active = ActiveCalls::new();
//! let timing = TimingLayer::new(FanOut::new().with(MemorySink::new()).with(active.clone()));
//! tokio::spawn(active.warn_after(Duration::from_secs(300)));
//! // … calls through the layer, and meanwhile:
//! eprint!("{active}");
//! # let _ = timing;
//! # }
//! ```
//!
//! # The order of the layers
//!
//! From the outside in: originator, timing, error class, and then layers that return errors of their own, such as
//! a timeout or load shedding. Every other order works too, and none loses or repeats an event. But an originator
//! layer inside of the timing layer shows on the terminal event only, and an error class layer outside of it finds
//! no open call.
//!
//! # Errors, panics, cancellation
//!
//! The layers return no errors of their own. A panic passes through them like an error, and ends the call as a
//! panic. A future that is dropped ends its call as cancelled. A sink that panics is detached, and the calls
//! continue without it. Dropping the future of a service cancels its work; the "Cancel safety" section of each
//! service says what that leaves behind.
//!
//! # Streams
//!
//! A call ends when the response arrives. A service whose response is a stream can keep the call open until the
//! stream ends; see [`CallContext::keep_open`].
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `json` | yes | [`JsonLinesSink`], and `serde::Serialize` for [`Event`] and other values |
//! | `tracing` | yes | [`TracingSink`], and the crate's warnings through `tracing` |
//! | `retry` | by `services` | [`RetryPolicy`] and [`CodexClassifier`] |
//! | `tool` | by `services` | [`ToolService`], [`ApprovalLayer`] and [`approval`]; implies `retry` |
//! | `schemars` | | [`tool::ToolSpec::of`]: the schema of a tool's arguments from their type; implies `tool` |
//! | `attachment` | by `services` | [`AttachmentStore`], [`StageService`], [`CleanupService`] and [`Sweeper`], on Unix; implies `retry` |
//! | `turn` | by `services` | [`CodexExec`], [`CodexAppServer`] and [`approval`], on Unix; implies `tool` |
//! | `services` | yes | `tool`, `attachment` and `turn` |
//! | `mcp` | | [`mcp`]: the tools of the program over MCP, for Codex and other clients, on Unix; implies `tool` and `turn` |
//! | `otlp` | yes | [`OtlpSink`]: spans, metrics and logs over OTLP/HTTP; implies `tracing` |
//! | `grpc` | | OTLP over gRPC; implies `otlp` |
//!
//! Without any feature there are the layers, [`ServiceBuilderExt`] and the sinks without dependencies.
//!
//! # Further reading
//!
//! | page | content |
//! |---|---|
//! | [`error_classes`] | what each error class means, and what to do about it |
//! | [`otlp::config`] | every variable of the OTLP export, and their precedence |
//! | [`runbook`] | operation, from the symptom to the command |
//! | [`overhead`] | the cost of the layers, and how it was measured |
//! | [`design`] | how the crate is built, and why |

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)]

#[cfg(all(any(feature = "attachment", feature = "turn"), not(unix)))]
compile_error!(
    "the features `attachment` and `turn` (and so `services` and the default features) need a Unix \
     system: use `default-features = false` with features such as `json`, `otlp` and `tool`"
);

#[cfg(feature = "tool")]
pub mod approval;
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
#[cfg(all(feature = "mcp", unix))]
pub mod mcp;
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
#[cfg(all(feature = "attachment", feature = "turn", unix))]
mod turn_attachment;

#[cfg(feature = "tool")]
pub use crate::approval::{ApprovalRequest, Decision};
#[cfg(all(feature = "attachment", unix))]
pub use crate::attachment::{
    Attachment, AttachmentError, AttachmentStore, CleanupReport, CleanupRequest, CleanupService,
    StageRequest, StageService, Sweeper, Ttl,
};
#[cfg(feature = "otlp")]
pub use crate::otlp::{OtlpConfig, OtlpSink};
#[cfg(feature = "json")]
pub use crate::sink::JsonLinesSink;
#[cfg(feature = "tracing")]
pub use crate::sink::TracingSink;
#[cfg(feature = "tool")]
pub use crate::tool::{
    ApprovalLayer, ToolCall, ToolError, ToolOutput, ToolService, ToolSpec, ToolStats, tool_fn,
};
#[cfg(all(feature = "turn", unix))]
pub use crate::turn::{
    CodexAppServer, CodexExec, Turn, TurnError, TurnRequest, TurnUpdate, turn_stream,
};
pub use crate::{
    builder::ServiceBuilderExt,
    call::{Call, CallContext, CallGuard, CodexRequest},
    error::BoxError,
    error_class::{BoxErrorClassifier, Classify, ErrorClassLayer},
    event::{
        Classification, Clock, ErrorClass, Event, EventKind, Interest, InvalidOriginator,
        ManualClock, Operation, Originator, OriginatorName, Outcome, Phase, Phases, Severity,
    },
    originator::OriginatorLayer,
    sink::{ActiveCall, ActiveCalls, FanOut, MemorySink, Sink, TooFewEvents},
    timeline::Timeline,
    timing::TimingLayer,
};
#[cfg(feature = "retry")]
pub use crate::{
    classifier::{CodexClassifier, ExtendedClassifier},
    retry::{RetryBudget, RetryPolicy},
};

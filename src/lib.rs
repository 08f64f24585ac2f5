//! Tower layers that time, attribute and classify the work of a Codex application.
//!
//! An application that runs OpenAI's Codex starts turns, calls tools, and stages and removes attachments. Each of these
//! is a tower [`Service`](tower_service::Service), and the same three layers go around all of them. Each call then has
//! exactly two events, a start and an end, which say who asked, how long it took, and why it failed.
//!
//! ```text
//! request ─► OriginatorLayer  who asks: the CLI, an SDK, an application
//!         ─► TimingLayer      opens the call: ids, clock, sink ──► codex.turn.start
//!         ─► ErrorClassLayer  why it failed: rate_limit, timeout, …
//!         ─► the service      CodexExec, CodexAppServer, … or yours
//!               │ ▲           its tools, approvals and responses
//!               ▼ │           are calls, in the same trace ──────► codex.tool.start …
//!         ◄─ the response, or the error, unchanged ──────────────► codex.turn.stop
//!                                                               or codex.turn.exception
//! ```
//!
//! The end of a call is an event however it ends: with a response, an error, a cancellation or a panic. A [`Sink`]
//! receives the events: in memory for tests, as JSON lines, through `tracing`, over OTLP, or by one method of yours.
//!
//! # What to use
//!
//! | you have | take |
//! |---|---|
//! | a script or a job that runs Codex | [`CodexExec`]: a process for each turn ([below](#a-turn-by-codex-exec)) |
//! | a service with conversations, approvals or many turns | [`CodexAppServer`]: one process for all turns ([below](#a-turn-by-codex-app-server)) |
//! | a client of your own for a model or an agent | the layers around it, with [`Call`] ([below](#a-client-of-your-own)) |
//! | functions that the model should call | [`ToolService`] with [`tool_fn`], given to Codex as [`tool::HostTools`] |
//! | somebody who has to agree | an [approver](approval): for Codex's own work, and by [`ApprovalLayer`] for your tools |
//! | files for a turn | [`AttachmentStore`], [`StageService`] and [`CleanupService`] |
//! | calls that fail for a moment | [`RetryPolicy`] in tower's retry layer |
//! | a dashboard | [`otlp::from_env`], and the guide to [backends](guide::backends) |
//! | "what does it wait for?" | [`ActiveCalls`]; for a single request, the [`Timeline`] |
//!
//! The [guides](guide) go further, one decision each.
//!
//! ## A turn by `codex exec`
//!
//! ```
//! use codex_telemetry::{
//!     CodexClassifier, CodexExec, MemorySink, Originator, ServiceBuilderExt, TurnRequest,
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
//!     // Without a path: the one in `CODEX_PATH`, or `codex` on the `PATH`.
//!     .service(CodexExec::builder().codex(codex_path).build());
//!
//! let turn = turns.oneshot(TurnRequest::new("Say hi")).await?;
//! assert_eq!(turn.final_message.as_deref(), Some("Hi!"));
//! println!("{}", sink.timeline());
//! # let [_, stop] = &sink.events()[..] else { panic!("a turn has two events") };
//! # assert_eq!(stop.attribute(codex_telemetry::event::names::OUTPUT_TOKENS), Some(&2.into()));
//! # Ok(())
//! # }
//! ```
//!
//! ## A turn by `codex app-server`
//!
//! Only the innermost line differs. Here Codex asks an approver, another tower service, before it runs a command:
//!
//! ```
//! use codex_telemetry::{
//!     ApprovalRequest, CodexAppServer, CodexClassifier, Decision, MemorySink,
//!     ServiceBuilderExt, TurnRequest, turn::ApprovalPolicy,
//! };
//! use std::{convert::Infallible, time::Duration};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # // A stand-in for the Codex CLI, which asks whether it may run a command.
//! # use std::{fs, os::unix::fs::PermissionsExt};
//! # let directory = tempfile::tempdir()?;
//! # let codex_path = directory.path().join("codex");
//! # fs::write(&codex_path, r#"#!/bin/sh
//! # answer() { printf '{"id":%s,"result":%s}\n' "$id" "$1"; }
//! # tell() { printf '{"method":"%s","params":{"threadId":"t","turnId":"u",%s}}\n' "$1" "$2"; }
//! # command() { tell "item/$1" '"item":{"type":"commandExecution","id":"c","command":"rm notes","cwd":"/","status":"'"$2"'"}'; }
//! # while IFS= read -r line; do
//! #     id=${line#'{"id":'}
//! #     id=${id%%,*}
//! #     case $line in
//! #     *'"method":"thread/start"'*) answer '{"thread":{"id":"t"},"model":"m","modelProvider":"p"}' ;;
//! #     *'"method":"turn/start"'*)
//! #         answer '{"turn":{"id":"u"}}'
//! #         tell turn/started '"turn":{"id":"u"}'
//! #         command started inProgress
//! #         printf '{"id":"q","method":"item/commandExecution/requestApproval","params":{"threadId":"t","turnId":"u","itemId":"c","command":"rm notes"}}\n'
//! #         ;;
//! #     '{"id":"q",'*'"decline"'*)
//! #         command completed declined
//! #         tell item/completed '"item":{"type":"agentMessage","id":"m","text":"I left it."}'
//! #         tell turn/completed '"turn":{"id":"u","status":"completed","error":null}'
//! #         ;;
//! #     *'"method":"initialized"'*) ;;
//! #     *) answer '{}' ;;
//! #     esac
//! # done
//! # "#)?;
//! # fs::set_permissions(&codex_path, fs::Permissions::from_mode(0o755))?;
//! let approver = service_fn(|request: ApprovalRequest| async move {
//!     Ok::<_, Infallible>(Decision::decline(format!("nobody agreed to {}", request.tool)))
//! });
//! let codex = CodexAppServer::builder()
//!     .codex(codex_path)
//!     .approval_policy(ApprovalPolicy::OnRequest)
//!     .approver(approver, Duration::from_secs(60))
//!     .build();
//! let sink = MemorySink::new();
//! let turns = ServiceBuilder::new()
//!     .timing(sink.clone())
//!     .error_class(CodexClassifier)
//!     .service(codex.clone());
//!
//! let turn = turns.oneshot(TurnRequest::new("Remove my notes")).await?;
//! assert_eq!(turn.final_message.as_deref(), Some("I left it."));
//! println!("{}", sink.timeline()); // the turn, and the command that was declined
//! codex.shutdown(Duration::from_secs(5)).await;
//! # let tool = &sink.find(codex_telemetry::Operation::Tool, codex_telemetry::Outcome::Error)[0];
//! # assert_eq!(tool.error_class(), Some(codex_telemetry::ErrorClass::ApprovalDenied));
//! # Ok(())
//! # }
//! ```
//!
//! ## A client of your own
//!
//! The layers know nothing of Codex. [`Call`] adds a context to a request of any type, a function of the error is a
//! classifier, and an [`Operation`] is the prefix of the event names:
//!
//! ```
//! use codex_telemetry::{
//!     Call, ErrorClass, MemorySink, Operation, Originator, Outcome, ServiceBuilderExt,
//! };
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let sink = MemorySink::new();
//! let buy = ServiceBuilder::new()
//!     .originator(Originator::Sdk)
//!     .timing(sink.clone())
//!     .error_class(|_: &&str| ErrorClass::Overloaded)
//!     .service_fn(|call: Call<i64>| async move {
//!         call.context.record("tickets", call.request); // an attribute of the open call
//!         if call.request > 3 { Err("sold out") } else { Ok(call.request) }
//!     });
//!
//! let operation = Operation::Custom("tickets.buy");
//! assert_eq!(buy.clone().oneshot(Call::new(operation, 2)).await, Ok(2));
//! assert_eq!(buy.oneshot(Call::new(operation, 4)).await, Err("sold out"));
//!
//! let failed = &sink.find(operation, Outcome::Error)[0];
//! assert_eq!(failed.name(), "tickets.buy.exception");
//! assert_eq!(failed.error_class(), Some(ErrorClass::Overloaded));
//! assert_eq!(failed.originator(), Some(&Originator::Sdk));
//! assert_eq!(failed.attribute("tickets"), Some(&4.into()));
//! # }
//! ```
//!
//! # Tutorial
//!
//! ## A request carries its context
//!
//! There is no global state. The originator, the trace and the open call ride in the request, as its [`CallContext`]. So
//! a call may move between threads and tasks, and any executor will do. [`TurnRequest`] and [`ToolCall`] have a context;
//! [`Call`] adds one to other types, and a type of your own can implement [`CodexRequest`].
//!
//! ```
//! use codex_telemetry::{Call, CallContext, Operation};
//!
//! let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"; // the header `traceparent`
//! let context = CallContext::new().with_thread_id("thread-7").with_traceparent(caller, None);
//! let call = Call::new(Operation::Custom("tickets.buy"), 2).with_context(context);
//! assert_eq!(call.context.thread_id(), Some("thread-7"));
//! ```
//!
//! ## A sink receives two events of each call
//!
//! ```
//! use codex_telemetry::{Call, MemorySink, Operation, TimingLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), &'static str> {
//! let sink = MemorySink::new();
//! let buy = TimingLayer::new(sink.clone())
//!     .layer(service_fn(|call: Call<u32>| async move { Ok::<_, &str>(call.request) }));
//! buy.oneshot(Call::new(Operation::Custom("tickets.buy"), 2)).await?;
//!
//! let [start, stop] = &sink.events()[..] else { panic!("a call has two events") };
//! assert_eq!((start.name(), stop.name()), ("tickets.buy.start".into(), "tickets.buy.stop".into()));
//! assert_eq!(start.span_id(), stop.span_id());
//! assert!(stop.duration().is_some());
//! # Ok(())
//! # }
//! ```
//!
//! [`MemorySink`] is for tests. [`sink`] has the others, and [`FanOut`] emits to several. A sink that is `None` or `()`
//! switches the layers off.
//!
//! ## An error has a class
//!
//! An [`ErrorClass`] is a name that metrics can count by, and it knows whether a retry may help. A classifier is any
//! function of the error that returns one, or a [`Classification`], which adds the error's text and the time to wait.
//! [`CodexClassifier`] knows the errors of this crate, of tower, of tokio and of the standard library, and
//! [`CodexClassifier::with`] adds yours.
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
//! let classification = classifier.classify(&TooManyRequests { retry_after: Duration::from_secs(2) });
//! assert!(classification.class.is_retryable());
//! assert_eq!(classification.class.as_str(), "rate_limit");
//! ```
//!
//! A call that is dropped has the class `cancelled`, and one that panics has the class `panic`, without a classifier.
//! [`error_classes`] says what each class means and what to do about it.
//!
//! ## A call has children
//!
//! A request that is made on behalf of another one takes a child of its context. Its call is then a child of the open
//! call, in the same trace, and the [`Timeline`] nests it.
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
//! assert_eq!(paid.parent_span_id(), Some(bought.span_id()));
//! assert_eq!(paid.trace_id(), bought.trace_id());
//! # Ok(())
//! # }
//! ```
//!
//! ## A retry is decided by the class
//!
//! [`RetryPolicy`] is a policy for tower's retry layer. It retries a call if the class of its error is retryable, and a
//! turn, which has side effects, only after a refusal. [`retry`] has the order of the layers around it.
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
//! ## Export, and what is active now
//!
//! [`otlp::from_env`] returns an [`OtlpSink`] if `CODEX_OTLP_ENDPOINT` is set, and `None` otherwise. [`otlp::config`]
//! lists the other variables. [`ActiveCalls`] lists the calls that are active now, for a health page or a signal handler.
//!
//! ```
//! use codex_telemetry::{ActiveCalls, FanOut, TimingLayer, otlp};
//! use std::time::Duration;
//!
//! let (active, export) = (ActiveCalls::new(), otlp::from_env());
//! let timing = TimingLayer::new(FanOut::new().with(active.clone()).with(export.clone()));
//! // … calls through the layer, and meanwhile:
//! eprint!("{active}");
//! // At exit:
//! if let Some(export) = export
//!     && let Err(undelivered) = export.blocking_shutdown(Duration::from_secs(5))
//! {
//!     eprintln!("{undelivered}");
//! }
//! # let _ = timing;
//! ```
//!
//! # What goes where
//!
//! From the outside in:
//!
//! | layer | place | elsewhere |
//! |---|---|---|
//! | [`OriginatorLayer`] | outermost | inside of the timing layer, it shows on the terminal event only |
//! | [`TimingLayer`] | around the work to be timed; one inside of another makes a child call | |
//! | [`ErrorClassLayer`] | inside of the timing layer, whose call it writes on | outside of it, it finds no open call |
//! | layers that make errors of their own: a timeout, load shedding | inside of the error class layer | outside of it, their errors have no class |
//! | a queue (`buffer`), a limit | inside of the timing layer, so that the wait is seen | outside of it, the call begins after the wait |
//! | tower's retry layer with a [`RetryPolicy`] | inside of load shedding and the queue | outside of load shedding, it repeats what was just refused |
//!
//! Every order works, and none loses or repeats an event. [`guide::operating`] has the whole stack of a service.
//!
//! - **Errors and panics.** The layers return no errors of their own. A panic passes through them and ends the call as a
//!   panic.
//! - **Cancellation.** A future that is dropped ends its call as cancelled. Dropping the future of a service cancels its
//!   work; the section "Cancel safety" of each service says what that leaves behind.
//! - **Sinks.** A sink that panics is detached, and the calls continue without it.
//! - **Streams.** A call ends when the response arrives. A service whose response is a stream can keep the call open until
//!   the stream ends; see [`CallContext::keep_open`].
//! - **Content.** Prompts, commands, arguments and outputs are recorded only for a sink that
//!   [asks for them](Sink::captures_content).
//!
//! # Where the time goes
//!
//! At each moment a turn is in one [`Phase`], so the phases of a turn add up to its duration: it waits for a permit or for
//! its thread, Codex starts, the model works, tools run, somebody decides, something is tried again. They are in
//! [`Turn::phases`](turn::Turn), in [`Event::phases`], and in the timeline:
//!
//! ```text
//! codex.turn release-notes        ▂▂▂▂▂▓▓▓▓▓▓▓▓███████▓▓▓▓▓▓?????????▓▓▓▓▓▓▓▓▓▓  4232.686 ms  ok
//!   · wait 0.4 + ▂ startup 475.8 + ▓ model 2305.0 + █ tools 649.2 + ? approval 802.1
//!   + ─ other 0.2 = 4232.7 ms
//! ```
//!
//! A turn that fails or is cancelled says what it was waiting for. [`Phase`] has what each service can tell.
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
//! | [`guide::transports`] | `codex exec` or the app-server |
//! | [`guide::approvals`] | who decides what Codex and your tools may do |
//! | [`guide::host_tools`] | functions of the program that the model calls |
//! | [`guide::backends`] | what to set for each product, and what it shows |
//! | [`guide::operating`] | a service around the layers |
//! | [`error_classes`] | what each error class means, and what to do about it |
//! | [`otlp::config`] | every variable of the OTLP export, and their precedence |
//! | [`runbook`] | operation, from the symptom to the command |
//! | [`overhead`] | the cost of the layers, and how it was measured |
//! | [`design`] | how the crate is built, and why |

#![cfg_attr(docsrs, feature(doc_cfg))]
// The pages link to what a smaller build leaves out.
#![cfg_attr(
    not(all(
        feature = "json",
        feature = "mcp",
        feature = "otlp",
        feature = "schemars",
        feature = "services",
        unix
    )),
    allow(rustdoc::broken_intra_doc_links)
)]
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
pub mod guide;
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

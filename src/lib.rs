//! Tower layers that time, attribute and classify what a Codex application does.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::print_stderr, clippy::print_stdout)]

#[cfg(feature = "services")]
pub mod attachment;
#[cfg(feature = "services")]
mod builder;
pub mod call;
#[cfg(feature = "services")]
mod classifier;
mod error;
pub mod error_class;
pub mod event;
pub mod originator;
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
pub use crate::{builder::ServiceBuilderExt, classifier::CodexClassifier};
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

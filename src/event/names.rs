//! The keys of the attributes and contents that the services record, and the names of their span events.
//!
//! Keys that begin with `codex.` are the crate's own. The others are OpenTelemetry's semantic conventions, of which those
//! for generative AI and MCP are still in development.
//!
//! A service of a program's own that records the same keys is shown as the crate's services are. A consumer of events
//! reads by them:
//!
//! ```
//! use codex_telemetry::{Call, MemorySink, Operation, TimingLayer, event::names};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), ()> {
//! let sink = MemorySink::new();
//! let chat = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<()>| async move {
//!     call.context.record(names::PROVIDER_NAME, "openai");
//!     call.context.record(names::OUTPUT_TOKENS, 12);
//!     Ok::<_, ()>(())
//! }));
//! chat.oneshot(Call::new(Operation::Chat, ()).with_name("gpt-5")).await?;
//!
//! let stop = &sink.events()[1];
//! assert_eq!(stop.attribute(names::OUTPUT_TOKENS), Some(&12.into()));
//! assert_eq!(stop.attribute("gen_ai.provider.name"), Some(&"openai".into()));
//! # Ok(())
//! # }
//! ```

/// The model that the request names. Of a [chat call](crate::Operation::Chat), the call's name is the model.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// The provider of the model, by its id in Codex's configuration.
pub const PROVIDER_NAME: &str = "gen_ai.provider.name";
/// Input tokens, cached ones included.
pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Output tokens.
pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// Input tokens that were read from the provider's cache.
pub const CACHE_READ_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
/// Input tokens that were written to the provider's cache.
pub const CACHE_WRITE_TOKENS: &str = "gen_ai.usage.cache_write.input_tokens";
/// Output tokens that were spent on reasoning.
pub const REASONING_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";
/// The provider's id of a model response.
pub const RESPONSE_ID: &str = "gen_ai.response.id";
/// Seconds, as a float, from the start of a chat call to the first part of the model's response.
pub const RESPONSE_TIME_TO_FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
/// Whether a model response was made after Codex had, earlier in the turn, replaced the conversation by a summary. It
/// is only ever `true`.
pub const CONVERSATION_COMPACTED: &str = "gen_ai.conversation.compacted";
/// The HTTP status of the provider's answer, as Codex passes it on.
pub const HTTP_STATUS: &str = "http.response.status_code";
/// Codex's own name of the kind of an error, such as `usageLimitExceeded`: its `codexErrorInfo`.
pub const ERROR_KIND: &str = "codex.error.kind";
/// The type of a tool: `function` or `extension`.
pub const TOOL_TYPE: &str = "gen_ai.tool.type";
/// How many tools a turn called.
pub const TOOL_CALLS: &str = "codex.turn.tool_calls";
/// How many model responses a turn had, failed ones included. A turn records it only if each of them is a
/// [chat call](crate::Operation::Chat): then its tokens are counted by these calls.
pub const INFERENCE_CALLS: &str = "codex.turn.inference_calls";
/// Milliseconds, as a float, that a turn waited for the end of another turn of its thread.
pub const THREAD_WAIT: &str = "codex.turn.thread_wait_ms";
/// Milliseconds, as a float, from the start of a turn to the first part of the model's first response.
pub const TIME_TO_FIRST_TOKEN: &str = "codex.turn.time_to_first_token_ms";
/// The [phase](crate::Phase) in which a turn ended that did not complete: what it waited for.
pub const PHASE: &str = "codex.turn.phase";
/// Milliseconds, as a float, of a turn in the phase [`Wait`](crate::Phase::Wait). All phases add up to the duration.
pub const PHASE_WAIT: &str = "codex.turn.phase.wait_ms";
/// Milliseconds, as a float, of a turn in the phase [`Startup`](crate::Phase::Startup).
pub const PHASE_STARTUP: &str = "codex.turn.phase.startup_ms";
/// Milliseconds, as a float, of a turn in the phase [`Model`](crate::Phase::Model).
pub const PHASE_MODEL: &str = "codex.turn.phase.model_ms";
/// Milliseconds, as a float, of a turn in the phase [`Tools`](crate::Phase::Tools). Tools that run at once count once.
pub const PHASE_TOOLS: &str = "codex.turn.phase.tools_ms";
/// Milliseconds, as a float, of a turn in the phase [`Approval`](crate::Phase::Approval).
pub const PHASE_APPROVAL: &str = "codex.turn.phase.approval_ms";
/// Milliseconds, as a float, of a turn in the phase [`Retry`](crate::Phase::Retry).
pub const PHASE_RETRY: &str = "codex.turn.phase.retry_ms";
/// Milliseconds, as a float, of a turn in the phase [`Other`](crate::Phase::Other).
pub const PHASE_OTHER: &str = "codex.turn.phase.other_ms";
/// Milliseconds, as a float, that a tool ran, by Codex's own measure. Waits for approvals are not in it, and neither is
/// the begin of a command: of `sleep 0.4` it is 280 to 315.
pub const ITEM_DURATION: &str = "codex.tool.duration_ms";
/// Milliseconds, as a float, that a tool call waited for its approvals.
pub const APPROVAL_WAIT: &str = "codex.tool.approval_wait_ms";
/// How the last wait for an approval ended.
///
/// It is the `Decision` of the approver (`accept`, `accept_for_session`, `accept_with_execpolicy_amendment`, `decline`,
/// `cancel`), or `error` (the approver failed or panicked), `timeout` (no answer before the deadline) or `unanswered`
/// (the caller gave up before, or the turn ended).
///
/// The call of the tool that waited has it. A program that asks an approver by itself can record it on the call
/// `codex.approval` instead, but not on both: wherever it is, it is counted as an approval.
pub const APPROVAL_DECISION: &str = "codex.approval.decision";
/// The id of the item of `codex exec` that reports a tool call. It is Codex's own id, not the model's.
pub const ITEM_ID: &str = "codex.item.id";
/// The messages that a turn was asked with, as JSON. A content.
pub const INPUT_MESSAGES: &str = "gen_ai.input.messages";
/// The messages that a turn was answered with, as JSON. A content.
pub const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";
/// The arguments of a tool call, as JSON. A content.
pub const TOOL_CALL_ARGUMENTS: &str = "gen_ai.tool.call.arguments";
/// The result of a tool call, as text or as JSON. A content.
pub const TOOL_CALL_RESULT: &str = "gen_ai.tool.call.result";
/// The exit code of a process.
pub const EXIT_CODE: &str = "process.exit.code";
/// The signal that ended a process.
pub const EXIT_SIGNAL: &str = "codex.process.exit.signal";
/// The end of what a process wrote to standard error.
pub const STDERR_TAIL: &str = "codex.process.stderr_tail";
/// How often Codex reconnected to the model's provider during a turn.
pub const RETRIES: &str = "codex.turn.retries";
/// Milliseconds from the start of a turn to the first event that Codex wrote.
pub const TIME_TO_FIRST_EVENT: &str = "codex.turn.time_to_first_event_ms";
/// How many events and items of a turn are unknown to this version of the crate.
pub const UNKNOWN_EVENTS: &str = "codex.turn.unknown_events";
/// How much progress of a turn was dropped, because the reader did not take it in time.
pub const DROPPED_PROGRESS: &str = "codex.turn.dropped_progress";
/// The MCP server that a tool belongs to.
pub const MCP_SERVER: &str = "codex.mcp.server";
/// The method of MCP by which a client called a tool of this program: `tools/call`.
pub const MCP_METHOD: &str = "mcp.method.name";
/// The version of MCP that the client uses.
pub const MCP_PROTOCOL_VERSION: &str = "mcp.protocol.version";
/// The client's id of the request, as text.
pub const JSONRPC_REQUEST_ID: &str = "jsonrpc.request.id";
/// The transport of the request: `tcp`.
pub const NETWORK_TRANSPORT: &str = "network.transport";
/// The protocol of the request: `http`.
pub const NETWORK_PROTOCOL_NAME: &str = "network.protocol.name";
/// The IP address of the client.
pub const CLIENT_ADDRESS: &str = "client.address";
/// The port of the client.
pub const CLIENT_PORT: &str = "client.port";
/// The size of a staged attachment in bytes.
pub const STAGE_SIZE: &str = "codex.attachment.size";
/// Whether the store had a staged attachment before.
pub const STAGE_EXISTED: &str = "codex.attachment.existed";
/// How many files a sweep kept, leased ones included.
pub const CLEANUP_KEPT: &str = "codex.attachment.kept";
/// How many files a sweep kept because they are leased.
pub const CLEANUP_LEASED: &str = "codex.attachment.leased";
/// How many files a sweep removed.
pub const CLEANUP_REMOVED: &str = "codex.attachment.removed";
/// How many files a sweep failed to remove.
pub const CLEANUP_FAILED: &str = "codex.attachment.failed";
/// How many bytes a sweep removed.
pub const CLEANUP_BYTES: &str = "codex.attachment.removed_bytes";

/// The span event of a snapshot of the account's rate limits. It has the numbers that Codex told, by the keys
/// that begin with `RATE_LIMIT_`.
pub const RATE_LIMITS: &str = "codex.rate_limits";
/// The id of the limit, such as `codex`.
pub const RATE_LIMIT_ID: &str = "codex.rate_limits.id";
/// The account's plan.
pub const RATE_LIMIT_PLAN: &str = "codex.rate_limits.plan";
/// The limit that is reached.
pub const RATE_LIMIT_REACHED: &str = "codex.rate_limits.reached";
/// How much of the first window is used, in per cent, as a float.
pub const RATE_LIMIT_PRIMARY_USED: &str = "codex.rate_limits.primary.used_percent";
/// The length of the first window, in minutes.
pub const RATE_LIMIT_PRIMARY_WINDOW: &str = "codex.rate_limits.primary.window_minutes";
/// When the first window starts again, in seconds since the Unix epoch.
pub const RATE_LIMIT_PRIMARY_RESETS: &str = "codex.rate_limits.primary.resets_at";
/// How much of the second window is used, in per cent, as a float.
pub const RATE_LIMIT_SECONDARY_USED: &str = "codex.rate_limits.secondary.used_percent";
/// The length of the second window, in minutes.
pub const RATE_LIMIT_SECONDARY_WINDOW: &str = "codex.rate_limits.secondary.window_minutes";
/// When the second window starts again, in seconds since the Unix epoch.
pub const RATE_LIMIT_SECONDARY_RESETS: &str = "codex.rate_limits.secondary.resets_at";
/// The span event of a compaction: Codex replaced the earlier conversation by a summary.
pub const COMPACTION: &str = "codex.context_compaction";
/// How many tokens the conversation had before a compaction: all of the last model response.
pub const CONTEXT_TOKENS: &str = "codex.context.tokens";
/// The size of the model's context window, in tokens.
pub const CONTEXT_WINDOW: &str = "codex.context.window";

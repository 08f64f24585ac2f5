//! The keys of the attributes and contents that the services record.
//!
//! Keys that begin with `gen_ai.` or `process.` are OpenTelemetry's semantic conventions, of which the
//! generative-AI part is still in development. The crate defines the others.

/// The model that the request names.
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
/// The type of a tool: `function` or `extension`.
pub const TOOL_TYPE: &str = "gen_ai.tool.type";
/// How many tools a turn called.
pub const TOOL_CALLS: &str = "codex.turn.tool_calls";
/// Milliseconds that a tool call waited for an approval.
pub const APPROVAL_WAIT: &str = "codex.tool.approval_wait_ms";
/// How the wait for an approval ended: `accept`, `accept_for_session`, `accept_with_execpolicy_amendment`,
/// `decline`, `cancel`, `timeout`, `error` or `unanswered`. The call that waited has it, or the approval's own, but
/// not both: it is counted as an approval.
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

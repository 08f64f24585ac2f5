//! The names of attributes in OpenTelemetry's semantic conventions, and those of this crate. The conventions
//! for generative AI are in development: changes belong here, or in `instruments.rs` for metrics.

use opentelemetry::InstrumentationScope;

use crate::otlp::config::SCHEMA_URL;

/// The name of the instrumentation scope.
pub(crate) const SCOPE: &str = env!("CARGO_PKG_NAME");

pub(crate) const OPERATION_NAME: &str = "gen_ai.operation.name";
pub(crate) const DEFAULT_PROVIDER: &str = "openai";
pub(crate) const INVOKE_AGENT: &str = "invoke_agent";
pub(crate) const CHAT: &str = "chat";
pub(crate) const EXECUTE_TOOL: &str = "execute_tool";
pub(crate) const AGENT_NAME: &str = "gen_ai.agent.name";
pub(crate) const TOOL_NAME: &str = "gen_ai.tool.name";
pub(crate) const TOOL_CALL_ID: &str = "gen_ai.tool.call.id";
pub(crate) const CONVERSATION_ID: &str = "gen_ai.conversation.id";
pub(crate) const TOKEN_TYPE: &str = "gen_ai.token.type";
pub(crate) const TOKEN_MODALITY: &str = "gen_ai.token.modality";
pub(crate) const ERROR_TYPE: &str = "error.type";
pub(crate) const EXCEPTION: &str = "exception";
pub(crate) const EXCEPTION_TYPE: &str = "exception.type";
pub(crate) const EXCEPTION_MESSAGE: &str = "exception.message";
pub(crate) const ORIGINATOR: &str = "codex.originator";
pub(crate) const TURN_ID: &str = "codex.turn.id";
pub(crate) const CALL_ID: &str = "codex.call.id";
pub(crate) const ATTEMPT: &str = "codex.attempt";
pub(crate) const OUTCOME: &str = "codex.outcome";
pub(crate) const DURATION_MS: &str = "codex.duration_ms";
pub(crate) const OPERATION: &str = "codex.operation";
pub(crate) const PHASE: &str = "codex.phase";
pub(crate) const COMPONENT_TYPE: &str = "otel.component.type";
pub(crate) const COMPONENT_NAME: &str = "otel.component.name";
pub(crate) const SERVER_ADDRESS: &str = "server.address";
pub(crate) const SERVER_PORT: &str = "server.port";

/// The modality of tokens: Codex does not tell which of them are of images.
pub(crate) const UNKNOWN: &str = "unknown";
/// The value of a label that is not one of a known, limited set.
pub(crate) const OTHER: &str = "_OTHER";

/// Returns the scope of everything that the sink exports.
pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(SCOPE)
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(SCHEMA_URL)
        .build()
}

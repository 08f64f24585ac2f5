//! Codex's own texts, in lower case.

use crate::event::ErrorClass;

/// The text before an HTTP status number.
pub(super) const STATUS_OPENINGS: &[&str] =
    &["unexpected status ", "exceeded retry limit, last status: "];

/// The text before another error.
pub(super) const PREFIXES: &[&str] = &["error running remote compact task: ", "fatal error: "];

/// The text before the reason why a response is incomplete.
pub(super) const STREAM: &str = "stream disconnected before completion: ";

/// The beginnings of the texts that may say when to try again.
pub(super) const RATE_LIMIT: &str = "rate limit";
pub(super) const USAGE_LIMIT: &str = "you've hit your usage limit";

/// The class of a text by its beginning, and how Codex goes on. What follows may be a text of others.
pub(super) const OPENINGS: &[(&str, ErrorClass, &[&str])] = &[
    (
        "codex ran out of room",
        ErrorClass::ContextWindow,
        &[
            " in the model's context window. start a new thread or clear earlier history before \
             retrying.",
            " in the model's context window",
        ],
    ),
    (
        "your input exceeds the context window",
        ErrorClass::ContextWindow,
        &[" of this model"],
    ),
    (
        "quota exceeded",
        ErrorClass::UsageLimit,
        &[". check your plan and billing details."],
    ),
    (
        "to use codex with your chatgpt plan",
        ErrorClass::UsageLimit,
        &[", upgrade to plus: https://chatgpt.com/explore/plus."],
    ),
    (
        "we're currently experiencing high demand",
        ErrorClass::ServerError,
        &[", which may cause temporary errors."],
    ),
    (
        "selected model is at capacity",
        ErrorClass::Overloaded,
        &[". please try a different model."],
    ),
    // The name of the variable follows.
    (
        "missing environment variable",
        ErrorClass::Unauthorized,
        &[],
    ),
    (
        "your access token could not be refreshed",
        ErrorClass::Unauthorized,
        &[],
    ),
    ("invalid prompt", ErrorClass::InvalidRequest, &[]),
    (
        "incomplete response",
        ErrorClass::Incomplete,
        &[
            " returned, reason: max_output_tokens",
            " returned, reason: content_filter",
            " returned",
        ],
    ),
    (
        "idle timeout waiting for",
        ErrorClass::Timeout,
        &[" sse", " websocket"],
    ),
    (
        "stream closed before",
        ErrorClass::Transport,
        &[" response.completed"],
    ),
    ("response.failed event received", ErrorClass::Transport, &[]),
    (
        "transport error: network error: error decoding response body",
        ErrorClass::Transport,
        &[],
    ),
    ("connection failed: ", ErrorClass::Transport, &[]),
    ("error sending request", ErrorClass::Transport, &[]),
    // The HTTP client's error for an invalid URL.
    ("builder error", ErrorClass::Config, &[]),
    ("too many redirects", ErrorClass::Protocol, &[]),
    ("utf8 error: ", ErrorClass::Protocol, &[]),
    (
        "failed to parse responsecompleted",
        ErrorClass::Protocol,
        &[],
    ),
];

/// The class of a code in the JSON body of a bad request, which Codex passes on unchanged.
pub(super) const CODES: &[(&str, ErrorClass)] = &[
    ("context_length_exceeded", ErrorClass::ContextWindow),
    ("usage_limit_reached", ErrorClass::UsageLimit),
    ("usage_not_included", ErrorClass::UsageLimit),
    ("insufficient_quota", ErrorClass::UsageLimit),
    ("billing_hard_limit_reached", ErrorClass::UsageLimit),
    ("rate_limit_exceeded", ErrorClass::RateLimit),
    ("invalid_api_key", ErrorClass::Unauthorized),
];

/// What is before the key of a setting with an invalid value.
pub(super) const SETTING: &str = " in `";

/// The class of a process that exited without a turn, by a fragment of its standard error.
/// The first match counts.
pub(super) const STARTUP_FRAGMENTS: &[(&str, ErrorClass)] = &[
    ("exceeds the maximum length", ErrorClass::InvalidRequest),
    ("no prompt provided", ErrorClass::InvalidRequest),
    ("no rollout found", ErrorClass::InvalidRequest),
    ("already has an active writer", ErrorClass::InvalidRequest),
    ("not inside a trusted directory", ErrorClass::Config),
    ("error loading config", ErrorClass::Config),
    ("error loading rules", ErrorClass::Config),
    ("error finding codex home", ErrorClass::Config),
    ("codex_home points to", ErrorClass::Config),
    ("failed to initialize sqlite state runtime", ErrorClass::Io),
    ("mcp servers failed", ErrorClass::Config),
    ("model provider", ErrorClass::Config),
    ("is no longer supported", ErrorClass::Config),
    (SETTING, ErrorClass::Config),
    // Rust's format of an operating system error.
    ("(os error ", ErrorClass::Io),
    // For example, because the thread's file is corrupt.
    ("thread/resume failed", ErrorClass::InvalidRequest),
    // JSON-RPC's codes of an invalid request and invalid parameters: Codex uses it internally.
    ("(code -32600)", ErrorClass::InvalidRequest),
    ("(code -32602)", ErrorClass::InvalidRequest),
];

/// The beginnings of lines on standard error that are never a cause: Codex writes the first two in any
/// case, and Rust writes the last one after a panic.
pub(super) const NOISE: &[&str] = &["Reading ", "WARNING: ", "note: "];

/// The message of a tool whose error is a text of others.
pub(super) const TOOL_FAILED: &str = "the tool reported a failure";

/// The causes of a tool's failure that Codex finds itself. What follows one of them is a text of others.
pub(super) const TOOL_CAUSES: &[&str] = &["timed out awaiting tools/call", "transport closed"];

/// The errors of a tool that Codex did not call.
pub(super) const TOOL_REFUSALS: &[&str] = &[
    "mcp tool call requires approval, but approval policy is never",
    "user rejected mcp tool call",
    "user cancelled mcp tool call",
];

/// The class of a request that the app-server rejected, by the beginning of its text. What follows may be a
/// text of others.
pub(super) const REJECTIONS: &[(&str, ErrorClass)] = &[
    ("no rollout found", ErrorClass::InvalidRequest),
    ("thread not found", ErrorClass::InvalidRequest),
    ("invalid thread id", ErrorClass::InvalidRequest),
    ("invalid session id", ErrorClass::InvalidRequest),
    // For example, because the thread's file is corrupt.
    ("failed to read thread", ErrorClass::InvalidRequest),
    (
        "input exceeds the maximum length",
        ErrorClass::InvalidRequest,
    ),
    ("no active turn to interrupt", ErrorClass::InvalidRequest),
    ("no active turn to steer", ErrorClass::InvalidRequest),
    ("expected active turn id", ErrorClass::InvalidRequest),
    ("dynamic tool name must match", ErrorClass::InvalidRequest),
    ("not initialized", ErrorClass::InvalidRequest),
    ("already initialized", ErrorClass::InvalidRequest),
    // The version of Codex is another one than this crate knows.
    (
        "invalid request: unknown variant",
        ErrorClass::InvalidRequest,
    ),
    ("invalid request: missing field", ErrorClass::InvalidRequest),
    ("invalid request: invalid type", ErrorClass::InvalidRequest),
    ("invalid request", ErrorClass::InvalidRequest),
    (
        "failed to load configuration: model provider",
        ErrorClass::Config,
    ),
    ("failed to load configuration", ErrorClass::Config),
    (
        "error creating thread: fatal error: failed to initialize session: required mcp servers failed",
        ErrorClass::Config,
    ),
    ("server overloaded", ErrorClass::Overloaded),
];

/// The end of the text of a thread that another process has open: `thread ID already has an active writer`.
/// A retry does not help before that process ends or closes the thread.
pub(super) const ACTIVE_WRITER: &str = " already has an active writer";

/// Codex's own kinds of errors whose class does not depend on the words.
pub(super) const INFOS: &[(&str, ErrorClass)] = &[
    ("contextWindowExceeded", ErrorClass::ContextWindow),
    ("sessionBudgetExceeded", ErrorClass::UsageLimit),
    ("usageLimitExceeded", ErrorClass::UsageLimit),
    ("rateLimitExceeded", ErrorClass::RateLimit),
    ("flexUnavailable", ErrorClass::Overloaded),
    ("serverOverloaded", ErrorClass::Overloaded),
    ("modelNotFound", ErrorClass::InvalidRequest),
    ("policyCapacityUnavailable", ErrorClass::Overloaded),
    ("inferenceHookDenied", ErrorClass::PolicyDenied),
    ("cyberPolicy", ErrorClass::PolicyDenied),
    ("misalignmentPolicyViolation", ErrorClass::PolicyDenied),
    ("tooManyDenials", ErrorClass::ApprovalDenied),
    ("internalServerError", ErrorClass::ServerError),
    ("unauthorized", ErrorClass::Unauthorized),
    ("sandboxError", ErrorClass::SandboxDenied),
    ("activeTurnNotSteerable", ErrorClass::InvalidRequest),
];

/// Codex's own kinds of errors that say less than its words, if the words are known. The connections have the
/// HTTP status as well, if there was an answer.
pub(super) const VAGUE_INFOS: &[(&str, ErrorClass)] = &[
    ("badRequest", ErrorClass::InvalidRequest),
    ("httpConnectionFailed", ErrorClass::Transport),
    ("responseStreamConnectionFailed", ErrorClass::Transport),
    ("responseStreamDisconnected", ErrorClass::Transport),
];

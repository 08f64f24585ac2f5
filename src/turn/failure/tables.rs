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
    ("mcp servers failed", ErrorClass::Config),
    ("model provider", ErrorClass::Config),
    ("is no longer supported", ErrorClass::Config),
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
    ("badRequest", ErrorClass::InvalidRequest),
    ("sandboxError", ErrorClass::SandboxDenied),
];

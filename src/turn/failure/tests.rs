//! Texts of Codex, with what is known of them.

use super::*;

#[test]
fn a_known_message_has_its_class() {
    use ErrorClass as C;
    for (message, class) in [
        (
            "exceeded retry limit, last status: 429 Too Many Requests",
            C::RateLimit,
        ),
        ("rate limit exceeded: slow down", C::RateLimit),
        ("You’ve hit your usage limit. Upgrade", C::UsageLimit),
        ("You've hit your usage limit.", C::UsageLimit),
        ("unexpected status 401 Unauthorized: nope", C::Unauthorized),
        (
            "Codex ran out of room in the model's context window.",
            C::ContextWindow,
        ),
        ("{\"error\":{\"message\":\"x\"}}", C::InvalidRequest),
        (
            "We’re currently experiencing high demand, which",
            C::ServerError,
        ),
        ("stream disconnected before completion: eof", C::Transport),
        (
            "Error running remote compact task: rate limit exceeded: x",
            C::RateLimit,
        ),
        (
            "Your access token could not be refreshed. Log in again.",
            C::Unauthorized,
        ),
        ("a sentence of the future", C::Other),
        ("the status quo: 12 apples", C::Other),
        ("", C::Other),
    ] {
        assert_eq!(of_message(message).class, class, "{message}");
    }
}

#[test]
fn any_number_of_prefixes_is_skipped() {
    let nested = format!("{}Quota exceeded.", "Fatal error: ".repeat(100_000));
    assert_eq!(of_message(&nested).class, ErrorClass::UsageLimit);
}

#[test]
fn text_of_the_user_or_the_provider_does_not_decide_the_class() {
    use ErrorClass as C;
    let text = "unexpected status 401, rate limit exceeded, the context window, try again in 5s";
    for (message, class) in [
        (format!("your prompt says: {text}"), C::Other),
        (format!("\"{text}\""), C::Other),
        (
            format!("{{\"error\":{{\"message\":\"{text}\"}}}}"),
            C::InvalidRequest,
        ),
        (
            format!("unexpected status 403 Forbidden: {text}"),
            C::Unauthorized,
        ),
        (format!("unexpected status 409 Conflict: {text}"), C::Other),
    ] {
        let failure = of_message(&message);
        assert_eq!(
            (failure.class, failure.retry_after),
            (class, None),
            "{message}"
        );
    }
}

#[test]
fn the_cause_is_the_last_error_line_without_the_lines_around_it() {
    for (stderr, expected) in [
        (
            "Reading prompt from stdin...\nError: no rollout found\n\nStack backtrace:\n 0: x",
            Some("Error: no rollout found"),
        ),
        (
            "Reading additional input from stdin...\nNot inside a trusted directory\n",
            Some("Not inside a trusted directory"),
        ),
        ("Reading prompt from stdin...\n\n", None),
        (
            "thread 'main' panicked at x.rs:1:1:\nno space\nnote: run with `RUST_BACKTRACE=1`",
            Some("no space"),
        ),
    ] {
        assert_eq!(cause(stderr).as_deref(), expected);
    }
}

#[test]
fn the_cause_includes_the_location_on_the_lines_below() {
    let broken = "Error loading config.toml:\nconfig.toml:1:1: a key is missing\n  |\n1 | = 7\n";
    let expected = "Error loading config.toml: config.toml:1:1: a key is missing";
    assert_eq!(cause(broken).as_deref(), Some(expected));
    let located = "Error loading config.toml: unknown variant `x`\nin `approval_policy`\n\n";
    let expected = "Error loading config.toml: unknown variant `x` in `approval_policy`";
    assert_eq!(cause(located).as_deref(), Some(expected));
}

#[test]
fn the_words_of_codex_are_recorded_and_those_of_others_are_not() {
    for (message, recorded) in [
        (
            "rate limit exceeded: Please try again in 1.5s.",
            "rate limit exceeded: Please try again in 1.5s.",
        ),
        (
            "rate limit exceeded: Rate limit reached for gpt-5.5. Please try again in 1.5s.",
            "rate limit exceeded: Rate limit reached …",
        ),
        ("rate limit exceeded: you said x", "rate limit exceeded …"),
        (
            "You’ve hit your usage limit. Visit x",
            "You’ve hit your usage limit …",
        ),
        (
            "unexpected status 401 Unauthorized: x, url: y",
            "unexpected status 401 …",
        ),
        (
            "exceeded retry limit, last status: 429 Too Many Requests",
            "exceeded retry limit, last status: 429 …",
        ),
        (
            "Selected model is at capacity. Please try a different model.",
            "Selected model is at capacity. Please try a different model.",
        ),
        (
            "Selected model is at capacity. You said x",
            "Selected model is at capacity …",
        ),
        (
            "Missing environment variable: `OPENAI_API_KEY`.",
            "Missing environment variable: `OPENAI_API_KEY`.",
        ),
        (
            "Missing environment variable: `x y`",
            "Missing environment variable …",
        ),
        (
            "The model `gpt-0` does not exist",
            "The model `gpt-0` does not exist",
        ),
        ("The model `you said x` does not exist", "The model …"),
        (
            "stream disconnected before completion: idle timeout waiting for SSE",
            "stream disconnected before completion: idle timeout waiting for SSE",
        ),
        (
            "stream disconnected before completion: you said x",
            "stream disconnected before completion …",
        ),
        (
            r#"{"error":{"code":"a_code","message":"x"}}"#,
            "a bad request with the code `a_code`",
        ),
        (r#"{"error":{"code":"you said x"}}"#, "a bad request"),
        (
            "you said x",
            "an unknown text of 10 bytes, which is not recorded",
        ),
        (" ", "Codex reported no reason"),
    ] {
        assert_eq!(of_message(message).recorded, recorded, "{message}");
    }
}

#[test]
fn the_count_of_a_retry_is_recorded_with_the_words_of_codex() {
    for (message, recorded) in [
        ("Reconnecting... 1/5", "Reconnecting... 1/5"),
        (
            "Reconnecting... waiting for network",
            "Reconnecting... waiting for network",
        ),
        (
            "Reconnecting... 2/5 (stream disconnected before completion: you said x)",
            "Reconnecting... 2/5 (stream disconnected before completion …)",
        ),
        ("Reconnecting you said 5", "Reconnecting"),
    ] {
        assert_eq!(of_retry(message), recorded);
    }
}

#[test]
fn a_cause_that_codex_finds_is_recorded_of_a_tool() {
    let of = |cause: &str| {
        let error = "tool call error: tool call failed for `a/b`\n\nCaused by:\n    ";
        of_tool(&format!("{error}{cause}"))
    };
    let failed = |recorded| (ErrorClass::ToolFailed, recorded);
    let late = "timed out awaiting tools/call";
    assert_eq!(
        of("timed out awaiting tools/call after 500ms"),
        failed(late)
    );
    assert_eq!(of("Transport closed"), failed("transport closed"));
    let quoted = "Mcp error: -32000: you said transport closed";
    assert_eq!(of(quoted), failed(TOOL_FAILED));
    assert_eq!(of_tool("transport closed"), failed(TOOL_FAILED));
}

#[test]
fn a_tool_that_was_not_approved_is_denied() {
    for refusal in [
        "MCP tool call requires approval, but approval policy is never",
        "user rejected MCP tool call",
        "user cancelled MCP tool call",
    ] {
        let denied = (ErrorClass::ApprovalDenied, &*refusal.to_ascii_lowercase());
        assert_eq!(of_tool(refusal), denied);
    }
    // A text of the server.
    let quoted = "tool call error: tool call failed for `a/b`\n\nCaused by:\n    user rejected MCP tool call";
    assert_eq!(of_tool(quoted), (ErrorClass::ToolFailed, TOOL_FAILED));
}

fn info(kind: &str) -> CodexErrorInfo {
    CodexErrorInfo::new(kind)
}

#[test]
fn codexs_own_kind_of_an_error_has_its_class() {
    use ErrorClass as C;
    for (kind, class) in [
        ("contextWindowExceeded", C::ContextWindow),
        ("sessionBudgetExceeded", C::UsageLimit),
        ("usageLimitExceeded", C::UsageLimit),
        ("rateLimitExceeded", C::RateLimit),
        ("flexUnavailable", C::Overloaded),
        ("serverOverloaded", C::Overloaded),
        ("modelNotFound", C::InvalidRequest),
        ("policyCapacityUnavailable", C::Overloaded),
        ("inferenceHookDenied", C::PolicyDenied),
        ("cyberPolicy", C::PolicyDenied),
        ("misalignmentPolicyViolation", C::PolicyDenied),
        ("tooManyDenials", C::ApprovalDenied),
        ("internalServerError", C::ServerError),
        ("unauthorized", C::Unauthorized),
        ("badRequest", C::InvalidRequest),
        ("sandboxError", C::SandboxDenied),
        ("activeTurnNotSteerable", C::InvalidRequest),
        ("httpConnectionFailed", C::Transport),
        ("responseStreamConnectionFailed", C::Transport),
        ("responseStreamDisconnected", C::Transport),
        ("responseTooManyFailedAttempts", C::Other),
        ("threadRollbackFailed", C::Other),
        ("aKindOfTheFuture", C::Other),
    ] {
        let failure = of_turn("you said x", Some(&info(kind)));
        assert_eq!(failure.class, class, "{kind}");
        let recorded = match kind {
            "other" => "an unknown text of 10 bytes, which is not recorded".to_owned(),
            kind => format!("the error `{kind}`"),
        };
        assert_eq!(failure.recorded, recorded);
    }
}

#[test]
fn the_http_status_of_an_error_decides_its_class() {
    use ErrorClass as C;
    for (kind, status, class) in [
        ("responseTooManyFailedAttempts", 429, C::RateLimit),
        ("httpConnectionFailed", 401, C::Unauthorized),
        ("httpConnectionFailed", 402, C::UsageLimit),
        ("httpConnectionFailed", 403, C::Unauthorized),
        ("responseStreamConnectionFailed", 502, C::ServerError),
        ("responseStreamDisconnected", 504, C::Timeout),
        // A status without a class.
        ("httpConnectionFailed", 302, C::Other),
        ("aKindOfTheFuture", 409, C::Other),
    ] {
        let failure = of_turn("you said x", Some(&info(kind).with_http_status(status)));
        assert_eq!(failure.class, class, "{kind} {status}");
        assert_eq!(
            failure.recorded,
            format!("the error `{kind}` with the HTTP status {status}")
        );
    }
}

#[test]
fn the_words_decide_where_the_kind_says_less() {
    use ErrorClass as C;
    let too_long = r#"{"error":{"code":"context_length_exceeded"}}"#;
    let silent = "stream disconnected before completion: idle timeout waiting for SSE";
    let cut = "Incomplete response returned, reason: max_output_tokens";
    for (kind, words, class) in [
        ("badRequest", too_long, C::ContextWindow),
        ("responseStreamDisconnected", silent, C::Timeout),
        ("other", cut, C::Incomplete),
        ("other", "Invalid prompt: x", C::InvalidRequest),
        ("aKindOfTheFuture", "Quota exceeded.", C::UsageLimit),
        // These words have no class.
        (
            "badRequest",
            "unexpected status 409 Conflict",
            C::InvalidRequest,
        ),
    ] {
        assert_eq!(of_turn(words, Some(&info(kind))).class, class, "{words}");
    }
    // The kind is more exact than these words.
    let high_demand = "We're currently experiencing high demand, which may cause temporary errors.";
    let overloaded = of_turn(high_demand, Some(&info("serverOverloaded")));
    assert_eq!(overloaded.class, C::Overloaded);
    assert_eq!(overloaded.recorded, high_demand);
}

#[test]
fn the_wait_is_that_of_the_words_whatever_the_kind_is() {
    let words = "Rate limit exceeded: Please try again in 1.5s.";
    for info in [None, Some(info("rateLimitExceeded")), Some(info("other"))] {
        let failure = of_turn(words, info.as_ref());
        assert_eq!(failure.class, ErrorClass::RateLimit);
        assert_eq!(failure.retry_after, Some(Duration::from_millis(1500)));
        assert_eq!(failure.recorded, words);
    }
}

#[test]
fn a_kind_that_is_no_name_is_not_recorded() {
    let long = "x".repeat(65);
    for kind in ["", "you said x", "a\nb", "ä", "../x", &long] {
        let failure = of_turn("you said y", Some(&info(kind)));
        assert_eq!(
            failure.recorded,
            "an unknown text of 10 bytes, which is not recorded"
        );
        let silent = of_turn(" ", Some(&info(kind)));
        assert_eq!(silent.recorded, "Codex reported no reason");
    }
    let silent = of_turn("", Some(&info("cyberPolicy")));
    assert_eq!(silent.recorded, "the error `cyberPolicy`");
}

#[test]
fn a_rejected_request_has_the_class_of_its_words_or_else_of_its_code() {
    use ErrorClass as C;
    for (code, message, class, recorded) in [
        (
            -32600,
            "no rollout found for thread id 01a2021f-12be-7782-b2de-86dee0c040e2",
            C::InvalidRequest,
            "no rollout found …",
        ),
        (
            -32600,
            "thread not found: 01a2021f-12be-7782-b2de-86dee0c040e2",
            C::InvalidRequest,
            "thread not found …",
        ),
        (
            -32600,
            "thread 01a2021f-12be-7782-b2de-86dee0c040e2 already has an active writer",
            C::InvalidRequest,
            "thread 01a2021f-12be-7782-b2de-86dee0c040e2 already has an active writer",
        ),
        (
            -32600,
            "thread you said x already has an active writer",
            C::InvalidRequest,
            "",
        ),
        (
            -32600,
            "failed to load configuration: Model provider `x` not found",
            C::Config,
            "failed to load configuration: Model provider …",
        ),
        (
            -32600,
            "failed to load configuration: /home/x/config.toml:1:1: unquoted keys",
            C::Config,
            "failed to load configuration …",
        ),
        (
            -32603,
            "error creating thread: Fatal error: Failed to initialize session: required MCP servers \
             failed to initialize: x: No such file or directory (os error 2)",
            C::Config,
            "error creating thread: Fatal error: Failed to initialize session: required MCP servers failed …",
        ),
        (
            -32603,
            "failed to read thread: thread-store internal error: /home/x",
            C::InvalidRequest,
            "failed to read thread …",
        ),
        (
            -32602,
            "Input exceeds the maximum length of 1048576 characters.",
            C::InvalidRequest,
            "Input exceeds the maximum length …",
        ),
        (
            -32600,
            "Invalid request: unknown variant `x`, expected one of `y`",
            C::InvalidRequest,
            "Invalid request: unknown variant …",
        ),
        (
            -32001,
            "Server overloaded; retry later.",
            C::Overloaded,
            "Server overloaded …",
        ),
        (-32600, "you said x", C::InvalidRequest, ""),
        (-32602, "you said x", C::InvalidRequest, ""),
        (-32001, "you said x", C::Overloaded, ""),
        (-32603, "you said x", C::Other, ""),
        (7, "", C::Other, ""),
    ] {
        let failure = of_rejection(code, message);
        assert_eq!(failure.class, class, "{message}");
        assert_eq!(failure.recorded, recorded);
    }
}

#[test]
fn a_server_that_exited_is_lost_however_it_went() {
    for (stderr, recorded) in [
        ("", ""),
        ("2026-11-22T07:00:00Z ERROR codex_core: you said x", ""),
        ("Error: Model provider `x` not found", "Model provider …"),
        ("Error: Permission denied (os error 13)", "(os error 13)"),
        (
            "thread 'main' panicked at x.rs:1:1:\nyou said x\nnote: run with `RUST_BACKTRACE=1`",
            "",
        ),
    ] {
        let failure = of_server_exit(stderr);
        assert_eq!(failure.class, ErrorClass::Transport);
        assert_eq!(failure.recorded, recorded, "{stderr}");
    }
}

#[test]
fn the_causes_with_which_an_app_server_does_not_start_have_their_classes() {
    use ErrorClass as C;
    for (stderr, class, recorded) in [
        (
            "Error: unknown variant `maybe`, expected `never`\nin `approval_policy`",
            C::Config,
            "an invalid setting",
        ),
        (
            "Error: CODEX_HOME points to \"/none\", but that path does not exist",
            C::Config,
            "CODEX_HOME points to",
        ),
        (
            "Error: failed to initialize sqlite state runtime under /proc: unable to open",
            C::Io,
            "failed to initialize sqlite state runtime",
        ),
    ] {
        let failure = of_exit(ExitStatus::from_raw(1 << 8), false, None, stderr);
        assert_eq!(failure.class, class, "{stderr}");
        assert!(failure.recorded.starts_with(recorded), "{failure:?}");
        for text in ["maybe", "/none", "/proc"] {
            assert!(!failure.recorded.contains(text), "{failure:?}");
        }
    }
}

#[test]
fn an_answer_with_an_odd_status_is_no_lost_connection() {
    use ErrorClass as C;
    let info = CodexErrorInfo::new("httpConnectionFailed").with_http_status(418);
    let message = "unexpected status 418 I'm a teapot: x";
    assert_eq!(of_turn(message, Some(&info)).class, C::Other);
    let info = CodexErrorInfo::new("responseStreamDisconnected").with_http_status(200);
    assert_eq!(of_turn("x", Some(&info)).class, C::Transport);
}

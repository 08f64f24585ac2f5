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
    let late = "timed out awaiting tools/call";
    assert_eq!(of("timed out awaiting tools/call after 500ms"), late);
    assert_eq!(of("Transport closed"), "transport closed");
    let quoted = "Mcp error: -32000: you said transport closed";
    assert_eq!(of(quoted), TOOL_FAILED);
    assert_eq!(of_tool("transport closed"), TOOL_FAILED);
}

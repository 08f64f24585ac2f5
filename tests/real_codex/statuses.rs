//! HTTP statuses that the model's provider answers with.

use codex_telemetry::ErrorClass as C;

use crate::{
    reply::Reply,
    table::{Row, each_reply_fails},
};

/// An answer whose body mentions other failures: only Codex's own text counts.
fn status(status: u16) -> Reply {
    let message = "status 401, rate limit exceeded, context window";
    Reply::error(status, "some_code", message)
}

/// An answer with plain text instead of JSON.
fn plain_text(status: u16, body: &str) -> Reply {
    Reply::plain(status, [("content-type", "text/plain")], body)
}

#[tokio::test]
async fn an_http_status_has_its_class() {
    each_reply_fails([
        ("HTTP 400", "{\"error\":", C::InvalidRequest, status(400)),
        (
            "HTTP 401",
            "unexpected status 401",
            C::Unauthorized,
            status(401),
        ),
        (
            "HTTP 402",
            "unexpected status 402",
            C::UsageLimit,
            status(402),
        ),
        (
            "HTTP 403",
            "unexpected status 403",
            C::Unauthorized,
            status(403),
        ),
        (
            "HTTP 404",
            "unexpected status 404",
            C::InvalidRequest,
            status(404),
        ),
        (
            "HTTP 405",
            "unexpected status 405",
            C::InvalidRequest,
            status(405),
        ),
        (
            "HTTP 407",
            "unexpected status 407",
            C::Unauthorized,
            status(407),
        ),
        ("HTTP 408", "unexpected status 408", C::Timeout, status(408)),
        (
            "HTTP 413",
            "unexpected status 413",
            C::InvalidRequest,
            status(413),
        ),
        (
            "HTTP 422",
            "unexpected status 422",
            C::InvalidRequest,
            status(422),
        ),
        ("HTTP 429", "last status: 429", C::RateLimit, status(429)),
        (
            "HTTP 500",
            "experiencing high demand",
            C::ServerError,
            status(500),
        ),
        (
            "HTTP 501",
            "unexpected status 501",
            C::ServerError,
            status(501),
        ),
        (
            "HTTP 502",
            "unexpected status 502",
            C::ServerError,
            status(502),
        ),
        (
            "HTTP 503",
            "unexpected status 503",
            C::Overloaded,
            status(503),
        ),
        ("HTTP 504", "unexpected status 504", C::Timeout, status(504)),
        ("HTTP 522", "unexpected status 522", C::Timeout, status(522)),
        (
            "HTTP 529",
            "unexpected status 529",
            C::Overloaded,
            status(529),
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_ambiguous_http_status_is_other() {
    each_reply_fails([
        (
            "HTTP 304",
            "unexpected status 304",
            C::Other,
            plain_text(304, ""),
        ),
        ("HTTP 409", "unexpected status 409", C::Other, status(409)),
        ("HTTP 418", "unexpected status 418", C::Other, status(418)),
        ("HTTP 451", "unexpected status 451", C::Other, status(451)),
        (
            "HTTP 400, plain text",
            "they said: rate limit",
            C::Other,
            plain_text(400, "they said: rate limit"),
        ),
        (
            "HTTP 400, an empty body",
            "Codex reported no reason",
            C::Other,
            plain_text(400, ""),
        ),
        (
            "HTTP 400, a web page",
            "<html>",
            C::Other,
            plain_text(400, "<html>status 401</html>"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_http_error_with_a_code_has_the_class_of_the_code() {
    let error = |status, code| Reply::error(status, code, "x");
    let plan =
        "{\"error\":{\"type\":\"usage_limit_reached\",\"message\":\"x\",\"plan_type\":\"pro\"}}";
    let rows: [Row<Reply>; 10] = [
        (
            "HTTP 400, `context_length_exceeded`",
            "ran out of room",
            C::ContextWindow,
            error(400, "context_length_exceeded"),
        ),
        (
            "HTTP 400, `insufficient_quota`",
            "insufficient_quota",
            C::UsageLimit,
            error(400, "insufficient_quota"),
        ),
        (
            "HTTP 400, `billing_hard_limit_reached`",
            "billing_hard_limit",
            C::UsageLimit,
            error(400, "billing_hard_limit_reached"),
        ),
        (
            "HTTP 400, a code of another kind",
            "invalid_json_schema",
            C::InvalidRequest,
            error(400, "invalid_json_schema"),
        ),
        (
            "HTTP 429, `usage_limit_reached`",
            "hit your usage limit",
            C::UsageLimit,
            Reply::status(429, plan),
        ),
        (
            "HTTP 429, `usage_not_included`",
            "To use Codex with your ChatGPT plan",
            C::UsageLimit,
            error(429, "usage_not_included"),
        ),
        (
            "HTTP 429, `insufficient_quota`",
            "Quota exceeded",
            C::UsageLimit,
            error(429, "insufficient_quota"),
        ),
        (
            "HTTP 500, `server_is_overloaded`",
            "experiencing high demand",
            C::ServerError,
            error(500, "server_is_overloaded"),
        ),
        (
            "HTTP 503, `server_is_overloaded`",
            "at capacity",
            C::Overloaded,
            error(503, "server_is_overloaded"),
        ),
        (
            "HTTP 503, `slow_down`",
            "rate limit exceeded",
            C::RateLimit,
            error(503, "slow_down"),
        ),
    ];
    each_reply_fails(rows).await;
}

#[tokio::test]
async fn an_unknown_model_is_an_invalid_request() {
    let unknown = "The model `gpt-0` does not exist or you do not have access to it.";
    each_reply_fails([
        (
            "HTTP 404, `model_not_found`",
            "does not exist",
            C::InvalidRequest,
            Reply::error(404, "model_not_found", unknown),
        ),
        (
            "HTTP 400, `model_not_found`",
            "does not exist",
            C::InvalidRequest,
            Reply::error(400, "model_not_found", unknown),
        ),
    ])
    .await;
}

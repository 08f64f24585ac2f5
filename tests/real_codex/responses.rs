//! Failed and incomplete responses of the model, and invalid streams.

use codex_telemetry::ErrorClass as C;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    bench::Bench,
    reply::{Ending, Reply},
    table::{each, each_reply_fails, request_fails_at_the_model},
};

/// A failure whose message mentions other failures.
fn failure(code: &str) -> Reply {
    Reply::failure(code, "words such as: unexpected status 401, rate limit")
}

#[tokio::test]
async fn a_failed_response_has_the_class_of_its_code() {
    each_reply_fails([
        (
            "response.failed, `context_length_exceeded`",
            "ran out of room",
            C::ContextWindow,
            failure("context_length_exceeded"),
        ),
        (
            "response.failed, `insufficient_quota`",
            "Quota exceeded",
            C::UsageLimit,
            failure("insufficient_quota"),
        ),
        (
            "response.failed, `usage_not_included`",
            "To use Codex with your ChatGPT plan",
            C::UsageLimit,
            failure("usage_not_included"),
        ),
        (
            "response.failed, `rate_limit_exceeded`",
            "rate limit exceeded: ",
            C::RateLimit,
            failure("rate_limit_exceeded"),
        ),
        (
            "response.failed, `slow_down`",
            "rate limit exceeded: ",
            C::RateLimit,
            failure("slow_down"),
        ),
        (
            "response.failed, `server_is_overloaded`",
            "at capacity",
            C::Overloaded,
            failure("server_is_overloaded"),
        ),
        (
            "response.failed, an unknown code",
            "stream disconnected before completion: words",
            C::Transport,
            failure("some_new_code"),
        ),
        (
            "response.failed, no error",
            "response.failed event received",
            C::Transport,
            Reply::stream(
                [json!({"type": "response.failed", "response": {"id": "r1"}})],
                Ending::Closed,
            ),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_failed_response_with_text_of_the_provider_is_other() {
    each_reply_fails([
        (
            "response.failed, `invalid_prompt`",
            "words such as",
            C::Other,
            failure("invalid_prompt"),
        ),
        (
            "response.failed, `cyber_policy`",
            "words such as",
            C::Other,
            failure("cyber_policy"),
        ),
        (
            "response.failed, `bio_policy`",
            "words such as",
            C::Other,
            failure("bio_policy"),
        ),
        (
            "response.failed, `content_policy_violation`",
            "words such as",
            C::Other,
            failure("content_policy_violation"),
        ),
        (
            "response.failed, `model_not_found`",
            "words such as",
            C::Other,
            failure("model_not_found"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_incomplete_response_is_incomplete() {
    each_reply_fails([
        (
            "response.incomplete, `max_output_tokens`",
            "reason: max_output_tokens",
            C::Incomplete,
            Reply::incomplete("max_output_tokens"),
        ),
        (
            "response.incomplete, `content_filter`",
            "reason: content_filter",
            C::Incomplete,
            Reply::incomplete("content_filter"),
        ),
        (
            "response.incomplete, another reason",
            "reason: some_new_reason",
            C::Incomplete,
            Reply::incomplete("some_new_reason"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_stream_without_its_last_event_is_a_transport_error() {
    let html = Reply::plain(200, [("content-type", "text/html")], "<html>Log in</html>");
    let moved = Reply::plain(302, [("location", "/elsewhere")], "");
    each_reply_fails([
        (
            "the stream ends early",
            "stream closed before",
            C::Transport,
            Reply::unfinished(Ending::Closed),
        ),
        (
            "the stream is cut",
            "stream disconnected before completion",
            C::Transport,
            Reply::unfinished(Ending::Cut),
        ),
        (
            "the stream is empty",
            "stream closed before",
            C::Transport,
            Reply::bytes(""),
        ),
        (
            "the stream is garbage",
            "stream closed before",
            C::Transport,
            Reply::bytes("not an event\n\nat all\n\n"),
        ),
        (
            "an event of the stream is invalid JSON",
            "stream closed before",
            C::Transport,
            Reply::bytes("event: response.created\ndata: {broken\n\n"),
        ),
        (
            "the answer is a web page",
            "stream closed before",
            C::Transport,
            html,
        ),
        (
            "the answer is JSON instead of a stream",
            "stream closed before",
            C::Transport,
            Reply::status(200, "{\"output\":[]}"),
        ),
        (
            "the answer is empty",
            "stream closed before",
            C::Transport,
            Reply::plain(204, [], ""),
        ),
        (
            "a redirect to nothing",
            "stream closed before",
            C::Transport,
            moved,
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_invalid_stream_is_a_protocol_error() {
    let completed = json!({"type": "response.completed", "response": {}});
    each_reply_fails([
        (
            "the stream is invalid UTF-8",
            "UTF8 error",
            C::Protocol,
            Reply::bytes(*b"data: \xff\xfe\n\n"),
        ),
        (
            "the last event lacks its id",
            "failed to parse ResponseCompleted",
            C::Protocol,
            Reply::stream([completed], Ending::Closed),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_redirect_loop_is_a_protocol_error() {
    let round = || Reply::plain(307, [("location", "/v1/responses")], "");
    let row = (
        "a redirect loop",
        "too many redirects",
        C::Protocol,
        |bench: &Bench| bench.request("Go"),
    );
    // The first one, and as many as Codex's HTTP client follows.
    request_fails_at_the_model(row, &std::array::from_fn::<_, 11, _>(|_| round())).await;
}

#[tokio::test]
async fn a_silent_stream_is_a_timeout() {
    let idle = "model_providers.mock.stream_idle_timeout_ms";
    let row = (
        "the stream stays silent",
        "idle timeout",
        C::Timeout,
        |bench: &Bench| bench.request("Go").with_config(idle, 300),
    );
    request_fails_at_the_model(row, &[Reply::unfinished(Ending::Silence)]).await;
}

/// Returns the address of a server that answers each connection with these bytes and closes it. It stops
/// with the test's runtime.
async fn answering(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = connection.read(&mut request).await;
                let _ = connection.write_all(bytes).await;
                let _ = connection.shutdown().await;
                // Unread data would reset the connection before the client has read the answer.
                let _ = tokio::io::copy(&mut connection, &mut tokio::io::sink()).await;
            });
        }
    });
    format!("http://{address}/v1")
}

#[tokio::test]
async fn an_invalid_http_answer_is_a_transport_error() {
    let rows = [
        ("the server closes the connection", "error sending request", C::Transport, &b""[..]),
        ("the server does not speak HTTP", "error sending request", C::Transport, b"SSH-2.0-x\r\n"),
        ("the headers are cut", "error sending request", C::Transport, b"HTTP/1.1 200 OK\r\ncont"),
        ("the body is cut", "error decoding response body", C::Transport, b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\nevent:"),
    ];
    each(rows, |(cause, text, class, bytes)| async move {
        let address = answering(bytes).await;
        let request = |bench: &Bench| bench.request_to(&address, "Go");
        request_fails_at_the_model((cause, text, class, request), &[]).await;
    })
    .await;
}

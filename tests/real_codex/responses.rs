//! Responses of the model that fail or are not whole, and streams that are none.

use codex_telemetry::ErrorClass as C;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    bench::Bench,
    reply::{Ending, Reply},
    table::{each, each_reply_fails},
};

/// A failure whose words would mislead, were they looked at.
fn failure(code: &str) -> Reply {
    Reply::failure(code, "words such as: unexpected status 401, rate limit")
}

#[tokio::test]
async fn a_response_that_fails_has_the_class_of_its_code() {
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
            "response.failed, a code that Codex does not know",
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
async fn a_response_that_fails_in_words_of_the_provider_alone_is_other() {
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
async fn a_response_that_is_not_whole_is_incomplete() {
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
async fn a_stream_that_does_not_end_as_it_should_is_a_failure_of_transport() {
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
            "an event of the stream is no JSON",
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
            "the answer is JSON and no stream",
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
async fn a_stream_that_is_none_is_a_failure_of_the_protocol() {
    let completed = json!({"type": "response.completed", "response": {}});
    each_reply_fails([
        (
            "the stream is no UTF-8",
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
async fn redirects_in_a_circle_are_a_failure_of_the_protocol() {
    let round = || Reply::plain(307, [("location", "/v1/responses")], "");
    // As many as Codex's HTTP client follows, and the first.
    let Some(bench) = Bench::start((0..11).map(|_| round())) else {
        return;
    };
    let request = bench.request("Go");
    let row = (
        "redirects in a circle",
        "too many redirects",
        C::Protocol,
        request,
    );
    bench.fails_at_the_model(row).await;
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_a_failure_of_transport() {
    let Some(bench) = Bench::start([Reply::unfinished(Ending::Silence)]) else {
        return;
    };
    let idle = "model_providers.mock.stream_idle_timeout_ms";
    let request = bench.request("Go").with_config(idle, "300");
    let row = (
        "the stream falls silent",
        "idle timeout",
        C::Transport,
        request,
    );
    bench.fails_at_the_model(row).await;
}

/// The address of a server that answers every connection with these bytes and closes it. It ends with
/// the test's runtime.
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
                // What is left unread would reset the connection under the answer.
                let _ = tokio::io::copy(&mut connection, &mut tokio::io::sink()).await;
            });
        }
    });
    format!("http://{address}/v1")
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_a_failure_of_transport() {
    let rows = [
        ("the server closes the connection", "error sending request", C::Transport, &b""[..]),
        ("the server speaks no HTTP", "error sending request", C::Transport, b"SSH-2.0-x\r\n"),
        ("the headers are cut", "error sending request", C::Transport, b"HTTP/1.1 200 OK\r\ncont"),
        ("the body is cut", "error decoding response body", C::Transport, b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\nevent:"),
    ];
    each(rows, |(cause, says, class, bytes)| async move {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let request = bench.request_to(&answering(bytes).await, "Go");
        bench
            .fails_at_the_model((cause, says, class, request))
            .await;
    })
    .await;
}

//! Failures that only a turn by an app-server can have.

use std::time::Duration;

use codex_telemetry::{ErrorClass as C, turn::TurnRequest};
use serde_json::json;

use crate::{
    app_server::Transport,
    bench::Bench,
    reply::Reply,
    table::{Row, each},
};

type Change = fn(TurnRequest) -> TurnRequest;

#[tokio::test]
async fn a_request_that_a_new_thread_cannot_have_is_rejected() {
    let rows: [Row<Change>; 5] = [
        (
            "a provider of the request that is not configured",
            "Model provider `none` not found",
            C::Config,
            |request| request.with_config("model_provider", "none"),
        ),
        (
            "a setting of the request has a value that does not exist",
            "failed to load configuration",
            C::Config,
            |request| request.with_config("approval_policy", "maybe"),
        ),
        (
            "a required MCP server of the request that does not exist",
            "required MCP servers failed",
            C::Config,
            |request| {
                let server = json!({"command": "/no/such/server", "required": true});
                request.with_config("mcp_servers.stub", server)
            },
        ),
        (
            "an environment of the request",
            "the server has one for all turns",
            C::InvalidRequest,
            |request| request.with_env("LANG", "C"),
        ),
        (
            "a model with a NUL character",
            "has a NUL character",
            C::InvalidRequest,
            |request| request.with_model("gpt\0"),
        ),
    ];
    each(rows, |(cause, text, class, change)| async move {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let server = bench.app_server(|builder| builder);
        let error = server.run(change(bench.ask("Go"))).await.unwrap_err();
        assert!(error.to_string().contains(text), "{cause}: {error}");
        bench.assert_rejected(cause, class, &error);
        server.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_request_that_a_loaded_thread_cannot_have_is_an_invalid_request() {
    let rows: [Row<Change>; 2] = [
        (
            "a setting that a loaded thread cannot change",
            "which Codex cannot change",
            C::InvalidRequest,
            |request| request.with_config("model_provider", "other"),
        ),
        (
            "other directories of a loaded thread, without a sandbox",
            "set the sandbox as well",
            C::InvalidRequest,
            |request| {
                let thread = request.resume().unwrap();
                TurnRequest::new("On")
                    .with_resume(thread)
                    .with_additional_directory("/srv")
            },
        ),
    ];
    each(rows, |(cause, text, class, change)| async move {
        let Some(bench) = Bench::start([Reply::done(), Reply::done()]) else {
            return;
        };
        let server = bench.app_server(|builder| builder);
        let turn = server.complete(bench.ask("Go")).await;
        let _ = bench.sink.take();
        let request = change(bench.ask_on(&turn, "On"));
        let error = server.run(request).await.unwrap_err();
        assert!(error.to_string().contains(text), "{cause}: {error}");
        let event = bench.calls(1).turns.pop().unwrap();
        assert_eq!(event.error_class(), Some(class), "{cause}");
        // The thread is as it was.
        server.complete(bench.ask_on(&turn, "On")).await;
        server.end().await;
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_that_does_not_answer_is_a_transport_error() {
    use crate::bench::until;
    use rustix::process::{Pid, Signal, kill_process};

    let Some(bench) = Bench::start([]) else {
        return;
    };
    let server = bench.app_server(|builder| {
        builder
            .request_timeout(Duration::from_secs(10))
            .exit_grace(Duration::from_millis(300))
    });
    server.turns.start().await.unwrap();
    until("the server runs", || bench.codex().is_some()).await;
    let pid = bench.codex().unwrap().try_into().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::STOP).unwrap();
    let error = server.run(bench.ask("Go")).await.unwrap_err();
    assert!(error.to_string().contains("did not answer"), "{error}");
    bench.assert_rejected("a server that does not answer", C::Transport, &error);
    server.end().await;
}

#[tokio::test]
async fn a_retry_hint_is_on_the_event_although_the_kind_of_the_error_decides_the_class() {
    let message = "Rate limit reached for gpt-5.5. Please try again in 1.5s.";
    let Some(bench) = Bench::start([Reply::failure("rate_limit_exceeded", message)]) else {
        return;
    };
    let result = bench.run_on(Transport::AppServer, bench.request("Go"));
    result.await.unwrap_err();
    let calls = bench.calls(1);
    let event = calls.turn();
    assert_eq!(event.error_class(), Some(C::RateLimit));
    assert_eq!(event.retry_after(), Some(Duration::from_millis(1500)));
    assert_eq!(calls.chats[0].retry_after(), event.retry_after());
}

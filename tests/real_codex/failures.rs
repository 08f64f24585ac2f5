//! The ways in which a turn fails at the model, and their classes.

use std::time::Duration;

use codex_telemetry::{
    CodexClassifier, ErrorClass, EventKind, Outcome, event::names, turn::TurnError,
};
use serde_json::json;
use tower::{BoxError, ServiceBuilder, ServiceExt, timeout::error::Elapsed};

use crate::{
    bench::{Bench, in_time},
    calls::number,
    reply::{Ending, Reply},
};

/// Runs a turn for each cause, and checks that each fails as its class.
async fn assert_classes(causes: impl IntoIterator<Item = (&str, Reply, ErrorClass)>) {
    for (cause, reply, class) in causes {
        let Some(bench) = Bench::start([reply]) else {
            return;
        };
        let error = bench.run(bench.request("Go")).await.unwrap_err();
        let TurnError::Failed { message, .. } = &error else {
            panic!("{cause}: {error:?}");
        };
        let calls = bench.calls(1);
        let event = calls.turn();
        assert_eq!(event.error_class(), Some(class), "{cause}: {error}");
        assert_eq!(event.outcome(), Some(Outcome::Error), "{cause}");
        assert_eq!(event.kind(), EventKind::Exception, "{cause}");
        assert!(event.error_message().unwrap().contains(message), "{cause}");
        assert_eq!(event.retry_after(), None, "{cause}");
        assert!(event.thread_id().is_some(), "{cause}");
        assert_eq!(number(event, names::EXIT_CODE), Some(1), "{cause}");
        assert_eq!(bench.model.asked().len(), 1, "{cause}");
    }
}

fn error(fields: &serde_json::Value) -> String {
    json!({"error": fields}).to_string()
}

#[tokio::test]
async fn an_http_status_has_its_class() {
    let said = |message: &str| error(&json!({"message": message, "type": "x"}));
    assert_classes([
        (
            "400",
            Reply::status(400, said("bad field")),
            ErrorClass::InvalidRequest,
        ),
        (
            "401",
            Reply::status(401, said("bad key")),
            ErrorClass::Unauthorized,
        ),
        (
            "403",
            Reply::status(403, said("no")),
            ErrorClass::Unauthorized,
        ),
        (
            "429",
            Reply::status(429, said("slow down")),
            ErrorClass::RateLimit,
        ),
        (
            "500",
            Reply::status(500, said("broken")),
            ErrorClass::ServerError,
        ),
        (
            "503",
            Reply::status(503, said("later")),
            ErrorClass::Overloaded,
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_http_error_with_a_code_has_the_class_of_the_code() {
    let plan = error(&json!({"type": "usage_limit_reached", "message": "x", "plan_type": "pro"}));
    let quota = error(&json!({"code": "insufficient_quota", "message": "x"}));
    let load = error(&json!({"code": "server_is_overloaded", "message": "x"}));
    assert_classes([
        (
            "usage limit",
            Reply::status(429, plan),
            ErrorClass::UsageLimit,
        ),
        ("quota", Reply::status(429, quota), ErrorClass::UsageLimit),
        ("load", Reply::status(503, load), ErrorClass::Overloaded),
    ])
    .await;
}

#[tokio::test]
async fn a_response_that_fails_has_the_class_of_its_code() {
    let failure = |code| Reply::failure(code, "words of the model");
    assert_classes([
        (
            "context",
            failure("context_length_exceeded"),
            ErrorClass::ContextWindow,
        ),
        (
            "quota",
            failure("insufficient_quota"),
            ErrorClass::UsageLimit,
        ),
        (
            "plan",
            failure("usage_not_included"),
            ErrorClass::UsageLimit,
        ),
        (
            "load",
            failure("server_is_overloaded"),
            ErrorClass::Overloaded,
        ),
        (
            "length",
            Reply::incomplete("max_output_tokens"),
            ErrorClass::Incomplete,
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_stream_that_is_cut_is_a_failure_of_transport() {
    assert_classes([
        (
            "closed",
            Reply::unfinished(Ending::Closed),
            ErrorClass::Transport,
        ),
        ("cut", Reply::unfinished(Ending::Cut), ErrorClass::Transport),
    ])
    .await;
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_a_failure_of_transport() {
    let Some(bench) = Bench::start([Reply::unfinished(Ending::Silence)]) else {
        return;
    };
    let request = bench
        .request("Go")
        .with_config("model_providers.mock.stream_idle_timeout_ms", "300");
    bench.run(request).await.unwrap_err();
    let calls = bench.calls(1);
    assert_eq!(calls.turn().error_class(), Some(ErrorClass::Transport));
}

#[tokio::test]
async fn the_hint_when_to_try_again_is_on_the_event() {
    let hint = "Rate limit reached for gpt-5.5. Please try again in 1.5s.";
    let Some(bench) = Bench::start([Reply::failure("rate_limit_exceeded", hint)]) else {
        return;
    };
    bench.run(bench.request("Go")).await.unwrap_err();
    let calls = bench.calls(1);
    let event = calls.turn();
    assert_eq!(event.error_class(), Some(ErrorClass::RateLimit));
    assert_eq!(event.retry_after(), Some(Duration::from_millis(1500)));
}

#[tokio::test]
async fn a_turn_that_recovers_counts_its_retries() {
    let script = [Reply::unfinished(Ending::Closed), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let request = bench
        .request("Go")
        .with_config("model_providers.mock.stream_max_retries", "2");
    let turn = bench.run(request).await.unwrap();
    assert_eq!(turn.retries, 1);
    let calls = bench.calls(1);
    let event = calls.turn();
    assert_eq!(event.outcome(), Some(Outcome::Ok));
    assert_eq!(event.error_class(), None);
    assert_eq!(number(event, names::RETRIES), Some(1));
    assert_eq!(event.span_events().len(), 1, "{:?}", event.span_events());
}

#[tokio::test]
async fn a_failure_after_a_tool_call_leaves_the_tool_call_as_it_was() {
    let script = [Reply::shell("true"), Reply::unfinished(Ending::Closed)];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    bench.run(bench.request("Go")).await.unwrap_err();
    let calls = bench.calls(1);
    assert_eq!(calls.turn().error_class(), Some(ErrorClass::Transport));
    assert_eq!(calls.tool().outcome(), Some(Outcome::Ok));
}

#[tokio::test]
async fn a_deadline_ends_a_turn_whose_model_is_not_there() {
    let Some(bench) = Bench::start([]) else {
        return;
    };
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let nowhere = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let request = bench.request_to(&nowhere, "Go");
    let deadline = Duration::from_secs(3);
    let turns = ServiceBuilder::new()
        .timeout(deadline)
        .service(bench.turns().build());
    let classify = |error: &BoxError| CodexClassifier.of(&**error);
    let result = in_time(bench.classified(turns, classify).oneshot(request)).await;
    assert!(result.unwrap_err().is::<Elapsed>());

    let calls = bench.calls(1);
    let event = calls.turn();
    assert_eq!(event.outcome(), Some(Outcome::Error));
    assert_eq!(event.error_class(), Some(ErrorClass::Timeout));
    assert!(event.duration().unwrap() >= deadline);
    #[cfg(target_os = "linux")]
    crate::bench::until("Codex is gone", || {
        crate::processes::of_home(bench.home.path()).is_empty()
    })
    .await;
}

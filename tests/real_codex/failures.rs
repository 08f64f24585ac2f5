//! Failures at the model: wait before a retry, retries, tool calls.

use std::time::Duration;

use codex_telemetry::{ErrorClass, Outcome, event::names};
use tokio::net::TcpSocket;
use tower::timeout::error::Elapsed;

use crate::{
    app_server::Transport,
    bench::Bench,
    calls::number,
    reply::{Ending, Reply},
};

#[tokio::test]
async fn the_wait_before_a_retry_is_on_the_event() {
    let message = "Rate limit reached for gpt-5.5. Please try again in 1.5s.";
    let Some(bench) = Bench::start([Reply::failure("rate_limit_exceeded", message)]) else {
        return;
    };
    bench.run(bench.request("Go")).await.unwrap_err();
    let calls = bench.calls(1);
    let event = calls.turn();
    assert_eq!(event.error_class(), Some(ErrorClass::RateLimit));
    assert_eq!(event.retry_after(), Some(Duration::from_millis(1500)));
}

#[tokio::test]
async fn what_the_provider_and_the_model_say_is_in_the_error_and_not_recorded() {
    let prompt = "my \"secret\" prompt\nof two lines";
    let script = [
        Reply::shell("rm -rf /no/such/secret"),
        Reply::call("exec_command", "{\"secret\": broken"),
        Reply::patch("a secret, and no patch"),
        Reply::error(400, "some_code", &format!("you said: {prompt}")),
    ];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let error = bench.run(bench.request(prompt)).await.unwrap_err();
    assert!(error.to_string().contains("secret"), "{error}");
    let calls = bench.calls(1);
    let event = calls.turn();
    assert_eq!(
        event.error_message(),
        Some(
            "the turn failed: a bad request with the code `some_code`; check the model and the other \
             settings of the request"
        )
    );
    let stderr = event.attribute(names::STDERR_TAIL).unwrap().as_str();
    assert!(stderr.contains("codex_core::tools::"), "{stderr}");
    for event in bench.sink.events() {
        let attributes = format!("{:?}", event.attributes());
        assert!(!attributes.contains("secret"), "{attributes}");
    }
}

#[tokio::test]
async fn a_turn_that_recovers_counts_its_retries() {
    let script = [Reply::unfinished(Ending::Closed), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let request = bench
        .request("Go")
        .with_config("model_providers.mock.stream_max_retries", 2);
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
async fn a_failure_after_a_tool_call_does_not_change_the_tool_call() {
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
async fn a_deadline_ends_a_turn_whose_model_is_unreachable() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        // Bound and never listening: it refuses connections, and no model of another test gets the port.
        let closed = TcpSocket::new_v4().unwrap();
        closed.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let nowhere = format!("http://{}/v1", closed.local_addr().unwrap());
        let request = bench.request_to(&nowhere, "Go");
        let deadline = Duration::from_secs(3);
        let error = bench.run_until(transport, deadline, request).await;
        assert!(error.is::<Elapsed>(), "{error}");

        let calls = bench.calls(1);
        let event = calls.turn();
        assert_eq!(event.outcome(), Some(Outcome::Error));
        assert_eq!(event.error_class(), Some(ErrorClass::Timeout));
        assert!(event.duration().unwrap() >= deadline);
        #[cfg(target_os = "linux")]
        crate::bench::until("Codex has exited", || {
            crate::processes::of_home(bench.home.path()).is_empty()
        })
        .await;
    }
}

//! What the service puts up with, and for how long.

use std::{net::TcpListener, time::Duration};

use codex_telemetry::{ErrorClass, event::names, turn::TurnError};
use serde_json::json;

use crate::{
    app_server::Transport,
    bench::Bench,
    calls::{assert_ok, number},
    reply::Reply,
};

#[tokio::test]
async fn a_codex_that_does_not_exit_after_the_turn_is_killed_and_the_turn_keeps_its_result() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    // A collector that accepts connections and does not answer: Codex waits for it before it exits.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}/v1/traces", silent.local_addr().unwrap());
    let exporter = json!({"otlp-http": {"endpoint": endpoint, "protocol": "json"}});
    let request = bench
        .request("Go")
        .with_config("otel.trace_exporter", exporter);
    let turns = bench.turns().exit_grace(Duration::from_millis(500)).build();
    let turn = bench.run_by(turns, request).await.unwrap();
    assert_eq!(turn.final_message.as_deref(), Some("done"));

    let calls = bench.calls(1);
    let event = calls.turn();
    assert_ok(event);
    assert_eq!(number(event, names::EXIT_CODE), None);
    let [killed] = event.span_events() else {
        panic!("{:?}", event.span_events());
    };
    assert!(killed.name.contains("killed"), "{killed:?}");
    #[cfg(target_os = "linux")]
    bench.assert_gone("no command", None).await;
}

#[tokio::test]
async fn a_line_over_the_limit_ends_the_turn_and_codex() {
    for transport in Transport::ALL {
        let long = "head -c 300000 /dev/zero | tr '\\0' x";
        let Some(bench) = Bench::start([Reply::shell(long), Reply::done()]) else {
            return;
        };
        let limit = 100_000;
        let result = bench.run_as(
            transport,
            bench.request("Go"),
            |exec| exec.line_limit(limit),
            |server| server.line_limit(limit),
        );
        let error = result.await.unwrap_err();
        assert!(matches!(error, TurnError::Protocol { .. }), "{error:?}");
        assert!(error.to_string().contains("100000"), "{error}");

        let calls = bench.calls(1);
        assert_eq!(calls.turn().error_class(), Some(ErrorClass::Protocol));
        assert!(calls.tool().error_class().is_some());
        #[cfg(target_os = "linux")]
        bench.assert_gone("no command", None).await;
    }
}

#[tokio::test]
async fn a_command_with_a_megabyte_of_output_is_within_the_limit() {
    let long = "head -c 3000000 /dev/zero | tr '\\0' x";
    let Some(bench) = Bench::start([Reply::shell(long), Reply::done()]) else {
        return;
    };
    bench.run(bench.request("Go")).await.unwrap();
    let calls = bench.calls(1);
    assert_ok(calls.turn());
    assert_ok(calls.tool());
}

//! Export over OTLP, configured in code: probe the endpoint, make calls, shut down, and print the stats.
//!
//! Run with `cargo run --example otlp -- [ENDPOINT]`. The default endpoint is `http://127.0.0.1:4318`.
//! Without a collector, it prints the problem, and the calls are not affected.

use std::{process::ExitCode, time::Duration};

use codex_telemetry::{
    BoxError, CodexClassifier, OtlpConfig, OtlpSink, ServiceBuilderExt,
    otlp::{Signal, config::ConfigError},
    tool::{ToolCall, ToolService, ToolSpec, tool_fn},
};
use opentelemetry::KeyValue;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tower::{ServiceBuilder, ServiceExt};

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    let endpoint = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "http://127.0.0.1:4318".to_owned());
    let config = match config(&endpoint) {
        Ok(config) => config,
        Err(error) => {
            println!("{error}");
            return ExitCode::from(2);
        }
    };

    let sink = OtlpSink::start(config);
    match sink.probe(Duration::from_secs(5)) {
        Ok(()) => println!("probe: the receiver accepted a span"),
        Err(error) => println!("probe: {error}"),
    }

    // This runtime is for the tools: the sink does not need it.
    let runtime = tokio::runtime::Runtime::new().expect("the runtime starts");
    runtime.block_on(async {
        let mut terminate =
            signal(SignalKind::terminate()).expect("the signal handler is installed");
        tokio::select! {
            () = call_tools(&sink) => {}
            // The shutdown below exports what was accepted until then.
            _ = terminate.recv() => println!("terminated"),
        }
    });

    match sink.blocking_shutdown(Duration::from_secs(5)) {
        Ok(()) => println!("everything was delivered"),
        Err(undelivered) => println!("{undelivered}"),
    }
    for signal in Signal::ALL {
        if let Some(endpoint) = sink.endpoint(signal) {
            println!("{signal} to {endpoint}");
        }
    }
    println!("{}", sink.stats());
    ExitCode::SUCCESS
}

fn config(endpoint: &str) -> Result<OtlpConfig, ConfigError> {
    OtlpConfig::builder()
        .endpoint(endpoint)
        .service_name("otlp-example")
        .resource_attribute(KeyValue::new("deployment.environment.name", "example"))
        .build()
}

async fn call_tools(sink: &OtlpSink) {
    let divide = tool_fn(|(a, b): (i64, i64), _| async move {
        a.checked_div(b)
            .ok_or_else(|| BoxError::from("division by zero"))
    });
    let tools = ServiceBuilder::new()
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service(
            ToolService::builder()
                .tool(ToolSpec::new("divide", "Divides two numbers"), divide)
                .build()
                .expect("the specification is valid"),
        );
    for (a, b) in [(42, 6), (1, 0), (9, 3)] {
        let call = ToolCall::new("divide", json!([a, b]));
        match tools.clone().oneshot(call).await {
            Ok(output) => println!("{a} / {b} = {}", output.content),
            Err(error) => println!("{a} / {b}: {error}"),
        }
    }
}

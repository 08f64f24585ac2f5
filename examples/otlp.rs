//! Export over OTLP, configured in code: probe the way, make calls, flush, and read the books.
//!
//! Run with `cargo run --example otlp -- [ENDPOINT]`; the endpoint is `http://127.0.0.1:4318` by default.
//! Without a collector there it says what is wrong, and the calls do not notice.

use std::{process::ExitCode, time::Duration};

use codex_telemetry::{
    BoxError, CodexClassifier, OtlpConfig, OtlpSink, ServiceBuilderExt,
    otlp::{Signal, config::ConfigError},
    tool::{ToolCall, ToolService, tool_fn},
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
        Ok(()) => println!("probe: the receiver took a span"),
        Err(error) => println!("probe: {error}"),
    }

    // The sink needs no runtime of the application's; this one is for the tools.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be had");
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).expect("signals can be listened for");
        tokio::select! {
            () = call_tools(&sink) => {}
            // What was accepted until then still goes out, below.
            _ = terminate.recv() => println!("told to end"),
        }
    });

    match sink.shutdown(Duration::from_secs(5)) {
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
        .service(ToolService::builder().tool("divide", divide).build());
    for (a, b) in [(42, 6), (1, 0), (9, 3)] {
        let call = ToolCall::new("divide", json!([a, b]));
        match tools.clone().oneshot(call).await {
            Ok(output) => println!("{a} / {b} = {}", output.content),
            Err(error) => println!("{a} / {b}: {error}"),
        }
    }
}

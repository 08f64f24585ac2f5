//! A turn, three tool calls and a cleanup through the whole stack. It needs nothing but Rust.
//!
//! Run with `cargo run --example quickstart`.
//!
//! The turn needs no Codex CLI: this program starts itself as its child process and replays the output
//! of a real turn (`transcript.jsonl`), in which Codex read a file, edited it and ran a failing test.
//!
//! With `CODEX_OTLP_ENDPOINT=http://127.0.0.1:4318`, the sink also exports to the collector there.

use std::{
    error::Error,
    fmt::Display,
    io::{self, Read, Write},
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use codex_telemetry::{
    BoxError, CallContext, CodexClassifier, FanOut, MemorySink, Originator, OtlpSink,
    ServiceBuilderExt, Sink,
    approval::{ApprovalRequest, Decision},
    attachment::{AttachmentStore, CleanupRequest, CleanupService, Ttl},
    otlp::{self, Signal},
    tool::{ApprovalLayer, ToolCall, ToolService, tool_fn},
    turn::{CodexExec, TurnRequest},
};
use serde_json::json;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("exec") {
        return Ok(replay()?);
    }

    // Prints the warnings of the crate, for example about an invalid variable.
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    let memory = MemorySink::new();
    let export = otlp::from_env();
    let sink: Arc<dyn Sink> = Arc::new(FanOut::new().with(memory.clone()).with(export.clone()));
    run_a_turn(&sink).await?;
    call_three_tools(&sink).await;
    clean_up(&sink).await?;

    print("The timeline, with one line for each call:\n");
    print(memory.timeline().colored_on(&io::stdout()));
    print("The events that the sink received:\n");
    for event in memory.events() {
        print(serde_json::to_string(&event)?);
    }
    if let Some(export) = export {
        report_export(&export).await;
    }
    Ok(())
}

async fn report_export(export: &OtlpSink) {
    let shutdown = export.shutdown(Duration::from_secs(5)).await;
    print("\nExported over OTLP:\n");
    for signal in Signal::ALL {
        if let Some(endpoint) = export.endpoint(signal) {
            print(format!("{signal} to {endpoint}"));
        }
    }
    print(export.stats());
    if let Err(undelivered) = shutdown {
        print(undelivered);
    }
}

async fn run_a_turn(sink: &Arc<dyn Sink>) -> Result<(), Box<dyn Error>> {
    let codex = CodexExec::builder().codex(std::env::current_exe()?);
    let turns = ServiceBuilder::new()
        .originator(Originator::Sdk)
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service(codex.build());

    let turn = turns
        .oneshot(TurnRequest::new("Mark the notes as ready").with_agent("release-notes"))
        .await?;
    print(format!(
        "Codex says: {}\n",
        turn.final_message.unwrap_or_default()
    ));
    Ok(())
}

async fn call_three_tools(sink: &Arc<dyn Sink>) {
    let approver = service_fn(|_: ApprovalRequest| async {
        Ok::<_, BoxError>(Decision::decline("not on a Friday"))
    });
    let registry = ToolService::builder()
        .tool(
            "add",
            tool_fn(|terms: Vec<i64>, _: CallContext| async move {
                Ok::<i64, BoxError>(terms.iter().sum())
            }),
        )
        .tool(
            "fetch",
            tool_fn(|_url: String, _: CallContext| async move {
                Err::<String, BoxError>("the page is gone".into())
            }),
        )
        .tool(
            "deploy",
            ApprovalLayer::new(approver, Duration::from_secs(1)).layer(tool_fn(
                |_target: String, _: CallContext| async move { Ok::<(), BoxError>(()) },
            )),
        )
        .build();
    let tools = ServiceBuilder::new()
        .originator(Originator::Sdk)
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service(registry);

    for (name, arguments) in [
        ("add", json!([19, 23])),
        ("fetch", json!("gone.html")),
        ("deploy", json!("production")),
    ] {
        match tools.clone().oneshot(ToolCall::new(name, arguments)).await {
            Ok(output) => print(format!("{name}: {}", output.content)),
            Err(error) => print(format!("{name}: {error}")),
        }
    }
    print("");
}

async fn clean_up(sink: &Arc<dyn Sink>) -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let store = AttachmentStore::open(directory.path())?;
    store
        .stage_bytes("kept.txt", "for good", Ttl::Persistent)
        .await?;
    store
        .stage_bytes(
            "stale.txt",
            "for a minute",
            Ttl::For(Duration::from_secs(60)),
        )
        .await?;

    let cleanup = ServiceBuilder::new()
        .originator(Originator::Cli)
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service(CleanupService::new(store));
    let in_an_hour = SystemTime::now() + Duration::from_secs(3600);
    let report = cleanup
        .oneshot(CleanupRequest::expired().at(in_an_hour))
        .await?;
    print(format!(
        "cleanup: removed {}, kept {}\n",
        report.removed, report.kept
    ));
    Ok(())
}

/// Prints a line. Unlike `println!`, it does not panic if the reader is gone, as with `| head`.
fn print(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Runs in the child process: reads the prompt and writes the transcript.
fn replay() -> io::Result<()> {
    io::stdin().read_to_end(&mut Vec::new())?;
    let mut stdout = io::stdout();
    for line in include_str!("transcript.jsonl").lines() {
        // Long enough to make the bars of the timeline visible.
        thread::sleep(Duration::from_millis(20));
        writeln!(stdout, "{line}")?;
    }
    Ok(())
}

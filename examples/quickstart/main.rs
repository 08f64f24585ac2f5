//! A turn that calls three tools of this program, and a cleanup, through the whole stack. It needs nothing but Rust.
//!
//! Run with `cargo run --example quickstart`.
//!
//! The turn needs no Codex CLI: this program starts itself as its child process, which then speaks like
//! `codex app-server` (`stand_in.rs`). `examples/host_tools` has the real one call tools.
//!
//! With `CODEX_OTLP_ENDPOINT=http://127.0.0.1:4318`, the sink also exports to the collector there.

mod stand_in;

use std::{
    error::Error,
    fmt::Display,
    io::{self, Write},
    sync::Arc,
    time::{Duration, SystemTime},
};

use codex_telemetry::{
    BoxError, Call, CallContext, CodexClassifier, FanOut, MemorySink, Operation, Originator,
    OtlpSink, ServiceBuilderExt, Sink,
    approval::{ApprovalRequest, Decision},
    attachment::{AttachmentStore, CleanupRequest, CleanupService, Ttl},
    otlp::{self, Signal},
    tool::{ApprovalLayer, HostTools, ToolFailure, ToolService, ToolSpec, ToolSpecError, tool_fn},
    turn::{CodexAppServer, TurnRequest},
};
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;
use tower::{Layer, ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().next_back().as_deref() == Some("app-server") {
        return Ok(stand_in::serve()?);
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

/// Has Codex run a turn in which its model calls the tools of this program.
async fn run_a_turn(sink: &Arc<dyn Sink>) -> Result<(), Box<dyn Error>> {
    let registry = tools(sink)?;
    // A call of a tool has the originator, the thread and the trace of the turn that makes it.
    let stack = ServiceBuilder::new()
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service(registry.clone());
    let codex = CodexAppServer::builder()
        .codex(std::env::current_exe()?)
        .tools(HostTools::new(&registry, stack, Duration::from_secs(10)))
        .build();
    let turns = ServiceBuilder::new()
        .originator(Originator::Sdk)
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service(codex.clone());

    let request = TurnRequest::new("Write the release notes").with_agent("release-notes");
    let turn = turns.oneshot(request).await?;
    print(format!(
        "Codex says: {}\n",
        turn.final_message.unwrap_or_default()
    ));
    codex.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

#[derive(Deserialize)]
struct Release {
    release: String,
}

#[derive(Deserialize)]
struct Page {
    path: String,
}

#[derive(Deserialize)]
struct Notes {
    text: String,
}

/// Returns three tools: one that succeeds, one that fails, and one that nobody approves.
fn tools(sink: &Arc<dyn Sink>) -> Result<ToolService, ToolSpecError> {
    // What a tool calls is a call, too, if its client has the layer.
    let tracker =
        ServiceBuilder::new()
            .timing(sink.clone())
            .service_fn(|request: Call<String>| async move {
                sleep(Duration::from_millis(20)).await;
                Ok::<_, BoxError>(vec![format!("{}: faster start", request.request)])
            });
    let closed_tickets = tool_fn(move |arguments: Release, context: CallContext| {
        let request = Call::new(Operation::Custom("tracker.request"), arguments.release);
        tracker
            .clone()
            .oneshot(request.with_context(context.child()))
    });
    let read_page = tool_fn(|page: Page, _| async move {
        sleep(Duration::from_millis(10)).await;
        let message = format!("there is no page {}", page.path);
        Err::<String, _>(ToolFailure::new(message))
    });
    let approver =
        ServiceBuilder::new()
            .timing(sink.clone())
            .service_fn(|_: ApprovalRequest| async {
                sleep(Duration::from_millis(30)).await;
                Ok::<_, BoxError>(Decision::decline("not on a Friday"))
            });
    let publish = ApprovalLayer::new(approver, Duration::from_secs(1)).layer(tool_fn(
        |notes: Notes, _| async move { Ok::<_, BoxError>(notes.text.len()) },
    ));
    ToolService::builder()
        .tool(
            spec("closed_tickets", "Lists what a release has", "release"),
            closed_tickets,
        )
        .tool(spec("read_page", "Returns a page", "path"), read_page)
        .tool(spec("publish", "Publishes the notes", "text"), publish)
        .build()
}

/// Returns what the model is told of a tool with one argument. With the feature `schemars`, `ToolSpec::of::<Release>`
/// gets the schema from the type.
fn spec(name: &'static str, description: &str, argument: &str) -> ToolSpec {
    ToolSpec::new(name, description).with_input_schema(json!({
        "type": "object",
        "properties": { argument: { "type": "string" } },
        "required": [argument],
    }))
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

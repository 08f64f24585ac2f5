//! A turn, three tools and a cleanup through the full stack, with nothing but Rust installed.
//!
//! Run with `cargo run --example quickstart`.
//!
//! The turn runs in a real child process, with real pipes and a real exit code: this very program,
//! started again as if it were the Codex CLI. It replays what the real one wrote when a model asked it
//! to read a file, edit it and run a test that fails (`transcript.jsonl`).
//!
//! With `CODEX_OTLP_ENDPOINT=http://127.0.0.1:4318` set, the calls go to the collector there as well.

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
    attachment::{AttachmentStore, CleanupRequest, CleanupService, Ttl},
    otlp::{self, Signal},
    tool::{ApprovalLayer, ApprovalRequest, Decision, ToolCall, ToolService, tool_fn},
    turn::{TurnRequest, TurnService},
};
use serde_json::json;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("exec") {
        return Ok(replay()?);
    }

    // The crate's own warnings, such as of a variable that is wrong.
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

    say("What happened: a line a call, nested as they were made.\n");
    say(memory.timeline().colored_on(&io::stdout()));
    say("The same as events, as a sink gets them:\n");
    for event in memory.events() {
        say(serde_json::to_string(&event)?);
    }
    if let Some(export) = export {
        tell_of_export(&export);
    }
    Ok(())
}

fn tell_of_export(export: &OtlpSink) {
    let delivered = export.shutdown(Duration::from_secs(5));
    say("\nExported over OTLP:\n");
    for signal in Signal::ALL {
        if let Some(endpoint) = export.endpoint(signal) {
            say(format!("{signal} to {endpoint}"));
        }
    }
    say(export.stats());
    if let Err(undelivered) = delivered {
        say(undelivered);
    }
}

async fn run_a_turn(sink: &Arc<dyn Sink>) -> Result<(), Box<dyn Error>> {
    let codex = TurnService::builder().codex(std::env::current_exe()?);
    let turns = ServiceBuilder::new()
        .originator(Originator::Sdk)
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service(codex.build());

    let turn = turns
        .oneshot(TurnRequest::new("Mark the notes as ready").with_agent("release-notes"))
        .await?;
    say(format!(
        "Codex says: {}\n",
        turn.final_message.unwrap_or_default()
    ));
    Ok(())
}

async fn call_three_tools(sink: &Arc<dyn Sink>) {
    let nobody_may = service_fn(|_: ApprovalRequest| async {
        Ok::<_, BoxError>(Decision::deny("not on a Friday"))
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
            ApprovalLayer::new(nobody_may, Duration::from_secs(1)).layer(tool_fn(
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
            Ok(output) => say(format!("{name}: {}", output.content)),
            Err(error) => say(format!("{name}: {error}")),
        }
    }
    say("");
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
    say(format!(
        "cleanup: removed {}, kept {}\n",
        report.removed, report.kept
    ));
    Ok(())
}

/// Prints a line; that nobody may read it, as behind `| head`, is no reason to panic.
fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// What the child process does: takes the prompt, and writes what Codex wrote.
fn replay() -> io::Result<()> {
    io::stdin().read_to_end(&mut Vec::new())?;
    let mut stdout = io::stdout();
    for line in include_str!("transcript.jsonl").lines() {
        // Codex took longer; this is enough to see in the picture which call waited for which.
        thread::sleep(Duration::from_millis(20));
        writeln!(stdout, "{line}")?;
    }
    Ok(())
}

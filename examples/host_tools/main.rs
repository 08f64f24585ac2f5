//! The real Codex calls tools of this program: its model can list, read and close tickets.
//!
//! ```text
//! cargo run --example host_tools --features mcp,schemars -- [--exec] [PROMPT]
//! ```
//!
//! By default the turn runs by `codex app-server`, which calls the tools on the pipe that is there already. With `--exec`
//! it runs by `codex exec`, which calls them over MCP, at a port of the loopback interface.
//!
//! It needs the Codex CLI, by its path in `CODEX_PATH` or as `codex` on the `PATH`, and an account. A ticket is closed
//! only if you agree on the terminal, and so is a command run that `codex app-server` asks about: the approver is the same.
//! The answer goes to standard output, the questions and the timeline to standard error.
//!
//! With `CODEX_OTLP_ENDPOINT` set, the calls are also exported over OTLP.

mod terminal;
mod tickets;

use std::{error::Error, io, process::ExitCode, sync::Arc, time::Duration};

use codex_telemetry::{
    ApprovalRequest, CodexClassifier, FanOut, MemorySink, Originator, ServiceBuilderExt,
    mcp::McpServer,
    otlp,
    tool::HostTools,
    turn::{ApprovalPolicy, CodexAppServer, CodexExec, Sandbox, TurnRequest},
};
use tower::{ServiceBuilder, ServiceExt};

use crate::terminal::Terminal;

const PROMPT: &str = "Which tickets are open? Close the one that is fixed.";

/// How long the user may take to answer a question.
const APPROVAL_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a call of a tool may take, with its question.
const TOOL_TIMEOUT: Duration = Duration::from_secs(150);

/// How long Codex and the export may take to end.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut words: Vec<_> = std::env::args().skip(1).collect();
    let by_exec = words.first().is_some_and(|word| word == "--exec");
    words.drain(..usize::from(by_exec));
    let prompt = match &words[..] {
        [] => PROMPT.to_owned(),
        words => words.join(" "),
    };
    let memory = MemorySink::new();
    let export = otlp::from_env();
    let sink = Arc::new(FanOut::new().with(memory.clone()).with(export.clone()));

    // A question is a call, too.
    let terminal = Terminal::start()?;
    let approver =
        ServiceBuilder::new()
            .timing(sink.clone())
            .service_fn(move |request: ApprovalRequest| {
                let terminal = terminal.clone();
                async move { Ok::<_, io::Error>(terminal.decide(&request).await) }
            });
    let registry = tickets::tools(approver.clone(), APPROVAL_TIMEOUT)?;
    // A call of a tool has the originator, the thread and the trace of the turn that makes it.
    let stack = ServiceBuilder::new()
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service(registry.clone());
    let tools = HostTools::new(&registry, stack, TOOL_TIMEOUT);

    let layers = ServiceBuilder::new()
        .originator(Originator::Cli)
        .timing(sink)
        .error_class(CodexClassifier);
    let request = TurnRequest::new(prompt)
        .with_agent("tickets")
        .with_sandbox(Sandbox::ReadOnly);
    let result = if by_exec {
        let server = McpServer::start(tools).await?;
        // Codex may change nothing, so it may run anywhere.
        let codex = CodexExec::builder().skip_git_repo_check(true).build();
        let turns = layers.service(codex.clone());
        let result = turns.oneshot(request.with_mcp_server(&server)).await;
        codex.shutdown(GRACE).await;
        server.shutdown(GRACE).await;
        result
    } else {
        let codex = CodexAppServer::builder()
            .tools(tools)
            .approver(approver, APPROVAL_TIMEOUT)
            .approval_policy(ApprovalPolicy::OnRequest)
            .build();
        let result = layers.service(codex.clone()).oneshot(request).await;
        codex.shutdown(GRACE).await;
        result
    };
    let code = match result {
        Ok(turn) => {
            println!("{}", turn.final_message.unwrap_or_default());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    };
    eprint!("\n{}", memory.timeline().colored_on(&io::stderr()));
    for (tool, stats) in registry.stats() {
        eprintln!(
            "{tool}: {} succeeded, {} failed",
            stats.success, stats.failure
        );
    }
    if let Some(export) = export
        && let Err(undelivered) = export.shutdown(GRACE).await
    {
        eprintln!("{undelivered}");
    }
    Ok(code)
}

//! A conversation has the same result by `codex exec` and by `codex app-server`.
#![cfg(unix)]

use codex_telemetry::{
    ErrorClass, Event, Outcome,
    approval::FileUpdateChange,
    event::names,
    turn::{ItemKind, JsonText, Turn, TurnError, TurnRequest, Usage},
};

use futures_util::{StreamExt, stream};

use crate::{
    app_server::Transport,
    bench::Bench,
    calls::number,
    reply::{Ending, Reply, Tokens},
    thread::assert_used,
};

/// What both transports tell of a turn.
#[derive(Debug, PartialEq)]
struct Told {
    result: Result<Completed, String>,
    class: Option<ErrorClass>,
    outcome: Option<Outcome>,
    /// Of a turn that completed: of another one, `codex exec` tells none.
    tokens: Option<[i64; 5]>,
    tools: Vec<Tool>,
}

#[derive(Debug, PartialEq)]
struct Completed {
    message: Option<String>,
    items: Vec<ItemKind>,
    usage: Option<Usage>,
    thread_usage: Option<Usage>,
    unknown_events: u32,
}

/// The name, the class, the message of the error, and the exit code.
type Tool = (
    Option<String>,
    Option<ErrorClass>,
    Option<String>,
    Option<i64>,
);

// === impl Told ===

impl Told {
    fn new(result: Result<Turn, TurnError>, bench: &Bench) -> Self {
        let calls = bench.calls(1);
        let turn = calls.turn();
        let completed = |turn: Turn| Completed {
            message: turn.final_message,
            items: turn
                .items
                .into_iter()
                .map(|item| plain(item.kind))
                .collect(),
            usage: turn.usage,
            thread_usage: turn.thread_usage,
            unknown_events: turn.unknown_events,
        };
        let keys = [
            names::INPUT_TOKENS,
            names::CACHE_READ_TOKENS,
            names::CACHE_WRITE_TOKENS,
            names::OUTPUT_TOKENS,
            names::REASONING_TOKENS,
        ];
        let mut tools: Vec<_> = calls.tools.iter().map(tool).collect();
        // Commands at once end in any order.
        tools.sort_by_key(|(name, _, _, exit_code)| (name.clone(), *exit_code));
        // Each bench has a model of its own.
        let message = |error: TurnError| error.to_string().replace(&bench.model.url("/"), "");
        let known = |key| number(turn, key).expect("the usage is known");
        Self {
            tokens: result.is_ok().then(|| keys.map(known)),
            result: result.map(completed).map_err(message),
            class: turn.error_class(),
            outcome: turn.outcome(),
            tools,
        }
    }
}

fn tool(event: &Event) -> Tool {
    (
        event.call_name().map(str::to_owned),
        event.error_class(),
        event.error_message().map(str::to_owned),
        number(event, names::EXIT_CODE),
    )
}

/// Leaves out what `codex exec` does not tell: directories, and differences of files.
fn plain(kind: ItemKind) -> ItemKind {
    match kind {
        ItemKind::CommandExecution {
            command,
            output,
            exit_code,
            status,
            ..
        } => ItemKind::CommandExecution {
            command,
            cwd: None,
            output,
            exit_code,
            status,
        },
        ItemKind::FileChange { changes, status } => {
            let changes = changes.into_iter();
            // Each transport has a directory of its own.
            let plain = |change: FileUpdateChange| {
                FileUpdateChange::new(change.path.file_name().unwrap(), change.kind)
            };
            ItemKind::FileChange {
                changes: changes.map(plain).collect(),
                status,
            }
        }
        ItemKind::McpToolCall {
            server,
            tool,
            arguments,
            result,
            error,
            status,
        } => ItemKind::McpToolCall {
            server,
            tool,
            arguments,
            // The key of the structured content is `structured_content` or `structuredContent`.
            result: result.map(|result| {
                let content = result.parse().unwrap()["content"].to_string();
                JsonText::new(content).unwrap()
            }),
            error,
            status,
        },
        other => other,
    }
}

const PATCH: &str = "*** Begin Patch\n*** Add File: new.txt\n+plum\n*** End Patch\n";

/// Changes a request, or the bench.
type Setup = fn(&Bench, TurnRequest) -> TurnRequest;

fn unchanged(_: &Bench, request: TurnRequest) -> TurnRequest {
    request
}

fn with_server(bench: &Bench, request: TurnRequest) -> TurnRequest {
    bench.with_server(request, "60", false)
}

fn conversations() -> Vec<(&'static str, Vec<Reply>, Setup)> {
    let used = |factor| Tokens::FEW.times(factor);
    let done = || Reply::message("done", used(100));
    vec![
        ("a message", vec![Reply::message("hi", used(1))], unchanged),
        (
            "a streamed message",
            vec![Reply::streamed(&["h", "i"], used(2))],
            unchanged,
        ),
        (
            "reasoning",
            vec![Reply::reasoned(&["I ", "think"], "hi", used(3))],
            unchanged,
        ),
        (
            "a command",
            vec![Reply::shell("echo fine"), done()],
            unchanged,
        ),
        (
            "a command that fails",
            vec![Reply::shell("echo bad; exit 3"), done()],
            unchanged,
        ),
        (
            "a command that does not exist",
            vec![Reply::shell("/no/such/program"), done()],
            unchanged,
        ),
        (
            "three commands, one after the other",
            vec![
                Reply::shell("echo one"),
                Reply::shell("exit 1"),
                Reply::shell("echo two"),
                done(),
            ],
            unchanged,
        ),
        ("an edit", vec![Reply::patch(PATCH), done()], unchanged),
        (
            "an edit of a file that is missing",
            vec![
                Reply::patch(
                    "*** Begin Patch\n*** Update File: no.txt\n@@\n-a\n+b\n*** End Patch\n",
                ),
                done(),
            ],
            unchanged,
        ),
        (
            "tools of a server",
            vec![
                Reply::mcp("stub", "works"),
                Reply::mcp("stub", "fails"),
                done(),
            ],
            with_server,
        ),
        (
            "a tool that does not exist",
            vec![Reply::call("no_such_tool", "{}"), done()],
            unchanged,
        ),
        (
            "a failure of the provider",
            vec![Reply::failure("rate_limit_exceeded", "slow down")],
            unchanged,
        ),
        (
            "a failure after a command",
            vec![
                Reply::shell("echo fine"),
                Reply::failure("server_is_overloaded", "later"),
            ],
            unchanged,
        ),
        (
            "a response without its end",
            vec![Reply::unfinished(Ending::Closed)],
            unchanged,
        ),
        (
            "a status",
            vec![Reply::error(401, "invalid_api_key", "no")],
            unchanged,
        ),
    ]
}

#[tokio::test]
async fn a_conversation_has_the_same_result_by_both_transports() {
    let conversations = stream::iter(conversations().into_iter().map(compare));
    conversations.buffer_unordered(4).collect::<()>().await;
}

async fn compare((what, script, setup): (&'static str, Vec<Reply>, Setup)) {
    let mut told = Vec::new();
    for transport in Transport::ALL {
        let Some(bench) = Bench::start(script.clone()) else {
            return;
        };
        let request = setup(&bench, bench.request("Go"));
        let result = bench.run_on(transport, request).await;
        assert_eq!(bench.model.left(), 0, "{transport:?}: {what}");
        told.push(Told::new(result, &bench));
    }
    assert_eq!(told[0], told[1], "{what}: by exec, and by app-server");
}

#[tokio::test]
async fn a_thread_goes_from_one_transport_to_the_other() {
    for (first, second) in [
        (Transport::Exec, Transport::AppServer),
        (Transport::AppServer, Transport::Exec),
    ] {
        let used = |factor| Reply::message("done", Tokens::FEW.times(factor));
        let Some(bench) = Bench::start([used(1), used(10)]) else {
            return;
        };
        let turn = bench.run_on(first, bench.request("Remember the word plum"));
        let thread = turn.await.unwrap().thread_id.unwrap();
        let request = bench.request("On").with_resume(&*thread);
        let turn = bench.run_on(second, request).await.unwrap();
        assert_eq!(turn.thread_id, Some(thread), "{first:?}");
        assert_used(turn.usage, Tokens::FEW.times(10));
        assert_used(turn.thread_usage, Tokens::FEW.times(11));
        assert!(bench.model.asked()[1].is_about("plum"), "{first:?}");
        bench.calls(2);
    }
}

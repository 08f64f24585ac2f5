//! What a server of the real Codex leaves behind after many turns, after a kill, and beside another server.
#![cfg(target_os = "linux")]

use std::{
    env, fs,
    process::{Command, Stdio},
    time::Duration,
};

use codex_telemetry::{
    ErrorClass, Operation, Outcome,
    turn::{CodexAppServerBuilder, ItemKind, ItemStatus, TurnError},
};
use futures_util::{FutureExt, StreamExt, stream};
use rustix::process::{Pid, Signal, kill_process};
use tower::ServiceExt;

use crate::{
    app_server::AppServer,
    app_server_cancel::runs,
    bench::{Bench, comes_true, in_time, until},
    calls::assert_ok,
    mcp_stub,
    processes::{exists, odd_duration, of_home, running},
    reply::{Reply, Tokens},
    thread::assert_used,
};

impl Bench {
    /// Returns a service whose threads have an MCP server each.
    fn with_mcp_server(
        &self,
        configure: impl FnOnce(CodexAppServerBuilder) -> CodexAppServerBuilder,
    ) -> AppServer<'_> {
        // It notes each of its starts.
        let starts = self.work.path().join("starts");
        let script = mcp_stub::script("[]", "");
        let stub = self.mcp_server(&format!("echo $$ >>{}\n{script}", starts.display()));
        self.app_server(|builder| configure(builder).config("mcp_servers.stub", stub))
    }

    /// Returns how many MCP servers were started.
    fn mcp_starts(&self) -> usize {
        let starts = fs::read_to_string(self.work.path().join("starts")).unwrap_or_default();
        starts.lines().count()
    }
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Returns the memory of a process, in bytes.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

// === many threads ===

#[tokio::test]
async fn three_hundred_ephemeral_threads_leave_what_thirty_leave() {
    // A thread that stays loaded takes about a megabyte, a process, and open files.
    const MEMORY: u64 = 96 << 20;

    let Some(bench) = Bench::start([]) else {
        return;
    };
    let server = bench.with_mcp_server(|builder| builder.ephemeral(true));
    let run = |count: usize| {
        let (bench, server) = (&bench, &server);
        async move {
            bench.model.then((0..count).map(|_| Reply::done()));
            let turns = stream::iter((0..count).map(|_| server.complete(bench.ask("Go"))));
            turns.buffer_unordered(4).collect::<Vec<_>>().await;
            bench.model.forget_requests();
            let _ = bench.sink.take();
            until("all threads are unloaded", || {
                bench.mcp_servers() == 0 && of_home(bench.home.path()).len() == 1
            })
            .await;
            bench.server().unwrap()
        }
    };
    let pid = run(30).await;
    let (files, used) = (open_files(pid), memory(pid));
    assert_eq!(run(270).await, pid, "it is another server");
    assert_eq!(bench.mcp_starts(), 300, "not each thread had an MCP server");
    // Some connections to the model may be open.
    until("the files are closed", || open_files(pid) <= files + 8).await;
    let grown = memory(pid).saturating_sub(used);
    assert!(grown < MEMORY, "{grown} bytes more than {used}");
    server.end().await;
}

#[tokio::test]
async fn a_thread_that_was_let_go_remembers() {
    let Some(bench) = Bench::start((0..6).map(|_| Reply::done())) else {
        return;
    };
    let server = bench.with_mcp_server(|builder| builder.max_threads(2));
    let first = server.complete(bench.ask("Remember the word plum")).await;
    for _ in 0..4 {
        server.complete(bench.ask("Go")).await;
    }
    let pid = bench.server();
    until("three threads are unloaded", || bench.mcp_servers() == 2).await;
    let turn = server.complete(bench.ask_on(&first, "On")).await;
    assert_eq!(turn.thread_id, first.thread_id);
    assert_used(turn.usage, Tokens::FEW);
    assert_used(turn.thread_usage, Tokens::FEW.times(2));
    assert!(bench.model.asked()[5].is_about("plum"));
    // It has been loaded for the turn, and another one was unloaded.
    assert_eq!(bench.mcp_starts(), 6);
    until("two threads are loaded", || bench.mcp_servers() == 2).await;
    assert_eq!(bench.server(), pid);
    server.end().await;
    bench.calls(6);
}

// === the ends of a server ===

#[tokio::test]
async fn an_idle_server_ends_and_its_thread_goes_on_in_another() {
    let Some(bench) = Bench::start([Reply::done(), Reply::message("on", Tokens::FEW)]) else {
        return;
    };
    let server = bench.with_mcp_server(|builder| builder.idle_timeout(Duration::from_millis(500)));
    let first = server.complete(bench.ask("Remember the word plum")).await;
    until("nothing runs", || !runs(bench.home.path())).await;
    let turn = server.complete(bench.ask_on(&first, "On")).await;
    assert_eq!(turn.final_message.as_deref(), Some("on"));
    assert_eq!(turn.thread_id, first.thread_id);
    assert_used(turn.thread_usage, Tokens::FEW.times(2));
    assert!(bench.model.asked()[1].is_about("plum"));
    server.end().await;
    for turn in &bench.calls(2).turns {
        assert_ok(turn);
    }
}

#[tokio::test]
async fn a_server_that_is_killed_while_a_command_runs_leaves_nothing_of_it() {
    let marker = odd_duration();
    let command = format!("trap '' HUP INT TERM; setsid sleep {marker} & sleep {marker}");
    let Some(bench) = Bench::start([Reply::done(), Reply::shell(&command)]) else {
        return;
    };
    let server = bench.with_mcp_server(|builder| builder);
    let first = server.complete(bench.ask("Remember the word plum")).await;
    let pid = bench.server().unwrap();
    let kill = async {
        let sleeping = || {
            let mut sleeping = running(&marker);
            sleeping.retain(|process| process.command_line.starts_with("sleep"));
            sleeping.len()
        };
        // Codex tells of a command some time after it has started it.
        let is_told = || {
            let mut events = bench.sink.events().into_iter();
            events.any(|event| event.operation() == Operation::Tool)
        };
        until("the command runs", || sleeping() == 2 && is_told()).await;
        kill(pid);
    };
    let (result, ()) = tokio::join!(server.run(bench.ask_on(&first, "Go")), kill);
    let error = result.unwrap_err();
    assert!(matches!(error, TurnError::ServerExited { .. }), "{error:?}");
    until("nothing is left", || {
        running(&marker).is_empty() && !exists(pid) && !runs(bench.home.path())
    })
    .await;
    let calls = bench.calls(2);
    let of_turn = calls.inside(&calls.turns[1]);
    assert_eq!(of_turn.turn.error_class(), Some(ErrorClass::Transport));
    let [command] = &of_turn.tools[..] else {
        panic!("{:?}", of_turn.tools);
    };
    assert_eq!(command.outcome(), Some(Outcome::Error), "{command:?}");

    bench.model.then([Reply::message("on", Tokens::FEW)]);
    let turn = server.complete(bench.ask_on(&first, "On")).await;
    assert_eq!(turn.final_message.as_deref(), Some("on"));
    assert_eq!(turn.thread_id, first.thread_id);
    assert_eq!(turn.items.len(), 1, "of another turn: {:?}", turn.items);
    assert!(bench.model.asked().last().unwrap().is_about("plum"));
    server.end().await;
}

// === two servers, and two programs ===

#[tokio::test]
async fn the_end_of_a_server_does_not_touch_another_one_of_the_same_home() {
    let marker = odd_duration();
    let Some(bench) = Bench::start([]) else {
        return;
    };
    let go = bench.work.path().join("go");
    let waits = format!(
        "until [ -e '{}' ]; do sleep 0.05; done; echo fine",
        go.display()
    );
    let sleeps = format!("setsid sleep {marker} & sleep {marker}");
    for (text, command) in [("plum", &sleeps), ("pear", &waits)] {
        bench.model.then_to(text, [Reply::shell(command)]);
    }
    let server = bench.app_server(|builder| builder);
    server.turns.start().await.unwrap();
    let killed = bench.server().unwrap();
    let other = bench.app_server(|builder| builder);

    let ends = async {
        // For a moment each `sleep` is a copy of its shell.
        let waiting = || {
            let mut waiting = running(&go.display().to_string());
            waiting.retain(|process| process.command_line.contains("until"));
            waiting
                .into_iter()
                .map(|process| process.pid)
                .collect::<Vec<_>>()
        };
        until("both commands run", || {
            !waiting().is_empty() && !running(&marker).is_empty()
        })
        .await;
        let before = waiting();
        // One is killed, and what it leaves is looked for.
        kill(killed);
        until("the command is gone", || running(&marker).is_empty()).await;
        // So is what a turn of another program leaves.
        bench.model.then_to("cherry", [Reply::done()]);
        bench.run(bench.request("A cherry")).await.unwrap();
        bench.model.then_to("fig", [Reply::done()]);
        server.complete(bench.ask("A fig")).await;
        in_time(server.turns.shutdown(Duration::from_secs(30))).await;
        let after = waiting();
        assert!(
            before.iter().any(|pid| after.contains(pid)),
            "the command of the other server: {before:?}, {after:?}"
        );
        bench.model.then_to("pear", [Reply::done()]);
        fs::write(&go, "").unwrap();
    };
    let (plum, pear, ()) = tokio::join!(
        server.run(bench.ask("A plum")),
        other.complete(bench.ask("A pear")),
        ends
    );
    let error = plum.unwrap_err();
    assert!(matches!(error, TurnError::ServerExited { .. }), "{error:?}");
    let ItemKind::CommandExecution { output, status, .. } = &pear.items[0].kind else {
        panic!("{:?}", pear.items);
    };
    assert_eq!((output.trim(), status), ("fine", &ItemStatus::Completed));
    server.end_with(other).await;
    bench.calls(4);
}

#[tokio::test]
async fn a_name_in_the_environment_wins_over_the_one_of_the_client() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let server = bench.app_server(|builder| {
        let builder = builder.client_name("release-bot");
        builder.env("CODEX_INTERNAL_ORIGINATOR_OVERRIDE", "night-bot")
    });
    server.complete(bench.ask("Go")).await;
    server.end().await;
    assert_eq!(bench.model.asked()[0].header("originator"), "night-bot");
    bench.calls(1);
}

/// The URL of the model, `CODEX_HOME` and the way to exit, in the program.
const MODEL: &str = "TRAPS_TEST_MODEL";
const HOME: &str = "TRAPS_TEST_HOME";
const EXIT: &str = "TRAPS_TEST_EXIT";
const MARKER: &str = "TRAPS_TEST_MARKER";

/// The program is this test's own binary, started again to run the same test alone.
#[tokio::test]
async fn a_program_that_exits_without_a_drain_leaves_neither_codex_nor_its_command() {
    if let Ok(model) = env::var(MODEL) {
        exit_without_drain(&model).await;
        return;
    }
    for exit in ["in a turn", "from main", "from main, by exec"] {
        let marker = odd_duration();
        let command =
            format!("trap '' HUP INT TERM; sleep {marker} & sleep {marker} & sleep {marker}");
        let Some(bench) = Bench::start([Reply::shell(&command)]) else {
            return;
        };
        let mut program = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "app_server_traps::a_program_that_exits_without_a_drain_leaves_neither_codex_nor_its_command",
            ])
            .env(MODEL, bench.model.url("/v1"))
            .env(HOME, bench.home.path())
            .env(EXIT, exit)
            .env(MARKER, &marker)
            // The program's temporary directories, which it may not remove.
            .env("TMPDIR", bench.work.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let watchdog = format!("codex-watchdog {}", program.id());
        let mut status = None;
        until("the program exits", || {
            status = program.try_wait().unwrap();
            status.is_some()
        })
        .await;
        assert_eq!(status.unwrap().code(), Some(0), "{exit}");
        assert!(!bench.model.asked().is_empty(), "{exit}: no turn was run");
        let left = || {
            let home = of_home(bench.home.path());
            [running(&marker), home, running(&watchdog)].concat()
        };
        let is_gone = comes_true(|| left().is_empty()).await;
        assert!(is_gone, "{exit}: {:#?}", left());
    }
}

/// Exits, or returns, while a command of a turn runs.
async fn exit_without_drain(model: &str) {
    let marker = env::var(MARKER).unwrap();
    let bench = Bench::start([]).unwrap();
    let turns = bench
        .app_server_builder(model)
        .env("CODEX_HOME", env::var_os(HOME).unwrap())
        .env("HOME", env::var_os(HOME).unwrap())
        .build();
    let exit = env::var(EXIT).unwrap();
    let turn = if exit == "from main, by exec" {
        let request = bench.request_to(model, "Go");
        let request = request.with_env("CODEX_HOME", env::var_os(HOME).unwrap());
        bench.turns().build().oneshot(request).boxed()
    } else {
        turns.clone().oneshot(bench.ask("Go")).boxed()
    };
    let turn = tokio::spawn(turn);
    until("the command runs", || {
        let mut sleeping = running(&marker);
        sleeping.retain(|process| process.command_line.starts_with("sleep"));
        sleeping.len() == 3
    })
    .await;
    assert!(!turn.is_finished());
    if exit == "in a turn" {
        std::process::exit(0);
    }
}

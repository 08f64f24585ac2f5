//! A turn that is dropped, at each of its moments: what it began has ended, its thread is free, its server runs on.
#![cfg(target_os = "linux")]

use std::{
    fs::File,
    future::pending,
    os::unix::fs::PermissionsExt,
    path::Path,
    pin::pin,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    task::Poll,
};

use codex_telemetry::{
    ErrorClass, Event, EventKind, Outcome,
    approval::{ApprovalRequest, Decision},
    turn::{ApprovalPolicy, CodexAppServer, Turn, TurnRequest},
};
use rustix::process::{Pid, Signal, kill_process};
use tower::{ServiceExt, service_fn};

use crate::{
    app_server::AppServer,
    app_server_approvals_mcp::{find_agents, is_of_turn, spawn_agent},
    bench::{Bench, DEADLINE, in_time, until},
    gate::Gate,
    mcp_stub,
    processes::{odd_duration, of_home, running},
    reply::{Ending, Reply, Tokens},
};

impl Bench {
    /// Returns the process of the server.
    pub(crate) fn server(&self) -> Option<u32> {
        let processes = of_home(self.home.path());
        let mut servers = processes.iter().filter(|process| {
            // A child of the server has its command line until it runs another program.
            process.command_line.trim_end().ends_with(" app-server") && is_ours(process.pid)
        });
        let server = servers.next().map(|process| process.pid);
        assert_eq!(servers.next().map(|process| process.pid), None);
        server
    }
}

/// Returns whether a process was started by this one.
fn is_ours(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    parent.is_some_and(|parent| parent.trim() == std::process::id().to_string())
}

impl AppServer<'_> {
    /// Runs a turn until something is reached, and drops it.
    pub(crate) async fn drop_at(&self, request: TurnRequest, reached: impl Future) {
        let turn = self.bench().layered(self.turns.clone()).oneshot(request);
        tokio::select! {
            result = turn => panic!("the turn ended by itself: {result:?}"),
            _ = in_time(reached) => {}
        }
    }

    /// Waits until nothing of a dropped turn is left, and runs the next one of its thread in the same server.
    pub(crate) async fn assert_free(&self, thread_id: Option<&str>, server: u32) -> Turn {
        let bench = self.bench();
        until("the turn has ended", || self.turns.active() == 0).await;
        let before = bench.model.asked().len();
        bench.model.then([Reply::message("next", Tokens::FEW)]);
        let request = bench.ask("The next one");
        let request = match thread_id {
            Some(id) => request.with_resume(id),
            None => request,
        };
        let turn = self.complete(request).await;
        assert_eq!(turn.final_message.as_deref(), Some("next"));
        assert_eq!(turn.items.len(), 1, "of another turn: {:?}", turn.items);
        assert_eq!(bench.model.asked().len(), before + 1);
        assert_eq!(bench.server(), Some(server), "it is another server");
        turn
    }

    /// Returns the thread of the last of `count` turns, which was dropped, and checks that all that was open in it is
    /// cancelled.
    fn cancelled(&self, count: usize) -> Option<String> {
        let calls = self.bench().calls(count);
        let of_turn = calls.inside(&calls.turns[count - 1]);
        for event in of_turn.chats.iter().chain(&of_turn.tools) {
            assert_eq!(event.kind(), EventKind::Exception, "{event:?}");
        }
        for event in of_turn.tools.iter().chain([&of_turn.turn]) {
            assert_cancelled(event);
        }
        of_turn.turn.thread_id().map(str::to_owned)
    }
}

#[track_caller]
fn assert_cancelled(event: &Event) {
    assert_eq!(event.outcome(), Some(Outcome::Cancelled), "{event:?}");
    assert_eq!(event.error_class(), Some(ErrorClass::Cancelled));
}

/// A process that is stopped until this is dropped. What is written to it waits.
pub(crate) struct Stopped(Pid);

impl Stopped {
    pub(crate) async fn new(pid: u32) -> Self {
        let process = Pid::from_raw(pid.try_into().unwrap()).unwrap();
        kill_process(process, Signal::STOP).unwrap();
        let stopped = Self(process);
        // A thread that waits for input when the signal comes may still read some before it stops.
        until("all threads are stopped", || {
            states(pid).all(|state| state == 'T')
        })
        .await;
        stopped
    }

    /// Waits until the process has a request to read.
    pub(crate) async fn has_input(&self) {
        // The notification `initialized`, which may be the first, is shorter.
        self.has_more_than(64).await;
    }

    /// Waits until the process has more than so many bytes to read.
    async fn has_more_than(&self, bytes: u64) {
        until("something was written", || self.input() > bytes).await;
    }

    /// Returns how many bytes the process has to read.
    fn input(&self) -> u64 {
        let stdin = File::open(format!("/proc/{}/fd/0", self.0.as_raw_nonzero())).unwrap();
        rustix::io::ioctl_fionread(&stdin).unwrap()
    }
}

/// Returns the states of the threads of a process.
fn states(pid: u32) -> impl Iterator<Item = char> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.flatten().filter_map(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).ok()?;
        // The name, in brackets, may have any character.
        stat.rsplit_once(") ")?.1.chars().next()
    })
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // An error means that it has been killed.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

// === before the turn runs ===

/// Puts a program before Codex that waits for a file.
fn waiting_codex(bench: &Bench) -> std::path::PathBuf {
    let path = bench.home.path().join("codex.sh");
    let go = bench.home.path().join("go");
    let script = format!(
        "#!/bin/sh\nuntil [ -e '{}' ]; do sleep 0.05; done\nexec '{}' \"$@\"\n",
        go.display(),
        bench.codex.display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn a_turn_that_is_dropped_while_the_server_starts_ends_it_and_the_next_one_starts_another() {
    let Some(bench) = Bench::start([]) else {
        return;
    };
    let codex = waiting_codex(&bench);
    let server = bench.app_server(|builder| {
        builder
            .codex(&codex)
            // It does not end with its input.
            .exit_grace(std::time::Duration::from_millis(100))
    });
    let starts = || running(&codex.display().to_string());
    let mut first = None;
    let started = until("the server starts", || {
        first = starts().first().map(|process| process.pid);
        first.is_some()
    });
    server.drop_at(bench.ask("Go"), started).await;
    until("the server is gone", || starts().is_empty()).await;
    assert_eq!(server.cancelled(1), None);
    File::create(bench.home.path().join("go")).unwrap();
    bench.model.then([Reply::done()]);
    server.complete(bench.ask("Again")).await;
    server.end().await;
}

#[tokio::test]
async fn a_turn_that_is_dropped_before_its_thread_has_started_leaves_no_thread() {
    let Some(bench) = Bench::start([]) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    server.turns.start().await.unwrap();
    let pid = bench.server().unwrap();
    {
        let stopped = Stopped::new(pid).await;
        server.drop_at(bench.ask("Go"), stopped.has_input()).await;
    }
    assert_eq!(server.cancelled(1), None);
    assert!(bench.model.asked().is_empty());
    server.assert_free(None, pid).await;
    server.end().await;
}

#[tokio::test]
async fn a_turn_that_is_dropped_while_its_thread_is_loaded_leaves_the_thread_free() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let before = bench.app_server(|builder| builder);
    let first = before.complete(bench.ask("Go")).await;
    before.end().await;

    let server = bench.app_server(|builder| builder);
    server.turns.start().await.unwrap();
    let pid = bench.server().unwrap();
    {
        let stopped = Stopped::new(pid).await;
        server
            .drop_at(bench.ask_on(&first, "Go on"), stopped.has_input())
            .await;
    }
    server.cancelled(2);
    server.assert_free(first.thread_id.as_deref(), pid).await;
    server.end().await;
}

#[tokio::test]
async fn a_turn_has_its_own_sandbox_when_the_one_that_was_loading_its_thread_was_dropped() {
    use codex_telemetry::turn::Sandbox;

    let Some(bench) = Bench::start([Reply::done(), Reply::done()]) else {
        return;
    };
    let before = bench.app_server(|builder| builder);
    let first = before.complete(bench.ask("Go")).await;
    before.end().await;

    let server = bench.app_server(|builder| builder);
    server.turns.start().await.unwrap();
    let next = {
        let stopped = Stopped::new(bench.server().unwrap()).await;
        let on = |sandbox| bench.ask_on(&first, "Go on").with_sandbox(sandbox);
        server
            .drop_at(on(Sandbox::DangerFullAccess), stopped.has_input())
            .await;
        // Its request to load the thread is written behind the one of the dropped turn.
        let mut next = Box::pin(server.run(on(Sandbox::ReadOnly)));
        let before = stopped.input();
        tokio::select! {
            result = &mut next => panic!("{result:?}"),
            () = stopped.has_more_than(before) => {}
        }
        next
    };
    next.await.unwrap();
    let asked = bench.model.asked().pop().unwrap().texts().concat();
    let (_, sandbox) = asked.rsplit_once("`sandbox_mode` is `").unwrap();
    assert!(sandbox.starts_with("read-only"), "{sandbox:.60}");
    server.end().await;
}

#[tokio::test]
async fn a_turn_that_is_dropped_while_it_waits_for_its_thread_takes_nothing_from_the_one_that_runs()
{
    let gate = Gate::new();
    let Some(bench) = Bench::start([Reply::done(), Reply::done().held(&gate)]) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let first = server.complete(bench.ask("Go")).await;
    let pid = bench.server().unwrap();
    let second = server.complete(bench.ask_on(&first, "Go on"));
    let third = async {
        gate.reached().await;
        let active = until("it waits", || server.turns.active() == 2);
        server
            .drop_at(bench.ask_on(&first, "NOT ASKED"), active)
            .await;
        assert_eq!(server.turns.active(), 1);
        gate.open();
    };
    let (second, ()) = tokio::join!(second, third);
    assert_eq!(second.final_message.as_deref(), Some("done"));
    server.assert_free(first.thread_id.as_deref(), pid).await;
    assert!(bench.model.asked_about("NOT ASKED").is_empty());
    server.end().await;
}

#[tokio::test]
async fn a_turn_that_is_dropped_before_its_start_is_answered_does_not_run_on() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let first = server.complete(bench.ask("Go")).await;
    let pid = bench.server().unwrap();
    {
        let stopped = Stopped::new(pid).await;
        server
            .drop_at(bench.ask_on(&first, "Go on"), stopped.has_input())
            .await;
        // The thread is not free before the server has ended the turn.
        assert_eq!(server.turns.active(), 1);
    }
    server.cancelled(2);
    server.assert_free(first.thread_id.as_deref(), pid).await;
    server.end().await;
}

/// With this, a turn is dropped between all that happens to it, also between the answer to its start and the start.
#[tokio::test]
async fn a_turn_that_is_dropped_after_any_number_of_polls_leaves_its_thread_free() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let first = server.complete(bench.ask("Go")).await;
    let pid = bench.server().unwrap();
    let mut polls = 1;
    loop {
        // If the turn is interrupted before it asks the model, the next one has its reply.
        bench
            .model
            .then_to("Count", [Reply::streamed(&["a", "b"], Tokens::FEW)]);
        let request = bench.ask_on(&first, "Count");
        let mut turn = Box::pin(bench.layered(server.turns.clone()).oneshot(request));
        let mut left = polls;
        let result = in_time(std::future::poll_fn(|cx| {
            let poll = turn.as_mut().poll(cx);
            left -= 1;
            match poll {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending if left == 0 => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        }))
        .await;
        drop(turn);
        until("the turn has ended", || server.turns.active() == 0).await;
        if let Some(result) = result {
            result.unwrap();
            break;
        }
        polls += 1;
    }
    assert!(polls > 5, "the turn was polled {polls} times");
    bench.model.forget_scripts();
    let next = server.assert_free(first.thread_id.as_deref(), pid).await;
    assert_ne!(next.turn_id, first.turn_id);
    server.end().await;
}

// === while it runs ===

#[tokio::test]
async fn a_turn_that_is_dropped_while_the_model_writes_ends() {
    let gate = Gate::new();
    let reply = Reply::streamed(&["a", "b", "c"], Tokens::FEW).held_after(4, &gate);
    let Some(bench) = Bench::start([reply]) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let (progress, mut seen) = tokio::sync::mpsc::channel(64);
    let request = bench.ask("Go").with_progress(progress);
    let mut pid = None;
    let writes = async {
        loop {
            let progress = seen.recv().await.unwrap();
            if let codex_telemetry::turn::Progress::MessageDelta { .. } = progress {
                break;
            }
        }
        pid = bench.server();
    };
    server.drop_at(request, writes).await;
    let pid = pid.unwrap();
    let thread = server.cancelled(1);
    gate.open();
    server.assert_free(thread.as_deref(), pid).await;
    server.end().await;
}

#[tokio::test]
async fn a_turn_that_is_dropped_while_the_model_hangs_ends() {
    let Some(bench) = Bench::start([Reply::unfinished(Ending::Silence)]) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let asked = until("the model was asked", || !bench.model.asked().is_empty());
    server.drop_at(bench.ask("Go"), asked).await;
    let thread = server.cancelled(1);
    server
        .assert_free(thread.as_deref(), bench.server().unwrap())
        .await;
    server.end().await;
}

#[tokio::test]
async fn a_turn_that_is_dropped_while_its_commands_run_ends_them() {
    let marker = odd_duration();
    // One that Codex waits for, one in the background, and one that ignores signals and has children.
    let stubborn = format!("trap '' INT TERM HUP; sleep {marker} & sleep {marker}");
    let script = [
        Reply::shell_in_background(&format!("sleep {marker}")),
        Reply::shells([&*stubborn, &*format!("sleep {marker}")]),
    ];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let sleeping = || {
        let mut running = running(&marker);
        running.retain(|process| process.command_line.starts_with("sleep"));
        running.len()
    };
    let run = until("the commands run", || {
        let events = bench.sink.events();
        let is_tool = |event: &&Event| event.operation() == codex_telemetry::Operation::Tool;
        events.iter().filter(is_tool).count() == 3 && sleeping() == 4
    });
    server.drop_at(bench.ask("Go"), run).await;
    let calls = bench.calls(1);
    assert_eq!(calls.tools.len(), 3);
    for event in calls.tools.iter().chain([calls.turn()]) {
        assert_cancelled(event);
    }
    let pid = bench.server().unwrap();
    until("the commands are gone", || running(&marker).is_empty()).await;
    let thread = calls.turn().thread_id().unwrap();
    // What Codex tells of the ended commands is not of the next turn.
    server.assert_free(Some(thread), pid).await;
    assert_eq!(bench.calls(2).tools.len(), 3);
    server.end().await;
}

#[tokio::test]
async fn a_turn_that_is_dropped_while_its_approver_decides_drops_the_approver_and_runs_nothing() {
    use codex_telemetry::ServiceBuilderExt;
    use tower::ServiceBuilder;

    /// Is set when it is dropped.
    struct OnDrop(Arc<AtomicBool>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.store(true, Relaxed);
        }
    }

    let Some(bench) = Bench::start([Reply::shell("touch one")]) else {
        return;
    };
    let asked = Arc::new(tokio::sync::Notify::new());
    let is_dropped = Arc::new(AtomicBool::new(false));
    let approver = {
        let (asked, is_dropped) = (Arc::clone(&asked), Arc::clone(&is_dropped));
        service_fn(move |_: ApprovalRequest| {
            let (asked, guard) = (Arc::clone(&asked), OnDrop(Arc::clone(&is_dropped)));
            async move {
                let _guard = guard;
                asked.notify_one();
                Ok::<_, std::convert::Infallible>(pending::<Decision>().await)
            }
        })
    };
    let approver = ServiceBuilder::new()
        .timing(bench.sink.clone())
        .service(approver);
    let server = bench.app_server(|builder| {
        builder
            .approval_policy(ApprovalPolicy::Untrusted)
            .approver(approver, DEADLINE)
    });
    server.drop_at(bench.ask("Go"), asked.notified()).await;
    assert!(is_dropped.load(Relaxed), "the approver's future lives on");
    let calls = bench.calls(1);
    let [approval] = &calls.approvals[..] else {
        panic!("{:?}", calls.approvals);
    };
    for event in [calls.turn(), calls.tool(), approval] {
        assert_cancelled(event);
    }
    let decision = crate::app_server_approvals::decision(calls.tool());
    assert_eq!(decision.as_deref(), Some("unanswered"));
    let thread = calls.turn().thread_id().unwrap().to_owned();
    server
        .assert_free(Some(&thread), bench.server().unwrap())
        .await;
    assert!(!bench.has("one"));
    server.end().await;
}

#[tokio::test]
async fn a_turn_that_is_dropped_takes_its_sub_agent_with_it() {
    let marker = odd_duration();
    let Some(bench) = Bench::start([]) else {
        return;
    };
    let wait = Gate::new();
    bench.model.then_to(
        "PROMPT",
        [
            find_agents(),
            spawn_agent("TASK"),
            Reply::done().held(&wait),
        ],
    );
    let sleep = format!("sleep {marker}");
    bench.model.then_to("TASK", [Reply::shell(&sleep)]);
    let server = bench.app_server(|builder| builder);
    let works = async {
        wait.reached().await;
        until("the sub-agent works", || !running(&marker).is_empty()).await;
    };
    server.drop_at(bench.ask("PROMPT"), works).await;
    until("its command is gone", || running(&marker).is_empty()).await;
    // It was not told to go on.
    let asked = bench.model.asked_about("TASK");
    let of_agent = asked.iter().filter(|request| !is_of_turn(request));
    assert_eq!(of_agent.count(), 1);
    until("the turn has ended", || server.turns.active() == 0).await;
    server.end().await;
}

#[tokio::test]
async fn an_ephemeral_thread_of_a_dropped_turn_ends_its_mcp_server() {
    let Some(bench) = Bench::start([Reply::unfinished(Ending::Silence)]) else {
        return;
    };
    let stub = bench.mcp_server(&mcp_stub::script("[]", ""));
    let server = bench.app_server(|builder| builder.config("mcp_servers.stub", stub));
    let asked = until("the model was asked", || {
        !bench.model.asked().is_empty() && bench.mcp_servers() == 1
    });
    server
        .drop_at(bench.ask("Go").with_ephemeral(true), asked)
        .await;
    server.cancelled(1);
    until("the turn has ended", || server.turns.active() == 0).await;
    until("the MCP server is gone", || bench.mcp_servers() == 0).await;
    assert!(bench.server().is_some());
    server.end().await;
}

#[tokio::test]
async fn a_thread_that_is_let_go_and_loaded_again_at_once_runs_its_turns() {
    let turns = 20;
    let Some(bench) = Bench::start((0..=turns).map(|_| Reply::done())) else {
        return;
    };
    // Each turn lets go of the thread, and the next one has it loaded while the server unloads it.
    let server = bench.app_server(|builder| builder.max_threads(0));
    let first = server.complete(bench.ask("Go")).await;
    for number in 0..turns {
        let turn = server.run(bench.ask_on(&first, "Go on")).await;
        assert!(turn.is_ok(), "turn {number}: {turn:?}");
    }
    server.end().await;
}

// === helpers of other files ===

/// Returns a turn that runs until `reached` is ready, and is not polled any more.
pub(crate) async fn run_until<F: Future>(turn: F, reached: impl Future) -> std::pin::Pin<Box<F>> {
    let mut turn = Box::pin(turn);
    let mut reached = pin!(in_time(reached));
    tokio::select! {
        _ = &mut turn => panic!("the turn ended by itself"),
        _ = &mut reached => {}
    }
    turn
}

/// Returns a service without the rig, whose last handle the test drops.
pub(crate) fn service(bench: &Bench) -> CodexAppServer {
    bench.app_server_builder(&bench.model.url("/v1")).build()
}

/// Returns whether a process of Codex runs.
pub(crate) fn runs(home: &Path) -> bool {
    !of_home(home).is_empty()
}

//! Questions of the server, and interrupts, with a server in memory and a paused clock.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};
use tower::{Service, ServiceExt, service_fn};

use super::{
    CodexAppServer,
    peer::{Options, Peer},
};
use crate::{
    approval::{Action, ApprovalRequest, Decision},
    turn::{Turn, TurnError, TurnRequest},
};

const A: &str = "01a20000-0000-7000-8000-00000000000a";
const B: &str = "01a20000-0000-7000-8000-00000000000b";
const AGENT: &str = "01a20000-0000-7000-8000-0000000000a9";

const DEADLINE: Duration = Duration::from_secs(60);

/// Returns a service whose turns use the peer, and ask an approver.
fn asking<A>(peer: &Peer, approver: A) -> CodexAppServer
where
    A: Service<ApprovalRequest, Response = Decision, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    A::Future: Send,
{
    let builder = CodexAppServer::builder().codex("/no/such/codex");
    let service = builder.approver(approver, DEADLINE).build();
    service.with_server(peer.server())
}

/// Returns an approver that accepts everything, and counts the questions.
fn accepting() -> (
    Arc<AtomicUsize>,
    impl Service<ApprovalRequest, Response = Decision, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static,
) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let approver = service_fn(move |_: ApprovalRequest| {
        count.fetch_add(1, Relaxed);
        async { Ok(Decision::AcceptForSession) }
    });
    (asked, approver)
}

fn run(service: &CodexAppServer, request: TurnRequest) -> JoinHandle<Result<Turn, TurnError>> {
    tokio::spawn(service.clone().oneshot(request))
}

fn turn(service: &CodexAppServer) -> JoinHandle<Result<Turn, TurnError>> {
    run(service, TurnRequest::new("a prompt"))
}

impl Peer {
    /// Asks something, and returns the answer.
    async fn ask(&mut self, id: impl Into<Value>, method: &str, params: Value) -> Value {
        self.put(id, method, params).await;
        self.answered().await
    }

    async fn put(&mut self, id: impl Into<Value>, method: &str, params: Value) {
        let request = json!({"id": id.into(), "method": method, "params": params});
        self.write(&request).await;
    }

    async fn answered(&mut self) -> Value {
        let answer = self.read().await.expect("an answer");
        assert!(answer.get("method").is_none(), "{answer}");
        answer
    }
}

/// Returns the parameters of a question, with more of them.
fn about(thread: &str, turn: &str, more: Value) -> Value {
    let mut params = json!({"threadId": thread, "turnId": turn, "itemId": "c1", "startedAtMs": 1});
    if let (Value::Object(params), Value::Object(more)) = (&mut params, more) {
        params.extend(more);
    }
    params
}

/// The methods of the questions that an approver is asked, with what they are about, and the refusals.
fn questions() -> [(&'static str, Value, Value); 5] {
    let elicitation = json!({
        "serverName": "stub",
        "mode": "form",
        "message": "May I?",
        "_meta": {"codex_approval_kind": "mcp_tool_call", "tool_name": "one", "persist": ["session", "always"]},
    });
    let permissions = json!({"permissions": {"network": {"enabled": true}, "fileSystem": null}});
    let declined = json!({"decision": "decline"});
    [
        (
            "item/commandExecution/requestApproval",
            json!({"command": "ls"}),
            declined.clone(),
        ),
        (
            "item/commandExecution/requestApproval",
            json!({"kind": "writeStdin", "command": "write_stdin --session-id 1 y"}),
            declined.clone(),
        ),
        ("item/fileChange/requestApproval", json!({}), declined),
        (
            "mcpServer/elicitation/request",
            elicitation,
            json!({"action": "decline", "content": {}, "_meta": null}),
        ),
        (
            "item/permissions/requestApproval",
            permissions,
            json!({"permissions": {}, "scope": "turn"}),
        ),
    ]
}

// --- What nobody is asked about

#[tokio::test(start_paused = true)]
async fn a_request_that_is_no_question_for_the_approver_is_refused_at_once() {
    let mut peer = Peer::connect(&Options::default());
    let (asked, approver) = accepting();
    let turns = asking(&peer, approver);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    for method in [
        "item/tool/requestUserInput",
        "currentTime/read",
        "attestation/generate",
        "account/chatgptAuthTokens/refresh",
        "execCommandApproval",
        "applyPatchApproval",
        "something/new",
    ] {
        let answer = peer.ask(7, method, about(A, "1", json!({}))).await;
        assert_eq!(answer["id"], 7);
        assert_eq!(answer["error"]["code"], -32601, "{method}");
    }
    let call = about(
        A,
        "1",
        json!({"callId": "c1", "tool": "x", "arguments": {}}),
    );
    let answer = peer.ask(8, "item/tool/call", call).await;
    assert_eq!(answer["result"]["success"], false);
    let of_new_kind = about(A, "1", json!({"kind": "somethingNew", "command": "ls"}));
    let method = "item/commandExecution/requestApproval";
    let answer = peer.ask(9, method, of_new_kind).await;
    assert_eq!(answer["result"], json!({"decision": "decline"}));
    // Questions of a server for the user, also of one that says it was asked by Codex for another reason.
    for meta in [
        Value::Null,
        json!({"codex_approval_kind": "tool_suggestion"}),
    ] {
        for mode in ["form", "url", "openai/form"] {
            let question =
                json!({"mode": mode, "serverName": "stub", "message": "Who?", "_meta": meta});
            let method = "mcpServer/elicitation/request";
            let answer = peer.ask(10, method, about(A, "1", question)).await;
            assert_eq!(answer["result"]["action"], "decline");
        }
    }
    peer.end(A, "1", "completed").await;
    turn.await.unwrap().unwrap();
    assert_eq!(asked.load(Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_of_no_turn_of_the_program_is_declined() {
    let mut peer = Peer::connect(&Options::default());
    let (asked, approver) = accepting();
    let turns = asking(&peer, approver);
    let running = turn(&turns);
    peer.begin(A, "1").await;
    let dropped = turn(&turns);
    peer.begin(B, "2").await;
    dropped.abort();
    for method in ["turn/interrupt", "thread/backgroundTerminals/clean"] {
        peer.request(method).await;
    }
    // An unknown thread, an earlier turn, and a turn that is being interrupted.
    for (thread, turn) in [("elsewhere", "1"), (A, "0"), (B, "2")] {
        for (method, more, refusal) in questions() {
            let answer = peer.ask("q", method, about(thread, turn, more)).await;
            assert_eq!(answer["id"], "q");
            assert_eq!(answer["result"], refusal, "{method} of {thread}");
        }
    }
    peer.end(A, "1", "completed").await;
    running.await.unwrap().unwrap();
    for (method, more, refusal) in questions() {
        let answer = peer.ask(3, method, about(A, "1", more)).await;
        assert_eq!(answer["result"], refusal, "{method} after the turn");
    }
    assert_eq!(asked.load(Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn more_questions_than_a_turn_holds_are_declined() {
    let mut peer = Peer::connect(&Options::default());
    let approver = service_fn(|_: ApprovalRequest| std::future::pending());
    let turns = asking(&peer, approver);
    // Nobody polls the turn once it runs, so nobody takes its questions.
    let mut turn = Box::pin(turns.clone().oneshot(TurnRequest::new("a prompt")));
    tokio::select! {
        _ = &mut turn => panic!("it has not ended"),
        () = peer.begin(A, "1") => {}
    }
    let method = "item/fileChange/requestApproval";
    for id in 0..64 {
        peer.put(id, method, about(A, "1", json!({}))).await;
    }
    assert!(peer.is_quiet().await);
    let answer = peer.ask(64, method, about(A, "1", json!({}))).await;
    assert_eq!(answer["id"], 64);
    assert_eq!(answer["result"], json!({"decision": "decline"}));
}

// --- Answers

#[tokio::test(start_paused = true)]
async fn each_question_has_its_answer_also_when_it_comes_twice_or_has_an_odd_id() {
    let mut peer = Peer::connect(&Options::default());
    let (asked, approver) = accepting();
    let turns = asking(&peer, approver);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    let method = "item/fileChange/requestApproval";
    for id in [
        json!(0),
        json!(0),
        json!("a"),
        json!(u64::MAX),
        json!(-1),
        json!(1.5),
    ] {
        let answer = peer.ask(id.clone(), method, about(A, "1", json!({}))).await;
        assert_eq!(answer["id"], id);
        assert_eq!(answer["result"]["decision"], "acceptForSession");
    }
    assert_eq!(asked.load(Relaxed), 6);
    peer.end(A, "1", "completed").await;
    turn.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn permissions_that_were_left_open_are_not_granted_and_a_session_is_offered_or_not() {
    let mut peer = Peer::connect(&Options::default());
    let (_, approver) = accepting();
    let turns = asking(&peer, approver);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    let [.., (tool, mut of_tool, _), (permissions, of_permissions, _)] = questions();
    let answer = peer
        .ask(1, permissions, about(A, "1", of_permissions))
        .await;
    let granted = json!({"permissions": {"network": {"enabled": true}}, "scope": "session"});
    assert_eq!(answer["result"], granted);
    let answer = peer.ask(2, tool, about(A, "1", of_tool.clone())).await;
    assert_eq!(answer["result"]["_meta"], json!({"persist": "session"}));
    // Codex does not offer to remember it, so it is accepted once.
    of_tool["_meta"]["persist"] = json!(["always"]);
    let answer = peer.ask(3, tool, about(A, "1", of_tool)).await;
    let accepted = json!({"action": "accept", "content": {}, "_meta": null});
    assert_eq!(answer["result"], accepted);
    peer.end(A, "1", "completed").await;
    turn.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn access_to_a_host_is_asked_about_with_the_host_and_the_permissions() {
    let mut peer = Peer::connect(&Options::default());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let approver = {
        let seen = Arc::clone(&seen);
        service_fn(move |request: ApprovalRequest| {
            seen.lock().unwrap().push(request.action);
            async { Ok::<_, Infallible>(Decision::Accept) }
        })
    };
    let turns = asking(&peer, approver);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    let host = json!({"host": "example.com", "protocol": "https"});
    let more = json!({"network": {"enabled": true}, "fileSystem": null});
    let question = json!({
        "kind": "command",
        "command": null,
        "networkApprovalContext": host,
        "additionalPermissions": more,
    });
    let method = "item/commandExecution/requestApproval";
    let answer = peer.ask(1, method, about(A, "1", question)).await;
    assert_eq!(answer["result"], json!({"decision": "accept"}));
    let Some(Action::Command {
        command,
        permissions: Some(permissions),
        ..
    }) = seen.lock().unwrap().pop()
    else {
        panic!("no command with permissions");
    };
    assert_eq!(command, "");
    let both = json!({"networkApprovalContext": host, "additionalPermissions": more});
    assert_eq!(permissions, both);
    peer.end(A, "1", "completed").await;
    turn.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_yes_counts_until_the_deadline_and_not_at_it() {
    for (after, decision) in [
        (DEADLINE - Duration::from_millis(1), "accept"),
        (DEADLINE, "decline"),
    ] {
        let mut peer = Peer::connect(&Options::default());
        let approver = service_fn(move |_: ApprovalRequest| async move {
            tokio::time::sleep(after).await;
            Ok::<_, Infallible>(Decision::Accept)
        });
        let turns = asking(&peer, approver);
        let turn = turn(&turns);
        peer.begin(A, "1").await;
        let method = "item/fileChange/requestApproval";
        let answer = peer.ask(1, method, about(A, "1", json!({}))).await;
        assert_eq!(answer["result"], json!({"decision": decision}));
        peer.end(A, "1", "completed").await;
        turn.await.unwrap().unwrap();
    }
}

/// Returns an approver that accepts when it is told to, and what tells it.
fn told() -> (
    oneshot::Sender<()>,
    impl Service<ApprovalRequest, Response = Decision, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static,
) {
    let (tell, told) = oneshot::channel::<()>();
    let told = Arc::new(Mutex::new(Some(told)));
    let approver = service_fn(move |_: ApprovalRequest| {
        let told = told.lock().unwrap().take().expect("it is asked once");
        async move {
            // An error means that the test has ended.
            let _ = told.await;
            Ok(Decision::Accept)
        }
    });
    (tell, approver)
}

#[tokio::test(start_paused = true)]
async fn a_yes_after_the_end_of_the_turn_is_not_sent() {
    let mut peer = Peer::connect(&Options::default());
    let (yes, approver) = told();
    let turns = asking(&peer, approver);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    let method = "item/fileChange/requestApproval";
    peer.put(1, method, about(A, "1", json!({}))).await;
    assert!(peer.is_quiet().await);
    peer.end(A, "1", "interrupted").await;
    let error = turn.await.unwrap().unwrap_err();
    assert!(matches!(error, TurnError::Interrupted), "{error:?}");
    // Nobody is there to hear it.
    assert!(yes.send(()).is_err());
    assert!(peer.is_quiet().await);
}

#[tokio::test(start_paused = true)]
async fn a_yes_to_a_turn_that_was_dropped_is_not_sent() {
    let mut peer = Peer::connect(&Options::default());
    let (yes, approver) = told();
    let turns = asking(&peer, approver);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    let method = "item/fileChange/requestApproval";
    peer.put(1, method, about(A, "1", json!({}))).await;
    assert!(peer.is_quiet().await);
    turn.abort();
    for method in ["turn/interrupt", "thread/backgroundTerminals/clean"] {
        peer.request(method).await;
    }
    assert!(yes.send(()).is_err());
    assert!(peer.is_quiet().await);
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_interrupted_before_an_answer_by_which_it_would_go_on() {
    let [command, _, edit, tool, permissions] = questions();
    let interrupt = ["turn/interrupt", "thread/backgroundTerminals/clean"];
    for ((method, more, _), is_ended_by_codex) in [
        (command, true),
        (edit, true),
        (tool, false),
        (permissions, false),
    ] {
        let mut peer = Peer::connect(&Options::default());
        let approver =
            service_fn(|_: ApprovalRequest| async { Ok::<_, Infallible>(Decision::Cancel) });
        let turns = asking(&peer, approver);
        let turn = turn(&turns);
        peer.begin(A, "1").await;
        peer.put(1, method, about(A, "1", more)).await;
        if is_ended_by_codex {
            let answer = peer.answered().await;
            assert_eq!(answer["result"], json!({"decision": "cancel"}));
        }
        for method in interrupt {
            peer.request(method).await;
        }
        if !is_ended_by_codex {
            let answer = peer.answered().await;
            assert_ne!(answer["result"]["action"], "accept");
        }
        peer.end(A, "1", "interrupted").await;
        let error = turn.await.unwrap().unwrap_err();
        assert!(
            matches!(error, TurnError::CancelledByApprover { .. }),
            "{error:?}"
        );
    }
}

// --- Interrupts

/// Has as many requests without an answer that more of them wait.
async fn crowd(peer: &mut Peer) -> Vec<Value> {
    for _ in 0..24 {
        peer.router.send_interrupt(B);
    }
    let mut requests = Vec::new();
    for _ in 0..48 {
        requests.push(peer.read().await.expect("a request"));
    }
    requests
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_that_waits_does_not_hit_the_next_turn_of_its_thread() {
    let mut peer = Peer::connect(&Options::default());
    let (_, approver) = accepting();
    let turns = asking(&peer, approver);
    let first = turn(&turns);
    peer.begin(A, "1").await;
    let crowd = crowd(&mut peer).await;
    first.abort();
    assert!(peer.is_quiet().await, "the interrupt does not wait");
    // The turn ends by itself, and the next one starts.
    peer.end(A, "1", "completed").await;
    let next = run(&turns, TurnRequest::new("on").with_resume(A));
    for method in ["turn/interrupt", "thread/backgroundTerminals/clean"] {
        let request = peer.request(method).await;
        assert_eq!(request["params"]["threadId"], A);
    }
    peer.begin_loaded(A, "2").await;
    for request in &crowd {
        peer.answer(request, json!({})).await;
    }
    assert!(peer.is_quiet().await);
    peer.end(A, "2", "completed").await;
    next.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_thread_is_let_go_before_it_is_loaded_again() {
    let mut options = Options::default();
    options.limits.max_threads = 0;
    let mut peer = Peer::connect(&options);
    let (_, approver) = accepting();
    let turns = asking(&peer, approver);
    let first = turn(&turns);
    peer.begin(A, "1").await;
    crowd(&mut peer).await;
    peer.end(A, "1", "completed").await;
    first.await.unwrap().unwrap();
    assert!(peer.is_quiet().await, "it is let go without a wait");
    let next = run(&turns, TurnRequest::new("on").with_resume(A));
    for method in ["thread/backgroundTerminals/clean", "thread/unsubscribe"] {
        let request = peer.request(method).await;
        assert_eq!(request["params"]["threadId"], A);
    }
    peer.begin(A, "2").await;
    peer.end(A, "2", "completed").await;
    next.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_the_server_unloads_is_loaded_again_once_it_is_closed() {
    for is_closed_before in [false, true] {
        let mut options = Options::default();
        options.limits.max_threads = 0;
        let mut peer = Peer::connect(&options);
        let (_, approver) = accepting();
        let turns = asking(&peer, approver);
        let first = turn(&turns);
        peer.begin(A, "1").await;
        peer.end(A, "1", "completed").await;
        first.await.unwrap().unwrap();
        for method in ["thread/backgroundTerminals/clean", "thread/unsubscribe"] {
            peer.request(method).await;
        }
        let next = run(&turns, TurnRequest::new("on").with_resume(A));
        let resume = peer.request("thread/resume").await;
        let closed = json!({"method": "thread/closed", "params": {"threadId": A}});
        if is_closed_before {
            peer.write(&closed).await;
        }
        let error = json!({"code": -32600, "message": "the thread is closing"});
        peer.write(&json!({"id": resume["id"], "error": error}))
            .await;
        if !is_closed_before {
            assert!(peer.is_quiet().await, "it does not wait");
            peer.write(&closed).await;
        }
        peer.begin(A, "2").await;
        peer.end(A, "2", "completed").await;
        next.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_cannot_be_loaded_is_not_tried_again() {
    let mut peer = Peer::connect(&Options::default());
    let (_, approver) = accepting();
    let turns = asking(&peer, approver);
    let turn = run(&turns, TurnRequest::new("on").with_resume(A));
    let resume = peer.request("thread/resume").await;
    let error = json!({"code": -32600, "message": "no rollout found"});
    peer.write(&json!({"id": resume["id"], "error": error}))
        .await;
    let error = turn.await.unwrap().unwrap_err();
    assert!(matches!(error, TurnError::Rejected { .. }), "{error:?}");
    assert!(peer.is_quiet().await);
}

// --- Sub-agents

impl Peer {
    /// Begins the turn of a sub-agent, of the turn `root`.
    async fn begin_agent(&mut self, root: &str) {
        let turn = json!({"turn": {"id": "a1", "rootTurnId": root}});
        self.tell("turn/started", AGENT, "a1", turn).await;
    }

    /// Reads that the turn of a thread is interrupted.
    async fn interrupted(&mut self, thread: &str) {
        for method in ["turn/interrupt", "thread/backgroundTerminals/clean"] {
            let request = self.request(method).await;
            assert_eq!(request["params"]["threadId"], thread);
            self.answer(&request, json!({})).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_dropped_interrupts_its_sub_agents_also_those_that_begin_afterwards() {
    for begins_afterwards in [false, true] {
        let mut peer = Peer::connect(&Options::default());
        let (_, approver) = accepting();
        let turns = asking(&peer, approver);
        let first = turn(&turns);
        peer.begin(A, "1").await;
        if !begins_afterwards {
            peer.begin_agent("1").await;
            assert!(peer.is_quiet().await);
        }
        first.abort();
        peer.interrupted(A).await;
        if begins_afterwards {
            assert!(peer.is_quiet().await);
            peer.begin_agent("1").await;
        }
        peer.interrupted(AGENT).await;
        peer.end(A, "1", "interrupted").await;
        assert!(peer.is_quiet().await);
        assert_eq!(turns.active(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_sub_agents_of_a_thread_are_let_go_with_it_and_those_of_others_are_not() {
    let mut peer = Peer::connect(&Options::default());
    let (_, approver) = accepting();
    let turns = asking(&peer, approver);
    let other = turn(&turns);
    peer.begin(B, "2").await;
    let first = run(&turns, TurnRequest::new("a prompt").with_ephemeral(true));
    peer.begin(A, "1").await;
    peer.begin_agent("1").await;
    // Nobody knows its turn.
    let of_nobody = json!({"turn": {"id": "x1", "rootTurnId": "x"}});
    peer.tell("turn/started", "x", "x1", of_nobody).await;
    peer.end(B, "2", "completed").await;
    other.await.unwrap().unwrap();
    assert!(peer.is_quiet().await);
    peer.end(A, "1", "completed").await;
    first.await.unwrap().unwrap();
    peer.interrupted(AGENT).await;
    let request = peer.request("thread/unsubscribe").await;
    assert_eq!(request["params"]["threadId"], AGENT);
    for method in ["thread/backgroundTerminals/clean", "thread/unsubscribe"] {
        let request = peer.request(method).await;
        assert_eq!(request["params"]["threadId"], A);
    }
    assert!(peer.is_quiet().await);
}

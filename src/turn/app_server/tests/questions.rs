//! Questions of the server: who is asked, and what is answered.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tower::{Service, ServiceExt, service_fn};

use super::{A, B, MINUTE, accepting, asking, prompt, turn};
use crate::{
    approval::{Action, ApprovalRequest, Decision},
    turn::{
        TurnError,
        app_server::peer::{Options, Peer},
    },
};

const COMMAND: &str = "item/commandExecution/requestApproval";

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
        (COMMAND, json!({"command": "ls"}), declined.clone()),
        (
            COMMAND,
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
        let answer = peer
            .ask(7, method, about(A, "1", json!({"command": "ls"})))
            .await;
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
    let answer = peer.ask(9, COMMAND, of_new_kind).await;
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
    peer.reads_interrupt(B).await;
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
    let mut turn = Box::pin(turns.clone().oneshot(prompt()));
    tokio::select! {
        _ = &mut turn => panic!("it has not ended"),
        () = peer.begin(A, "1") => {}
    }
    for id in 0..64 {
        peer.put(id, COMMAND, about(A, "1", json!({"command": "ls"})))
            .await;
    }
    assert!(peer.is_quiet().await);
    let answer = peer
        .ask(64, COMMAND, about(A, "1", json!({"command": "ls"})))
        .await;
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
    for id in [
        json!(0),
        json!(0),
        json!("a"),
        json!(u64::MAX),
        json!(-1),
        json!(1.5),
    ] {
        let answer = peer
            .ask(id.clone(), COMMAND, about(A, "1", json!({"command": "ls"})))
            .await;
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
    let answer = peer.ask(1, COMMAND, about(A, "1", question)).await;
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
        (MINUTE - Duration::from_millis(1), "accept"),
        (MINUTE, "decline"),
    ] {
        let mut peer = Peer::connect(&Options::default());
        let approver = service_fn(move |_: ApprovalRequest| async move {
            tokio::time::sleep(after).await;
            Ok::<_, Infallible>(Decision::Accept)
        });
        let turns = asking(&peer, approver);
        let turn = turn(&turns);
        peer.begin(A, "1").await;
        let answer = peer
            .ask(1, COMMAND, about(A, "1", json!({"command": "ls"})))
            .await;
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
    peer.put(1, COMMAND, about(A, "1", json!({"command": "ls"})))
        .await;
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
    peer.put(1, COMMAND, about(A, "1", json!({"command": "ls"})))
        .await;
    assert!(peer.is_quiet().await);
    turn.abort();
    peer.reads_interrupt(A).await;
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
        let change = json!({"path": "a", "kind": {"type": "add"}, "diff": "a"});
        let item = json!({"id": "c1", "type": "fileChange", "changes": [change]});
        let item = json!({"item": item});
        peer.tell("item/started", A, "1", item).await;
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

//! Threads: which are loaded and let go, and those of sub-agents.

use serde_json::json;
use tokio::time::Instant;

use super::{
    A, AGENT, B, C, MINUTE, accepting, asking, complete, crowd, prompt, run, service, settle, turn,
    turn_of,
};
use crate::turn::{
    TurnError, TurnRequest,
    app_server::peer::{Options, Peer},
};

/// With what a server refuses to load a thread that it is unloading.
const CLOSING: &str = "thread 01a2 is closing; retry thread/resume after the thread is closed";

fn with_max_threads(max_threads: usize) -> Options {
    let mut options = Options::default();
    options.limits.max_threads = max_threads;
    options
}

#[tokio::test(start_paused = true)]
async fn the_threads_that_were_used_last_stay_loaded() {
    let mut peer = Peer::connect(&with_max_threads(2));
    let turns = service(&peer);
    for thread in [A, B] {
        let turn = turn_of(&turns, thread);
        complete(&mut peer, turn, thread).await;
    }
    let turn = turn_of(&turns, A);
    complete(&mut peer, turn, A).await;
    assert!(peer.is_quiet().await);
    let turn = turn_of(&turns, C);
    complete(&mut peer, turn, C).await;
    peer.reads_let_go(B).await;
    assert!(peer.is_quiet().await);
    // It is loaded still, but does not tell of its turns.
    let next = turn_of(&turns, B);
    let resume = peer.request("thread/resume").await;
    assert_eq!(resume["params"]["threadId"], B);
    drop(next);
}

#[tokio::test(start_paused = true)]
async fn an_ephemeral_thread_is_let_go_with_its_turn() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let turn = run(&turns, prompt().with_ephemeral(true));
    complete(&mut peer, turn, A).await;
    peer.reads_let_go(A).await;
    assert_eq!(peer.router.thread_count(), 1);
    peer.tell("thread/closed", A, "", json!({})).await;
    settle().await;
    assert_eq!(peer.router.thread_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_loaded_too_many_threads_is_replaced() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    for count in 0..128 {
        let thread = format!("01a20000-0000-7000-8000-{count:012}");
        let turn = turn(&turns);
        let mut line = peer.read().await.unwrap();
        while line["method"] != "thread/start" {
            peer.answer(&line, json!({})).await;
            line = peer.read().await.unwrap();
        }
        peer.answer(&line, json!({"thread": {"id": thread}})).await;
        peer.begin_loaded(&thread, "turn").await;
        peer.end(&thread, "turn", "completed").await;
        turn.await.unwrap().unwrap();
    }
    let error = turn(&turns).await.unwrap().unwrap_err();
    assert!(
        matches!(error, TurnError::CodexNotFound { .. }),
        "{error:?}"
    );
    // The old one ends: it has no turns.
    peer.closed().await;
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
    peer.reads_let_go(A).await;
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
        peer.reads_let_go(A).await;
        let next = run(&turns, TurnRequest::new("on").with_resume(A));
        let resume = peer.request("thread/resume").await;
        let closed = json!({"method": "thread/closed", "params": {"threadId": A}});
        if is_closed_before {
            peer.write(&closed).await;
        }
        peer.reject(&resume, CLOSING).await;
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
async fn a_thread_is_loaded_again_until_the_server_has_unloaded_it() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let turn = run(&turns, prompt().with_resume(A));
    for _ in 0..5 {
        let resume = peer.request("thread/resume").await;
        peer.reject(&resume, CLOSING).await;
    }
    peer.begin(A, "1").await;
    peer.end(A, "1", "completed").await;
    turn.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_the_server_never_unloads_fails_its_turn_at_the_deadline_of_requests() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let began = Instant::now();
    let turn = run(&turns, prompt().with_resume(A));
    let mut count = 0;
    while !turn.is_finished() {
        if let Ok(request) = tokio::time::timeout(MINUTE / 2, peer.request("thread/resume")).await {
            peer.reject(&request, CLOSING).await;
            count += 1;
            settle().await;
        }
    }
    let error = turn.await.unwrap().unwrap_err();
    assert!(matches!(error, TurnError::Rejected { .. }), "{error:?}");
    assert!(began.elapsed() >= MINUTE, "{:?}", began.elapsed());
    assert!(began.elapsed() < 2 * MINUTE, "{:?}", began.elapsed());
    assert!(count < 100, "{count}");
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_cannot_be_loaded_is_not_tried_again() {
    let mut peer = Peer::connect(&Options::default());
    let (_, approver) = accepting();
    let turns = asking(&peer, approver);
    let turn = run(&turns, TurnRequest::new("on").with_resume(A));
    let resume = peer.request("thread/resume").await;
    peer.reject(&resume, "no rollout found").await;
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
    let first = run(&turns, prompt().with_ephemeral(true));
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
    peer.reads_let_go(A).await;
    assert!(peer.is_quiet().await);
}

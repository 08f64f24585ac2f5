//! Deadlines, limits and ends of a connection, with a server in memory and a paused clock.

use std::{
    convert::Infallible,
    future::Future,
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, task::JoinHandle, time::Instant};
use tower::{ServiceExt, service_fn};
use tower_layer::Layer;

use super::{
    CodexAppServer, CodexAppServerBuilder,
    peer::{Options, Peer},
    router::{Reason, RequestError},
    turns::{ActiveTurn, Turns},
};
use crate::{
    approval::{ApprovalRequest, Decision},
    event::{Operation, Outcome},
    timing::TimingLayer,
    turn::{Turn, TurnError, TurnRequest},
};

const A: &str = "01a20000-0000-7000-8000-00000000000a";
const B: &str = "01a20000-0000-7000-8000-00000000000b";
const C: &str = "01a20000-0000-7000-8000-00000000000c";

const MINUTE: Duration = Duration::from_secs(60);

/// Returns a service whose turns use the peer. If they need another server, they fail: there is no Codex.
fn service(peer: &Peer) -> CodexAppServer {
    let builder = CodexAppServer::builder().codex("/no/such/codex");
    builder.build().with_server(peer.server())
}

fn run(service: &CodexAppServer, request: TurnRequest) -> JoinHandle<Result<Turn, TurnError>> {
    tokio::spawn(service.clone().oneshot(request))
}

fn turn(service: &CodexAppServer) -> JoinHandle<Result<Turn, TurnError>> {
    run(service, TurnRequest::new("a prompt"))
}

fn turn_of(service: &CodexAppServer, thread: &str) -> JoinHandle<Result<Turn, TurnError>> {
    run(service, TurnRequest::new("a prompt").with_resume(thread))
}

fn active() -> Arc<ActiveTurn> {
    Turns::default().begin()
}

/// Sends a request of a test. It is in flight when this returns, if there is room for it.
async fn send(peer: &Peer) -> JoinHandle<Result<(), RequestError>> {
    let router = Arc::clone(&peer.router);
    let request = async move { router.request("test", json!({})).await.map(drop) };
    let request = tokio::spawn(request);
    tokio::task::yield_now().await;
    request
}

/// Lets all tasks run that can.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

// --- Requests

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_answered_fails_at_its_deadline_and_the_server_is_ended() {
    let mut peer = Peer::connect(&Options::default());
    let began = Instant::now();
    let answer = send(&peer).await.await.unwrap();
    assert!(
        matches!(answer, Err(RequestError::Unanswered("test", after)) if after == MINUTE),
        "{answer:?}"
    );
    assert_eq!(began.elapsed(), MINUTE);
    assert!(!peer.router.takes_turns());
    assert_eq!(peer.closed().await.len(), 1);
    peer.exit(ExitStatus::default());
    assert_eq!(peer.router.ended().await.reason, Reason::Closed);
    assert!(!peer.is_killed());
}

#[tokio::test(start_paused = true)]
async fn at_most_64_requests_are_in_flight() {
    let mut peer = Peer::connect(&Options::default());
    let mut answers = Vec::new();
    for _ in 0..65 {
        answers.push(send(&peer).await);
    }
    let mut requests = Vec::new();
    for _ in 0..64 {
        requests.push(peer.request("test").await);
    }
    assert!(peer.is_quiet().await);
    peer.answer(&requests[7], json!({})).await;
    let last = peer.request("test").await;
    peer.answer(&last, json!({})).await;
    answers.pop().unwrap().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_dropped_keeps_its_place_until_its_answer_or_its_deadline() {
    let mut peer = Peer::connect(&Options::default());
    let _lease = peer.router.lease(None, &active()).unwrap();
    for _ in 0..64 {
        send(&peer).await.abort();
    }
    let last = send(&peer).await;
    let mut first = peer.request("test").await;
    for _ in 1..64 {
        first = peer.request("test").await;
    }
    assert!(peer.is_quiet().await);
    peer.answer(&first, json!({})).await;
    let request = peer.request("test").await;
    peer.answer(&request, json!({})).await;
    last.await.unwrap().unwrap();
    tokio::time::sleep(MINUTE).await;
    let mut more = Vec::new();
    for _ in 0..64 {
        more.push(send(&peer).await);
    }
    for _ in 0..64 {
        peer.request("test").await;
    }
    assert!(peer.is_quiet().await);
}

#[tokio::test(start_paused = true)]
async fn an_answer_after_the_deadline_is_ignored() {
    let mut peer = Peer::connect(&Options::default());
    let _lease = peer.router.lease(None, &active()).unwrap();
    let late = send(&peer).await;
    let request = peer.request("test").await;
    late.await.unwrap().unwrap_err();
    peer.answer(&request, json!({})).await;
    let next = send(&peer).await;
    let request = peer.request("test").await;
    peer.answer(&request, json!({})).await;
    next.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn interrupts_wait_for_nobody_and_at_most_48_of_them_for_an_answer() {
    let mut peer = Peer::connect(&Options::default());
    let mut answers = Vec::new();
    for _ in 0..64 {
        answers.push(send(&peer).await);
        peer.request("test").await;
    }
    for _ in 0..30 {
        peer.router.send_interrupt(A);
    }
    let mut requests = Vec::new();
    for _ in 0..48 {
        requests.push(peer.read().await.unwrap());
    }
    assert!(peer.is_quiet().await);
    for request in requests {
        peer.answer(&request, json!({})).await;
    }
    for _ in 48..60 {
        peer.read().await.unwrap();
    }
    assert!(peer.is_quiet().await);
}

// --- Turns

#[tokio::test(start_paused = true)]
async fn a_turn_may_take_any_time() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    tokio::time::sleep(1_000 * MINUTE).await;
    peer.end(A, "1", "completed").await;
    assert_eq!(turn.await.unwrap().unwrap().turn_id.as_deref(), Some("1"));
    assert!(peer.router.takes_turns());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_end_an_interrupted_turn_is_killed_when_its_other_turns_have_ended()
{
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let first = turn(&turns);
    peer.begin(A, "1").await;
    let second = turn(&turns);
    peer.begin(B, "2").await;
    first.abort();
    for method in ["turn/interrupt", "thread/backgroundTerminals/clean"] {
        let request = peer.request(method).await;
        peer.answer(&request, json!({})).await;
    }
    let dropped = Instant::now();
    assert_eq!(turns.active(), 2);
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(turns.active(), 2);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(turns.active(), 1);
    assert!(!peer.is_killed());
    tokio::time::sleep(MINUTE).await;
    assert!(!peer.is_killed());
    peer.end(B, "2", "completed").await;
    second.await.unwrap().unwrap();
    let over = peer.router.ended().await;
    assert!(peer.is_killed());
    assert_eq!(over.reason, Reason::Closed);
    assert!(dropped.elapsed() < 2 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn the_next_turn_of_a_thread_waits_for_a_server_that_was_given_up_and_has_the_thread() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let first = turn(&turns);
    peer.begin(A, "1").await;
    let second = turn(&turns);
    peer.begin(B, "2").await;
    first.abort();
    settle().await;
    let next = turn_of(&turns, A);
    tokio::time::sleep(10 * MINUTE).await;
    assert!(!next.is_finished());
    peer.end(B, "2", "completed").await;
    second.await.unwrap().unwrap();
    // It starts another server.
    let error = next.await.unwrap().unwrap_err();
    assert!(
        matches!(error, TurnError::CodexNotFound { .. }),
        "{error:?}"
    );
    assert!(peer.is_killed());
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_start_is_not_answered_is_interrupted() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let turn = turn(&turns);
    let start = peer.request("thread/start").await;
    peer.answer(&start, json!({"thread": {"id": A}})).await;
    peer.request("turn/start").await;
    let error = turn.await.unwrap().unwrap_err();
    assert!(
        matches!(
            error,
            TurnError::Unanswered {
                method: "turn/start",
                ..
            }
        ),
        "{error:?}"
    );
    let interrupt = peer.request("turn/interrupt").await;
    assert_eq!(interrupt["params"], json!({"threadId": A, "turnId": ""}));
    assert_eq!(turns.active(), 1);
    peer.router.ended().await;
    assert_eq!(turns.active(), 0);
    assert!(peer.is_killed());
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_is_unloaded_in_a_turn_ends_the_turn() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    peer.tell("thread/closed", A, "1", json!({})).await;
    let error = turn.await.unwrap().unwrap_err();
    assert!(matches!(error, TurnError::Interrupted), "{error:?}");
    assert_eq!(peer.router.thread_count(), 0);
    let next = turn_of(&turns, A);
    peer.begin(A, "2").await;
    peer.end(A, "2", "completed").await;
    next.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_is_unloaded_in_a_turn_that_was_dropped_is_free() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    settle().await;
    turn.abort();
    settle().await;
    assert_eq!(turns.active(), 1);
    peer.tell("thread/closed", A, "1", json!({})).await;
    settle().await;
    assert_eq!(turns.active(), 0);
    assert_eq!(peer.router.thread_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_new_thread_whose_turn_was_dropped_is_let_go_when_it_is_there() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let turn = turn(&turns);
    let start = peer.request("thread/start").await;
    turn.abort();
    settle().await;
    assert_eq!(turns.active(), 0);
    assert!(peer.is_quiet().await);
    peer.answer(&start, json!({"thread": {"id": A}})).await;
    peer.request("thread/backgroundTerminals/clean").await;
    let request = peer.request("thread/unsubscribe").await;
    assert_eq!(request["params"]["threadId"], A);
    peer.tell("thread/closed", A, "", json!({})).await;
    settle().await;
    assert_eq!(peer.router.thread_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_dropped_before_it_was_started_is_not_interrupted() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let mut places = Vec::new();
    let turn = turn(&turns);
    let start = peer.request("thread/start").await;
    for _ in 0..63 {
        places.push(send(&peer).await);
        peer.request("test").await;
    }
    places.push(send(&peer).await);
    peer.answer(&start, json!({"thread": {"id": A}})).await;
    // The last place is taken by the request that waited for it.
    peer.request("test").await;
    assert!(peer.is_quiet().await);
    turn.abort();
    settle().await;
    assert!(peer.is_quiet().await);
    assert_eq!(turns.active(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_dropped_before_its_start_is_refused_is_free_with_the_refusal() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let turn = turn(&turns);
    let start = peer.request("thread/start").await;
    peer.answer(&start, json!({"thread": {"id": A}})).await;
    let start = peer.request("turn/start").await;
    turn.abort();
    peer.request("turn/interrupt").await;
    peer.request("thread/backgroundTerminals/clean").await;
    assert_eq!(turns.active(), 1);
    let refusal = json!({"code": -32600, "message": "no"});
    peer.write(&json!({"id": start["id"], "error": refusal}))
        .await;
    settle().await;
    assert_eq!(turns.active(), 0);
}

// --- Threads

/// Runs a whole turn.
async fn complete(peer: &mut Peer, turn: JoinHandle<Result<Turn, TurnError>>, thread: &str) {
    let is_loaded = peer
        .router
        .thread(thread)
        .is_some_and(|(_, is_ready)| is_ready);
    if is_loaded {
        peer.begin_loaded(thread, "turn").await;
    } else {
        peer.begin(thread, "turn").await;
    }
    peer.end(thread, "turn", "completed").await;
    turn.await.unwrap().unwrap();
}

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
    for method in ["thread/backgroundTerminals/clean", "thread/unsubscribe"] {
        let request = peer.request(method).await;
        assert_eq!(request["params"]["threadId"], B);
    }
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
    let turn = run(&turns, TurnRequest::new("a prompt").with_ephemeral(true));
    complete(&mut peer, turn, A).await;
    peer.request("thread/backgroundTerminals/clean").await;
    let request = peer.request("thread/unsubscribe").await;
    assert_eq!(request["params"]["threadId"], A);
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

// --- Ends

#[tokio::test(start_paused = true)]
async fn a_server_without_turns_is_ended_after_the_idle_timeout() {
    let mut options = Options::default();
    options.limits.idle_timeout = Some(MINUTE);
    let mut peer = Peer::connect(&options);
    let turns = service(&peer);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    tokio::time::sleep(3 * MINUTE).await;
    peer.end(A, "1", "completed").await;
    turn.await.unwrap().unwrap();
    let idle = Instant::now();
    tokio::time::sleep(MINUTE / 2).await;
    let turn = turn_of(&turns, A);
    complete(&mut peer, turn, A).await;
    assert!(peer.closed().await.is_empty());
    let after = idle.elapsed();
    assert!(
        after >= MINUTE + MINUTE / 2 && after < 2 * MINUTE,
        "{after:?}"
    );
    assert!(peer.router.lease(None, &active()).is_none());
    peer.exit(ExitStatus::default());
    assert_eq!(peer.router.ended().await.reason, Reason::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_not_used_yet_has_not_been_idle() {
    let mut options = Options::default();
    options.limits.idle_timeout = Some(Duration::ZERO);
    let mut peer = Peer::connect(&options);
    settle().await;
    assert!(peer.router.takes_turns());
    peer.router.started_ahead();
    assert!(peer.closed().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_retired_ends_with_its_last_turn() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    peer.router.retire();
    settle().await;
    assert!(peer.router.lease(None, &active()).is_none());
    // A thread that it has loaded cannot be loaded by another one.
    drop(peer.router.lease(Some(A), &active()).unwrap());
    peer.end(A, "1", "completed").await;
    turn.await.unwrap().unwrap();
    peer.closed().await;
    assert!(peer.router.lease(Some(A), &active()).is_none());
}

#[tokio::test(start_paused = true)]
async fn the_exit_of_the_server_fails_all_that_waits_for_it() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let running = turn(&turns);
    peer.begin(A, "1").await;
    let mut places = Vec::new();
    for _ in 0..65 {
        places.push(send(&peer).await);
    }
    let waiting = turn(&turns);
    settle().await;
    peer.stderr
        .as_mut()
        .unwrap()
        .write_all(b"no more memory\n")
        .await
        .unwrap();
    peer.exit(ExitStatus::from_raw(9));
    for place in places {
        let answer = place.await.unwrap();
        assert!(matches!(answer, Err(RequestError::Over(_))), "{answer:?}");
    }
    for turn in [running, waiting] {
        let error = turn.await.unwrap().unwrap_err();
        assert!(
            matches!(&error, TurnError::ServerExited { stderr, .. } if stderr == "no more memory"),
            "{error:?}"
        );
    }
    let answer = send(&peer).await.await.unwrap();
    assert!(matches!(answer, Err(RequestError::Over(_))), "{answer:?}");
    assert_eq!(turns.active(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_its_output_has_the_grace_period_to_exit() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    let closed = Instant::now();
    peer.close();
    let error = turn.await.unwrap().unwrap_err();
    assert_eq!(closed.elapsed(), Duration::from_secs(5));
    assert!(matches!(error, TurnError::Hung { .. }), "{error:?}");
    assert!(peer.is_killed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_exits_in_the_grace_period_after_its_output_has_exited() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    peer.close();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!turn.is_finished());
    peer.exit(ExitStatus::from_raw(3 << 8));
    let error = turn.await.unwrap().unwrap_err();
    let TurnError::ServerExited { status, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(status.and_then(|status| status.code()), Some(3));
    assert!(!peer.is_killed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_no_kill_ends_is_not_waited_for_for_ever() {
    let options = Options {
        is_immortal: true,
        ..Options::default()
    };
    let mut peer = Peer::connect(&options);
    let turns = service(&peer);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    peer.close();
    let closed = Instant::now();
    turn.await.unwrap().unwrap_err();
    assert!(closed.elapsed() < MINUTE);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_has_written_before_its_exit_counts() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    peer.end(A, "1", "completed").await;
    peer.exit(ExitStatus::from_raw(9));
    turn.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn another_process_that_holds_the_pipes_does_not_hold_up_the_end() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    let pipes = (peer.take_stdout(), peer.stderr.take());
    peer.exit(ExitStatus::default());
    let exited = Instant::now();
    turn.await.unwrap().unwrap_err();
    assert_eq!(exited.elapsed(), Duration::ZERO);
    drop(pipes);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_too_long_ends_the_server() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    settle().await;
    let line = Value::from("x".repeat(64 * 1024));
    // The pipe is closed while it is written.
    let _ = tokio::time::timeout(MINUTE, peer.write(&line)).await;
    let error = turn.await.unwrap().unwrap_err();
    assert!(
        matches!(error, TurnError::Protocol { line: 4, .. }),
        "{error:?}"
    );
    assert!(peer.is_killed());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_dropped_fails_all_that_waits_for_it() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    settle().await;
    let request = send(&peer).await;
    peer.serving.abort();
    assert!(matches!(request.await.unwrap(), Err(RequestError::Over(_))));
    let error = turn.await.unwrap().unwrap_err();
    assert!(matches!(error, TurnError::ServerExited { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_read_is_given_up() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let turn = turn(&turns);
    peer.begin(A, "1").await;
    settle().await;
    // Each answer is a line of some 100 bytes: more than the pipe and the queue hold.
    for id in 0..2_500 {
        peer.write(&json!({"id": id, "method": "test/ask", "params": {}}))
            .await;
    }
    settle().await;
    assert!(!peer.router.takes_turns());
    assert!(peer.router.lease(Some(A), &active()).is_none());
    assert!(!peer.is_killed());
    peer.end(A, "1", "completed").await;
    turn.await.unwrap().unwrap();
    peer.router.ended().await;
    assert!(peer.is_killed());
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_gets_its_thread_when_the_server_has_ended_fails_and_keeps_nothing() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let mut turn = tokio_test::task::spawn(turns.clone().oneshot(TurnRequest::new("a prompt")));
    assert!(turn.poll().is_pending());
    let start = peer.request("thread/start").await;
    peer.answer(&start, json!({"thread": {"id": A}})).await;
    peer.exit(ExitStatus::default());
    peer.router.ended().await;
    let std::task::Poll::Ready(Err(error)) = turn.poll() else {
        panic!("it goes on")
    };
    assert!(matches!(error, TurnError::ServerExited { .. }), "{error:?}");
    drop(turn);
    assert_eq!(turns.active(), 0);
    // The thread is free.
    let error = in_time(turn_of(&turns, A)).await.unwrap().unwrap_err();
    assert!(
        matches!(error, TurnError::CodexNotFound { .. }),
        "{error:?}"
    );
}

// --- Responses of the model

#[tokio::test]
async fn a_response_begins_after_the_one_before_it() {
    let sink = crate::sink::MemorySink::new();
    let mut peer = Peer::connect(&Options::default());
    let turns = TimingLayer::new(sink.clone()).layer(service(&peer));
    let turn = tokio::spawn(turns.oneshot(TurnRequest::new("a prompt")));
    peer.begin(A, "1").await;
    // So that the begin of the turn is another time.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let later = SystemTime::now();
    for total in 1..3 {
        let usage = json!({"last": {"inputTokens": 1}, "total": {"inputTokens": total}});
        let usage = json!({"tokenUsage": usage});
        peer.tell("thread/tokenUsage/updated", A, "1", usage).await;
    }
    peer.end(A, "1", "completed").await;
    turn.await.unwrap().unwrap();
    let responses = sink.find(Operation::Chat, Outcome::Ok);
    assert_eq!(responses.len(), 2);
    assert!(responses[0].start_time() < later);
    assert!(responses[1].start_time() >= later);
}

// --- Memory

/// The lines of a flood, and the most memory that they may take in the end, in bytes.
const FLOOD: u64 = 5_000;
const BOUND: u64 = 2 * 1024 * 1024;

/// Runs a turn whose server writes many lines, and returns the most memory that it took.
fn flood(
    request: impl Fn() -> TurnRequest,
    configure: impl FnOnce(CodexAppServerBuilder) -> CodexAppServerBuilder,
    line: impl Fn(u64) -> Value,
) -> (Result<Turn, TurnError>, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let mut result = None;
    let allocated = allocation_counter::measure(|| {
        result = Some(runtime.block_on(async {
            let mut peer = Peer::connect(&Options::default());
            let builder = CodexAppServer::builder().codex("/no/such/codex");
            let turns = configure(builder).build().with_server(peer.server());
            let turn = run(&turns, request());
            peer.begin(A, "1").await;
            let mut reader = peer.reader();
            let reading =
                tokio::spawn(
                    async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await },
                );
            for number in 0..FLOOD {
                peer.write(&line(number)).await;
            }
            peer.end(A, "1", "completed").await;
            let result = turn.await.unwrap();
            reading.abort();
            result
        }));
    });
    (result.unwrap(), allocated.bytes_max)
}

/// Checks that a flood of lines takes little memory.
#[track_caller]
fn check_flood(name: &str, line: impl Fn(u64) -> Value) {
    let (_, taken) = flood(|| TurnRequest::new("a prompt"), |builder| builder, line);
    assert!(taken < BOUND, "{name}: {taken}");
}

/// Returns a notification of the turn with fields and 500 bytes more.
fn of_turn(method: &str, mut fields: Value) -> Value {
    fields["threadId"] = A.into();
    fields["turnId"] = "1".into();
    fields["filler"] = "x".repeat(500).into();
    json!({"method": method, "params": fields})
}

#[test]
fn what_nobody_wants_takes_no_memory() {
    check_flood("unknown methods", |number| {
        of_turn(&format!("hologram/{number}"), json!({}))
    });
    check_flood(
        "other threads",
        |number| json!({"method": "turn/started", "params": {"threadId": number.to_string(), "turnId": "x".repeat(500)}}),
    );
    check_flood(
        "answers",
        |number| json!({"id": number + 100, "result": "x".repeat(500)}),
    );
    check_flood("deltas", |number| {
        let delta = json!({"itemId": number.to_string(), "delta": "x".repeat(500)});
        of_turn("item/agentMessage/delta", delta)
    });
    check_flood("retries", |number| {
        let error = json!({"willRetry": true, "error": {"message": format!("{number} {}", "x".repeat(500))}});
        of_turn("error", error)
    });
    check_flood("rate limits", |number| {
        let limits = json!({"limitId": format!("{number} {}", "x".repeat(500)), "primary": {"usedPercent": number}});
        json!({"method": "account/rateLimits/updated", "params": {"rateLimits": limits}})
    });
    check_flood("usage", |number| {
        let usage = json!({"last": {"inputTokens": 1}, "total": {"inputTokens": number}});
        of_turn("thread/tokenUsage/updated", json!({"tokenUsage": usage}))
    });
    check_flood("responses", |number| {
        of_turn(
            "rawResponse/completed",
            json!({"responseId": number.to_string(), "usage": {"inputTokens": 1}}),
        )
    });
    check_flood(
        "requests",
        |number| json!({"id": number, "method": "weather/ask", "params": {"filler": "x".repeat(500)}}),
    );
}

#[test]
fn tools_that_never_end_take_bounded_memory() {
    check_flood("tools", |number| {
        let item = json!({"type": "commandExecution", "id": number.to_string(), "command": "x".repeat(500)});
        of_turn("item/started", json!({"item": item}))
    });
}

#[test]
fn questions_take_bounded_memory_while_the_approver_is_asked() {
    let asked = Arc::new(AtomicUsize::new(0));
    let approver = {
        let asked = Arc::clone(&asked);
        service_fn(move |_: ApprovalRequest| {
            asked.fetch_add(1, Relaxed);
            std::future::pending::<Result<Decision, Infallible>>()
        })
    };
    let question = |number: u64| {
        let mut line = of_turn(
            "item/commandExecution/requestApproval",
            json!({"command": "x".repeat(500)}),
        );
        line["id"] = number.into();
        line
    };
    let request = || TurnRequest::new("a prompt");
    let (turn, taken) = flood(
        request,
        |builder| builder.approver(approver, MINUTE),
        question,
    );
    turn.unwrap();
    assert!(taken < BOUND, "{taken}");
    assert_eq!(asked.load(Relaxed), 64);
}

#[test]
fn progress_that_nobody_reads_takes_bounded_memory() {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let delta = |number: u64| {
        let delta = json!({"itemId": number.to_string(), "delta": "x".repeat(500)});
        of_turn("item/agentMessage/delta", delta)
    };
    let request = || TurnRequest::new("a prompt").with_progress(sender.clone());
    let (_, taken) = flood(request, |builder| builder, delta);
    assert!(taken < BOUND, "{taken}");
    drop(receiver);
}

#[test]
fn the_output_limit_bounds_the_items_of_a_turn() {
    let item = |number: u64| {
        let item =
            json!({"type": "agentMessage", "id": number.to_string(), "text": "x".repeat(500)});
        of_turn("item/completed", json!({"item": item}))
    };
    let request = || TurnRequest::new("a prompt");
    let (turn, taken) = flood(request, |builder| builder.output_limit(512 * 1024), item);
    let error = turn.unwrap_err();
    assert!(
        matches!(error, TurnError::OutputTooLarge { .. }),
        "{error:?}"
    );
    assert!(taken < BOUND, "{taken}");
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(10 * MINUTE, future)
        .await
        .expect("it hangs")
}

//! Requests: their deadlines, their number, interrupts.

use std::process::ExitStatus;

use serde_json::json;
use tokio::time::Instant;

use super::{A, MINUTE, accepting, active, asking, crowd, run, send, turn};
use crate::turn::{
    TurnRequest,
    app_server::{
        peer::{Options, Peer},
        router::{Reason, RequestError},
    },
};

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

//! Turns: their start, their interrupt, their responses.

use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::time::Instant;
use tower::ServiceExt;
use tower_layer::Layer;

use super::{A, B, MINUTE, prompt, send, service, settle, turn, turn_of};
use crate::{
    event::{Operation, Outcome},
    timing::TimingLayer,
    turn::{
        TurnError,
        app_server::{
            peer::{Options, Peer},
            router::Reason,
        },
    },
};

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
    peer.reads_let_go(A).await;
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
    peer.reads_interrupt(A).await;
    assert_eq!(turns.active(), 1);
    peer.reject(&start, "no").await;
    settle().await;
    assert_eq!(turns.active(), 0);
}

#[tokio::test]
async fn a_response_begins_after_the_one_before_it() {
    let sink = crate::sink::MemorySink::new();
    let mut peer = Peer::connect(&Options::default());
    let turns = TimingLayer::new(sink.clone()).layer(service(&peer));
    let turn = tokio::spawn(turns.oneshot(prompt()));
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

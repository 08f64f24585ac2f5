//! Ends of a server.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, time::Instant};
use tower::ServiceExt;

use super::{A, MINUTE, active, complete, in_time, prompt, send, service, settle, turn, turn_of};
use crate::turn::{
    TurnError,
    app_server::{
        peer::{Options, Peer},
        router::{Reason, RequestError},
    },
};

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
async fn an_exit_that_is_seen_with_the_end_of_the_grace_period_counts() {
    // Each round, a deadline that is looked at first would win with a probability of a half.
    for _ in 0..16 {
        let mut peer = Peer::connect(&Options::default());
        let turns = service(&peer);
        let turn = turn(&turns);
        peer.begin(A, "1").await;
        peer.close();
        settle().await;
        // The connection is woken, and has not run before this task gives way.
        tokio::time::advance(Duration::from_secs(5)).await;
        peer.exit(ExitStatus::from_raw(3 << 8));
        let error = turn.await.unwrap().unwrap_err();
        assert!(matches!(error, TurnError::ServerExited { .. }), "{error:?}");
    }
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
        matches!(error, TurnError::Protocol { line: 5, .. }),
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
    let mut turn = tokio_test::task::spawn(turns.clone().oneshot(prompt()));
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

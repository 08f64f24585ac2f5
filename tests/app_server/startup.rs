//! Servers that do not start, or not in time.

use std::{future::Future, pin::pin, time::Duration};

use codex_telemetry::{
    ErrorClass,
    turn::{CodexAppServer, CodexExec, TurnError, TurnRequest},
};
use futures_util::future::join_all;
use tower::ServiceExt;

use crate::support::{DEADLINE, Rig, fake_codex, in_time, is_running};

/// What Codex writes when its configuration is wrong.
const BROKEN: &str = "echo 'Error: error loading default config after config error: \
    model provider `none` not found' >&2; exit 1";

#[tokio::test]
async fn a_server_that_exits_at_once_fails_the_turn_with_its_cause() {
    let rig = Rig::new(BROKEN);
    let error = rig.turn().await.unwrap_err();
    let TurnError::Exited {
        status,
        thread_started: false,
        message: None,
        stderr,
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(status.code(), Some(1));
    assert!(
        stderr.contains("model provider `none` not found"),
        "{stderr}"
    );
    assert!(
        error
            .to_string()
            .contains("model provider `none` not found"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_exits_at_once_has_the_class_that_exec_gives_for_the_same_cause() {
    let rig = Rig::new(BROKEN);
    let error = rig.turn().await.unwrap_err();
    let exec = CodexExec::builder().codex(fake_codex()).build();
    let request = TurnRequest::new("a prompt").with_env("FAKE_CODEX", BROKEN);
    let of_exec = exec.oneshot(request).await.unwrap_err();
    assert_eq!(error.classification(), of_exec.classification());
    assert_eq!(error.classification().class, ErrorClass::Config);
}

#[tokio::test]
async fn a_server_that_exits_without_a_word_is_an_exit_before_the_end_of_the_turn() {
    let error = Rig::new("exit 3").turn().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Codex exited (exit status: 3) before the end of the turn"
    );
}

#[tokio::test]
async fn a_server_that_is_killed_before_it_answers_is_told_with_the_signal() {
    let error = Rig::new("kill -KILL $$").turn().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("signal: 9 (SIGKILL)"), "{text}");
    assert_eq!(error.classification().class, ErrorClass::Transport);
}

#[tokio::test]
async fn a_missing_codex_is_told_as_by_exec() {
    let turns = CodexAppServer::builder().codex("/no/such/codex").build();
    let error = turns
        .oneshot(TurnRequest::new("a prompt"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, TurnError::CodexNotFound { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_never_answers_is_ended() {
    let rig = Rig::with("while read_line; do :; done", |builder| {
        builder.request_timeout(Duration::from_millis(200))
    });
    let error = rig.turn().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Codex did not answer `initialize` within 200ms: raise the request timeout, or run fewer turns at once"
    );
    assert_eq!(error.classification().class, ErrorClass::Transport);
    rig.until_gone().await;
}

#[tokio::test]
async fn a_server_that_closes_its_output_at_once_is_killed_after_the_grace_period() {
    let rig = Rig::with(
        "exec >&-; trap '' TERM; while :; do sleep 1; done",
        |builder| builder.exit_grace(Duration::from_millis(200)),
    );
    let error = rig.turn().await.unwrap_err();
    assert!(matches!(error, TurnError::Hung { .. }), "{error:?}");
    assert_eq!(error.classification().class, ErrorClass::Transport);
    rig.until_gone().await;
}

#[tokio::test]
async fn a_server_that_refuses_to_initialize_is_told_with_its_words() {
    let rig = Rig::new("initialize() { refuse -32600 'this client is too old'; }; serve");
    let error = rig.turn().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Codex rejected `initialize` (code -32600): this client is too old"
    );
    rig.until_gone().await;
}

#[tokio::test]
async fn turns_that_wait_for_a_server_that_does_not_start_fail_with_it() {
    let rig = Rig::new(BROKEN);
    let turns = join_all((0..24).map(|_| rig.turn())).await;
    for turn in turns {
        let error = turn.unwrap_err();
        assert!(matches!(error, TurnError::Exited { .. }), "{error:?}");
    }
    // All have asked before the server has exited.
    assert_eq!(rig.servers().len(), 1);
}

#[tokio::test]
async fn a_turn_after_a_server_that_did_not_start_starts_another() {
    let script = "if mkdir $FAKE_DIRECTORY/tried; then exit 1; fi; serve";
    let rig = Rig::new(script);
    rig.turn().await.unwrap_err();
    let turn = rig.turn().await.unwrap();
    assert_eq!(turn.final_message.as_deref(), Some("all done"));
    assert_eq!(rig.servers().len(), 2);
}

#[tokio::test]
async fn a_server_that_is_started_ahead_serves_the_first_turns() {
    let rig = Rig::new("serve");
    in_time(rig.service.start()).await.unwrap();
    rig.until_logged("initialized", 1).await;
    in_time(rig.service.start()).await.unwrap();
    rig.turn().await.unwrap();
    assert_eq!(rig.servers().len(), 1);
}

#[tokio::test]
async fn turns_that_begin_at_once_share_one_server() {
    let rig = Rig::new("serve");
    let turns = join_all((0..8).map(|_| rig.turn())).await;
    assert!(turns.iter().all(Result::is_ok), "{turns:?}");
    assert_eq!(rig.servers().len(), 1);
}

#[tokio::test]
async fn dropping_the_only_turn_that_waits_for_a_server_ends_the_server() {
    let rig = Rig::new("while read_line; do :; done");
    let mut turn = rig.turn();
    tokio::select! {
        turn = &mut turn => panic!("{turn:?}"),
        () = rig.until_logged("initialize", 1) => {}
    }
    drop(turn);
    rig.until_gone().await;
    assert_eq!(rig.service.active(), 0);
}

#[tokio::test]
async fn a_service_that_stops_ends_a_server_that_starts() {
    let rig = Rig::new("while read_line; do :; done");
    let mut turn = rig.turn();
    tokio::select! {
        turn = &mut turn => panic!("{turn:?}"),
        () = rig.until_logged("initialize", 1) => {}
    }
    in_time(rig.service.shutdown(DEADLINE)).await;
    assert!(!rig.servers().into_iter().any(is_running));
    assert!(matches!(turn.await, Err(TurnError::Stopped)));
}

#[tokio::test]
async fn a_service_that_stops_kills_a_server_that_starts_and_does_not_exit() {
    let rig = Rig::new("trap '' TERM; while read_line; do :; done; while :; do sleep 1; done");
    let mut turn = rig.turn();
    tokio::select! {
        turn = &mut turn => panic!("{turn:?}"),
        () = rig.until_logged("initialize", 1) => {}
    }
    in_time(rig.service.shutdown(Duration::from_millis(100))).await;
    assert!(!rig.servers().into_iter().any(is_running));
    assert!(matches!(turn.await, Err(TurnError::Stopped)));
}

#[tokio::test]
async fn an_idle_timeout_that_is_shorter_than_the_start_of_the_server_does_not_end_it() {
    let script = "initialize() { sleep 0.3; answer '{}'; }; serve";
    for timeout in [Duration::ZERO, Duration::from_millis(50)] {
        let rig = Rig::with(script, |builder| builder.idle_timeout(timeout));
        rig.turn().await.unwrap();
        assert_eq!(rig.servers().len(), 1, "{timeout:?}");
        rig.until_gone().await;
    }
}

#[tokio::test]
async fn a_pause_before_a_start_ends_with_the_service() {
    let rig = Rig::new("exit 1");
    for _ in 0..4 {
        rig.turn().await.unwrap_err();
    }
    let mut turn = rig.turn();
    let polled =
        pin!(&mut turn).poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    assert!(polled.is_pending());
    in_time(rig.service.shutdown(DEADLINE)).await;
    assert!(matches!(turn.await, Err(TurnError::Stopped)));
}

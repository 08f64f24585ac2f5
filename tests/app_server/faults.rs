//! Servers that die, hang or write nonsense.

use std::{os::unix::process::ExitStatusExt, time::Duration};

use codex_telemetry::{
    ErrorClass, Outcome,
    event::names,
    turn::{TurnError, TurnRequest},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{ENDLESS, Rig, in_time};

/// The server dies in the first turn that finds no such directory.
const DIES_ONCE: &str = "turn() {
    if mkdir $FAKE_DIRECTORY/died; then
        echo 'thread main panicked: no more memory' >&2
        kill -KILL $$
    fi
    say 'all done'
    end completed
}
serve";

fn kill(server: u32) {
    let pid = Pid::from_raw(server.cast_signed()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_server_that_is_killed_in_a_turn_fails_the_turn_with_its_exit_and_its_last_words() {
    let rig = Rig::new(DIES_ONCE);
    let error = rig.turn().await.unwrap_err();
    let TurnError::ServerExited { status, stderr } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(status.and_then(|status| status.signal()), Some(9));
    assert_eq!(stderr, "thread main panicked: no more memory");
    assert_eq!(error.classification().class, ErrorClass::Transport);
    assert_eq!(
        error.to_string(),
        // What is there may be of an earlier turn.
        "the Codex server exited (signal: 9 (SIGKILL)) before the end of the turn"
    );
    let [event] = &rig.turn_events()[..] else {
        panic!("{}", rig.sink.timeline())
    };
    assert_eq!(event.error_class(), Some(ErrorClass::Transport));
    assert_eq!(event.attribute(names::EXIT_SIGNAL), Some(&9.into()));
}

#[tokio::test]
async fn the_turn_after_a_death_starts_another_server() {
    let rig = Rig::new(DIES_ONCE);
    rig.turn().await.unwrap_err();
    let turn = rig.turn().await.unwrap();
    assert_eq!(turn.final_message.as_deref(), Some("all done"));
    assert_eq!(rig.servers().len(), 2);
}

#[tokio::test]
async fn a_thread_goes_on_by_its_id_in_the_next_server() {
    let rig = Rig::new(DIES_ONCE);
    std::fs::create_dir(rig.directory().join("died")).unwrap();
    let thread = rig.turn().await.unwrap().thread_id.unwrap();
    std::fs::remove_dir(rig.directory().join("died")).unwrap();
    rig.turn_of(&thread).await.unwrap_err();
    let turn = rig.turn_of(&thread).await.unwrap();
    assert_eq!(turn.thread_id, Some(thread));
    assert_eq!(rig.count("thread/resume"), 1);
    assert_eq!(rig.servers().len(), 2);
}

#[tokio::test]
async fn a_server_that_dies_without_turns_is_replaced() {
    let rig = Rig::new("serve");
    let thread = rig.turn().await.unwrap().thread_id.unwrap();
    kill(rig.servers()[0]);
    rig.until_gone().await;
    // The service may not know of it yet.
    let turn = match rig.turn_of(&thread).await {
        Err(TurnError::ServerExited { .. }) => rig.turn_of(&thread).await,
        turn => turn,
    };
    assert_eq!(turn.unwrap().thread_id, Some(thread));
    assert_eq!(rig.servers().len(), 2);
}

#[tokio::test]
async fn all_turns_of_a_server_fail_when_it_dies() {
    let rig = Rig::new(ENDLESS);
    let (first, second) = (tokio::spawn(rig.turn()), tokio::spawn(rig.turn()));
    rig.until_logged("turning", 2).await;
    kill(rig.servers()[0]);
    for turn in [first, second] {
        let error = turn.await.unwrap().unwrap_err();
        assert!(matches!(error, TurnError::ServerExited { .. }), "{error:?}");
    }
    assert_eq!(rig.service.active(), 0);
}

#[tokio::test]
async fn what_a_server_has_written_before_it_died_counts() {
    let rig = Rig::new("turn() { say 'all done'; end completed; kill -KILL $$; }; serve");
    let turn = rig.turn().await.unwrap();
    assert_eq!(turn.final_message.as_deref(), Some("all done"));
}

#[tokio::test]
async fn a_server_that_closes_its_output_in_a_turn_is_killed_after_the_grace_period() {
    let script = "turn() { exec >&-; trap '' TERM; while :; do sleep 1; done; }; serve";
    let grace = Duration::from_millis(200);
    let rig = Rig::with(script, |builder| builder.exit_grace(grace));
    let error = rig.turn().await.unwrap_err();
    assert!(
        matches!(error, TurnError::Hung { after } if after == grace),
        "{error:?}"
    );
    assert_eq!(error.classification().class, ErrorClass::Transport);
    rig.until_gone().await;
}

#[tokio::test]
async fn a_server_that_ignores_the_end_of_its_input_is_killed_after_the_grace_period() {
    let rig = Rig::with("serve; while :; do sleep 1; done", |builder| {
        builder.exit_grace(Duration::from_millis(200))
    });
    rig.turn().await.unwrap();
    in_time(rig.service.drain()).await;
    rig.until_gone().await;
}

#[tokio::test]
async fn a_line_that_is_too_long_fails_the_turns_of_the_server_with_the_limit() {
    let script = "turn() { head -c 5000 /dev/zero | tr '\\0' x; echo; say 'all done'; end completed; }; serve";
    let rig = Rig::with(script, |builder| builder.line_limit(2000));
    let error = rig.turn().await.unwrap_err();
    assert!(matches!(error, TurnError::Protocol { .. }), "{error:?}");
    assert_eq!(error.classification().class, ErrorClass::Protocol);
    // The answers to three requests, the start of the turn and its prompt come before it.
    assert_eq!(
        error.to_string(),
        "invalid line 6 in Codex's output: it is longer than the limit of 2000 bytes"
    );
    rig.until_gone().await;
}

#[tokio::test]
async fn a_server_may_write_any_amount_to_standard_error() {
    let script = "turn() {
        head -c 3000000 /dev/zero | tr '\\0' e >&2
        say 'all done'
        end completed
        echo last words >&2
        kill -KILL $$
    }
    serve";
    let rig = Rig::new(script);
    rig.turn().await.unwrap();
    let script = "turn() { head -c 3000000 /dev/zero | tr '\\0' e >&2; kill -KILL $$; }; serve";
    let error = Rig::new(script).turn().await.unwrap_err();
    let TurnError::ServerExited { stderr, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(stderr.len() <= 4096, "{}", stderr.len());
}

#[tokio::test]
async fn a_server_that_does_not_read_is_given_up_with_the_first_request_that_it_does_not_answer() {
    let script = "initialize() { answer '{}'; while :; do sleep 1; done; }; serve";
    let rig = Rig::with(script, |builder| {
        builder
            .request_timeout(Duration::from_secs(5))
            .exit_grace(Duration::from_millis(100))
    });
    let error = rig.turn().await.unwrap_err();
    assert!(
        matches!(
            error,
            TurnError::Unanswered {
                method: "thread/start",
                ..
            }
        ),
        "{error:?}"
    );
    rig.until_gone().await;
}

#[tokio::test]
async fn a_prompt_that_no_pipe_holds_does_not_block_the_program() {
    let script = "initialize() { answer '{}'; read_line; read_line; start_thread; while :; do sleep 1; done; }; serve";
    let rig = Rig::with(script, |builder| {
        builder
            .request_timeout(Duration::from_secs(5))
            .interrupt_timeout(Duration::from_millis(100))
    });
    let error = rig
        .run(TurnRequest::new("x".repeat(1024 * 1024)))
        .await
        .unwrap_err();
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
    rig.until_gone().await;
}

#[tokio::test]
async fn a_turn_that_the_death_of_its_server_ends_has_ended_once() {
    let rig = Rig::new(DIES_ONCE);
    let mut turn = rig.turn();
    (&mut turn).await.unwrap_err();
    drop(turn);
    let events = rig.turn_events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].outcome(), Some(Outcome::Error));
}

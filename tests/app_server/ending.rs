//! How turns, servers and services end.

use std::time::Duration;

use codex_telemetry::turn::TurnError;

use crate::support::{DEADLINE, ENDLESS, Rig, comes_true, in_time, is_running};

#[tokio::test]
async fn a_service_that_is_drained_has_ended_its_server_after_its_turns() {
    let script = "turn() { log turning; until [ -e $FAKE_DIRECTORY/go ]; do sleep 0.01; done
        say 'all done'; end completed; }
    serve; log exit";
    let rig = Rig::new(script);
    let turn = tokio::spawn(rig.turn());
    rig.until_logged("turning", 1).await;
    assert_eq!(rig.service.active(), 1);
    let service = rig.service.clone();
    let drain = tokio::spawn(async move { service.drain().await });
    std::fs::write(rig.directory().join("go"), "").unwrap();
    turn.await.unwrap().unwrap();
    in_time(drain).await.unwrap();
    assert_eq!(rig.service.active(), 0);
    assert_eq!(rig.count("exit"), 1);
    assert!(!rig.servers().into_iter().any(is_running));
}

#[tokio::test]
async fn a_service_that_was_drained_can_be_used_again() {
    let rig = Rig::new("serve");
    let thread = rig.turn().await.unwrap().thread_id.unwrap();
    in_time(rig.service.drain()).await;
    rig.turn_of(&thread).await.unwrap();
    assert_eq!(rig.servers().len(), 2);
}

#[tokio::test]
async fn a_service_that_stops_interrupts_its_turns() {
    let rig = Rig::new(ENDLESS);
    let turn = tokio::spawn(rig.turn());
    rig.until_logged("turning", 1).await;
    in_time(rig.service.shutdown(DEADLINE)).await;
    assert!(matches!(turn.await.unwrap(), Err(TurnError::Stopped)));
    assert_eq!(rig.count("turn/interrupt"), 1);
    assert!(matches!(rig.turn().await, Err(TurnError::Stopped)));
    assert_eq!(rig.servers().len(), 1);
}

#[tokio::test]
async fn a_server_that_does_not_do_what_it_is_told_is_killed_when_its_service_stops() {
    let script = "turn() { log turning; trap '' TERM; while :; do sleep 1; done; }; serve";
    let rig = Rig::new(script);
    let turn = tokio::spawn(rig.turn());
    rig.until_logged("turning", 1).await;
    in_time(rig.service.shutdown(Duration::from_millis(100))).await;
    assert!(!rig.servers().into_iter().any(is_running));
    assert!(matches!(turn.await.unwrap(), Err(TurnError::Stopped)));
}

#[tokio::test]
async fn a_server_ends_with_the_last_handle_of_its_service() {
    let rig = Rig::new("serve");
    rig.turn().await.unwrap();
    let server = rig.servers()[0];
    let clone = rig.service.clone();
    drop(rig.service);
    in_time(clone.start()).await.unwrap();
    assert!(is_running(server));
    drop(clone);
    assert!(comes_true(|| !is_running(server)).await);
}

#[tokio::test]
async fn a_dropped_turn_is_interrupted_and_the_next_turn_of_its_thread_waits_for_its_end() {
    let script = "turn() { if mkdir $FAKE_DIRECTORY/once; then log turning; else say 'all done'; end completed; fi; }
    interrupt() { answer '{}'; sleep 0.3; log ended; end interrupted; }
    serve";
    let rig = Rig::new(script);
    std::fs::create_dir(rig.directory().join("once")).unwrap();
    let thread = rig.turn().await.unwrap().thread_id.unwrap();
    std::fs::remove_dir(rig.directory().join("once")).unwrap();
    let mut turn = rig.turn_of(&thread);
    tokio::select! {
        turn = &mut turn => panic!("{turn:?}"),
        () = rig.until_logged("turning", 1) => {}
    }
    drop(turn);
    assert_eq!(rig.service.active(), 1);
    rig.turn_of(&thread).await.unwrap();
    assert_eq!(rig.service.active(), 0);
    let log = rig.log();
    let ended = log.iter().position(|(_, what)| what == "ended").unwrap();
    let starts: Vec<_> = log
        .iter()
        .enumerate()
        .filter(|(_, (_, what))| what == "turn/start")
        .collect();
    assert_eq!(starts.len(), 3);
    assert!(starts[1].0 < ended && ended < starts[2].0, "{log:?}");
}

#[tokio::test]
async fn a_server_that_does_not_end_an_interrupted_turn_is_killed_after_its_other_turns() {
    // The server ends the turn of the second thread alone.
    let script =
        "turn() { log turning; [ $turns = 2 ] || return; other=$turn; other_thread=$thread; }
    interrupt() { answer '{}'; until [ -e $FAKE_DIRECTORY/go ]; do sleep 0.01; done
        turn=$other; thread=$other_thread; say 'all done'; end completed; }
    serve; log exit";
    let rig = Rig::with(script, |builder| {
        builder.interrupt_timeout(Duration::from_millis(100))
    });
    let first = tokio::spawn(rig.turn());
    rig.until_logged("turning", 1).await;
    let second = tokio::spawn(rig.turn());
    rig.until_logged("turning", 2).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    // The first turn is given up, and the second one goes on.
    assert!(comes_true(|| rig.service.active() == 1).await);
    assert!(rig.servers().into_iter().all(is_running));
    let third = tokio::spawn(rig.turn());
    rig.until_logged("turning", 3).await;
    assert_eq!(rig.servers().len(), 2);
    std::fs::write(rig.directory().join("go"), "").unwrap();
    let turn = in_time(second).await.unwrap().unwrap();
    assert_eq!(turn.final_message.as_deref(), Some("all done"));
    let given_up = rig.servers()[0];
    assert!(comes_true(|| !is_running(given_up)).await);
    assert_eq!(rig.count("exit"), 0);
    third.abort();
    drop(third.await);
}

#[tokio::test]
async fn a_server_without_turns_ends_after_the_idle_timeout_and_the_next_turn_starts_another() {
    let rig = Rig::with("serve; log exit", |builder| {
        builder.idle_timeout(Duration::from_millis(50))
    });
    let thread = rig.turn().await.unwrap().thread_id.unwrap();
    rig.until_logged("exit", 1).await;
    rig.turn_of(&thread).await.unwrap();
    rig.until_logged("exit", 2).await;
    assert_eq!(rig.servers().len(), 2);
}

#[tokio::test]
async fn the_longest_timeouts_are_no_timeouts() {
    let rig = Rig::with(ENDLESS, |builder| {
        builder
            .request_timeout(Duration::MAX)
            .interrupt_timeout(Duration::MAX)
            .exit_grace(Duration::MAX)
            .idle_timeout(Duration::MAX)
    });
    let mut turn = rig.turn();
    tokio::select! {
        turn = &mut turn => panic!("{turn:?}"),
        () = rig.until_logged("turning", 1) => {}
    }
    drop(turn);
    in_time(rig.service.drain()).await;
    assert_eq!(rig.service.active(), 0);
}

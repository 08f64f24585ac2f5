//! The phases of a turn that is tried again: those of its attempts, and of the call around them.

use std::time::{Duration, UNIX_EPOCH};

use codex_telemetry::{
    Classification, Clock, CodexAppServer, CodexExec, ErrorClass, Event, Phase, RetryPolicy,
    TimingLayer, Turn, TurnError, TurnRequest, event::names,
};
use tokio_test::{assert_pending, assert_ready, task::spawn};
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneService};

use crate::checked::MemorySink;

const ATTEMPT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_secs(3600);
const STACKS: [Stack; 2] = [Stack::Nested, Stack::Whole];

/// What is a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stack {
    /// The turn, and each attempt within it.
    Nested,
    /// The turn alone.
    Whole,
}

type Turns = BoxCloneService<TurnRequest, Turn, TurnError>;

/// Returns the services, which refuse each turn at once: they have been stopped.
async fn services() -> [Turns; 2] {
    let (exec, app_server) = (CodexExec::new(), CodexAppServer::new());
    exec.shutdown(Duration::ZERO).await;
    app_server.shutdown(Duration::ZERO).await;
    [exec.boxed_clone(), app_server.boxed_clone()]
}

/// Calls a service for a turn, all of whose attempts fail. Each is late by some time, and there are pauses between them.
/// Drops the turn in the last pause, or lets it fail. Returns the terminal events, of which the last one is that of the turn.
async fn run(turns: Turns, stack: Stack, pauses: u32, is_dropped: bool) -> Vec<Event> {
    let sink = MemorySink::new();
    let (clock, hand) = Clock::manual(UNIX_EPOCH);
    let timing = TimingLayer::with_clock(sink.clone(), clock);
    let classify =
        |_: &TurnError| Classification::from(ErrorClass::Overloaded).with_retry_after(Some(PAUSE));
    let policy = RetryPolicy::new()
        .classifier(classify)
        .max_attempts(pauses + 1)
        .max_retry_after(PAUSE)
        .backoff(Duration::ZERO, Duration::ZERO);
    let service = ServiceBuilder::new()
        .layer(timing.clone())
        .retry(policy)
        .option_layer((stack == Stack::Nested).then_some(timing))
        .map_request({
            let hand = hand.clone();
            move |request| {
                hand.advance(ATTEMPT);
                request
            }
        })
        .service(turns);
    let mut turn = spawn(service.oneshot(TurnRequest::new("a prompt")));
    for number in 1..=pauses {
        assert_pending!(turn.poll());
        if number == pauses && is_dropped {
            // In the middle of the pause.
            hand.advance(PAUSE / 2);
            break;
        }
        hand.advance(PAUSE);
        tokio::time::advance(PAUSE).await;
    }
    if !is_dropped {
        assert_ready!(turn.poll()).unwrap_err();
    }
    drop(turn);
    let mut events = sink.events();
    events.retain(|event| event.kind().is_terminal());
    events
}

/// Returns the phases that took time, in the order of [`Phase::ALL`]. They add up to the duration.
fn times(event: &Event) -> Vec<(Phase, Duration)> {
    let phases = event.phases().expect("it is a turn");
    assert_eq!(Some(phases.total()), event.duration());
    phases.iter().filter(|(_, time)| !time.is_zero()).collect()
}

/// Returns the attribute that says in which phase a turn ended.
fn phase(event: &Event) -> Option<String> {
    let phase = event.attribute(names::PHASE)?;
    Some(phase.as_str().into_owned())
}

#[tokio::test(start_paused = true)]
async fn the_pauses_of_a_policy_are_the_retry_of_the_call_around_the_attempts() {
    for turns in services().await {
        for stack in STACKS {
            let events = run(turns.clone(), stack, 2, false).await;
            let (whole, attempts) = events.split_last().unwrap();
            // The service is called again after the pause, and what comes before it.
            let expected = [
                (Phase::Wait, ATTEMPT),
                (Phase::Retry, 2 * (PAUSE + ATTEMPT)),
            ];
            assert_eq!(times(whole), expected, "{stack:?}");
            let own = if stack == Stack::Nested { 3 } else { 0 };
            assert_eq!(attempts.len(), own);
            for attempt in attempts {
                assert_eq!(times(attempt), [(Phase::Wait, ATTEMPT)]);
                assert_eq!(phase(attempt).as_deref(), Some("wait"));
            }
            // What the last attempt waited for.
            assert_eq!(phase(whole).as_deref(), Some("wait"), "{stack:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_cancelled_while_a_policy_waits_says_retry() {
    for turns in services().await {
        for stack in STACKS {
            for pauses in [1, 2] {
                let events = run(turns.clone(), stack, pauses, true).await;
                let whole = events.last().unwrap();
                let before = (pauses - 1) * (PAUSE + ATTEMPT);
                let expected = [(Phase::Wait, ATTEMPT), (Phase::Retry, before + PAUSE / 2)];
                assert_eq!(times(whole), expected, "{stack:?}");
                assert_eq!(phase(whole).as_deref(), Some("retry"), "{stack:?}");
            }
        }
    }
}

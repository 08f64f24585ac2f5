//! Warnings of calls that take long.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use codex_telemetry::{ActiveCalls, CallContext, Originator, Outcome};
use tokio::{task::JoinHandle, time::Instant};
use tracing::{Level, subscriber::DefaultGuard};

use crate::{
    subscriber::{MockSubscriber, Recorded, set_subscriber, with_subscriber},
    support::*,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Calls, and the warnings of them on this thread.
struct Fixture {
    calls: ActiveCalls,
    harness: Harness,
    subscriber: MockSubscriber,
    _default: DefaultGuard,
}

impl Fixture {
    fn new() -> Self {
        let calls = ActiveCalls::new();
        let subscriber = MockSubscriber::default();
        Self {
            harness: Harness::new(calls.clone()),
            calls,
            _default: set_subscriber(&subscriber),
            subscriber,
        }
    }

    /// Lets the time pass, by the clock of the calls and then by that of the timers. They have to agree whenever a call
    /// is looked at for the first time.
    async fn pass(&self, time: Duration) {
        settle().await;
        self.harness.manual.advance(time);
        tokio::time::sleep(time).await;
        // A timer that is due at the same time may be later in the order.
        settle().await;
    }

    fn warnings(&self) -> Vec<Recorded> {
        self.subscriber.events()
    }

    /// Returns the names of the calls that were warned of.
    fn warned(&self) -> Vec<String> {
        let warnings = self.warnings().into_iter();
        warnings.map(|it| it.fields["name"].clone()).collect()
    }

    fn open(&self, name: &'static str) -> codex_telemetry::CallGuard {
        self.harness.open(turn().with_name(name))
    }
}

/// Lets all tasks run that can, without the time.
async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

/// Runs the warnings in the background, and counts how often they are polled.
fn spawn_counted(calls: &ActiveCalls, threshold: Duration) -> (JoinHandle<()>, Arc<AtomicUsize>) {
    let polls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&polls);
    let warnings = calls.warn_after(threshold);
    let task = tokio::spawn(async move {
        let mut warnings = pin!(warnings);
        poll_fn(|cx| {
            count.fetch_add(1, Relaxed);
            warnings.as_mut().poll(cx).map(drop)
        })
        .await;
    });
    (task, polls)
}

#[tokio::test(start_paused = true)]
async fn a_call_that_stays_active_is_warned_of_once_when_the_threshold_has_passed() {
    let fixture = Fixture::new();
    tokio::spawn(fixture.calls.warn_after(MINUTE));
    settle().await;
    let _a = fixture.open("a");
    fixture.pass(MINUTE - Duration::from_millis(1)).await;
    assert_eq!(fixture.warned(), [""; 0]);
    fixture.pass(Duration::from_millis(1)).await;
    assert_eq!(fixture.warned(), ["a"]);
    fixture.pass(1_000 * MINUTE).await;
    assert_eq!(fixture.warned(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_warning_has_what_identifies_the_call_and_its_age() {
    let fixture = Fixture::new();
    let context = CallContext::new()
        .with_originator(Originator::Cli)
        .with_traceparent(PARENT, None)
        .with_call_id("call")
        .with_attempt(2);
    let open = fixture
        .harness
        .open(turn().with_name("a").with_context(context));
    tokio::spawn(fixture.calls.warn_after(MINUTE));
    settle().await;
    fixture.pass(MINUTE - SECOND).await;
    open.context().record_thread_id("thread");
    open.context().record_turn_id("turn");
    fixture.pass(SECOND).await;
    let span = fixture.calls.snapshot()[0].span_id.to_string();
    let [warning] = &fixture.warnings()[..] else {
        panic!("one warning");
    };
    assert_eq!(warning.target, "codex_telemetry");
    assert_eq!(warning.level, Level::WARN);
    for (key, value) in [
        ("operation", "codex.turn"),
        ("name", "a"),
        ("age_ms", "60000.0"),
        ("originator", "cli"),
        ("thread_id", "thread"),
        ("turn_id", "turn"),
        ("call_id", "call"),
        ("attempt", "2"),
        ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
        ("span_id", &span),
    ] {
        assert_eq!(
            warning.fields.get(key).map(String::as_str),
            Some(value),
            "{key}"
        );
    }
    // Not of a turn of a service of the crate.
    assert_eq!(warning.fields.get("phase"), None);
    let message = &warning.fields["message"];
    assert!(
        message.starts_with("a call is active for longer than 60s; "),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_in_time_is_not_warned_of() {
    let fixture = Fixture::new();
    tokio::spawn(fixture.calls.warn_after(MINUTE));
    settle().await;
    let a = fixture.open("a");
    let b = fixture.open("b");
    fixture.pass(MINUTE - SECOND).await;
    a.finish();
    drop(b);
    fixture.pass(10 * MINUTE).await;
    assert_eq!(fixture.warned(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn each_call_is_warned_of_at_its_own_time() {
    let fixture = Fixture::new();
    tokio::spawn(fixture.calls.warn_after(MINUTE));
    let a = fixture.open("a");
    fixture.pass(30 * SECOND).await;
    let _b = fixture.open("b");
    fixture.pass(20 * SECOND).await;
    let _c = fixture.open("c");
    a.finish();
    // When it would have been due, the others are looked at.
    fixture.pass(10 * SECOND).await;
    fixture.pass(30 * SECOND - Duration::from_millis(1)).await;
    assert_eq!(fixture.warned(), [""; 0]);
    fixture.pass(Duration::from_millis(1)).await;
    assert_eq!(fixture.warned(), ["b"]);
    fixture.pass(20 * SECOND).await;
    assert_eq!(fixture.warned(), ["b", "c"]);
    // It waits for nothing now, and a call begins.
    let _d = fixture.open("d");
    fixture.pass(MINUTE).await;
    assert_eq!(fixture.warned(), ["b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_old_before_is_warned_of_at_once() {
    let fixture = Fixture::new();
    let _a = fixture.open("a");
    fixture.pass(2 * MINUTE).await;
    tokio::spawn(fixture.calls.warn_after(MINUTE));
    settle().await;
    assert_eq!(fixture.warned(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn of_several_futures_with_one_threshold_one_warns_and_of_several_thresholds_each() {
    let fixture = Fixture::new();
    for threshold in [MINUTE, MINUTE, 2 * MINUTE] {
        tokio::spawn(fixture.calls.clone().warn_after(threshold));
    }
    settle().await;
    let _a = fixture.open("a");
    fixture.pass(MINUTE).await;
    assert_eq!(fixture.warned(), ["a"]);
    fixture.pass(MINUTE).await;
    assert_eq!(fixture.warned(), ["a", "a"]);
    fixture.pass(10 * MINUTE).await;
    assert_eq!(fixture.warned(), ["a", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_future_goes_on_where_another_was_dropped() {
    let fixture = Fixture::new();
    let _a = fixture.open("a");
    let within = |time| tokio::time::timeout(time, fixture.calls.warn_after(MINUTE));
    within(40 * SECOND).await.unwrap_err();
    within(30 * SECOND).await.unwrap_err();
    assert_eq!(fixture.warned(), ["a"]);
    within(10 * MINUTE).await.unwrap_err();
    assert_eq!(fixture.warned(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_future_that_was_dropped_warns_of_nothing() {
    let fixture = Fixture::new();
    let _a = fixture.open("a");
    let task = tokio::spawn(fixture.calls.warn_after(MINUTE));
    fixture.pass(SECOND).await;
    task.abort();
    fixture.pass(10 * MINUTE).await;
    assert_eq!(fixture.warned(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn calls_that_end_in_time_do_not_wake_it_each() {
    let fixture = Fixture::new();
    let (_task, polls) = spawn_counted(&fixture.calls, MINUTE);
    settle().await;
    // It is polled, woken by the first call, and then asleep for a minute: no call of this minute is due before.
    for _ in 0..1_000 {
        fixture.harness.turn(Outcome::Ok);
        settle().await;
    }
    assert_eq!(polls.load(Relaxed), 2);
    // In ten minutes, twenty calls that are shorter than the threshold.
    for _ in 0..20 {
        let _open = fixture.open("a");
        fixture.pass(30 * SECOND).await;
    }
    let polls = polls.load(Relaxed);
    assert!(polls < 30, "{polls}");
    assert_eq!(fixture.warned(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_clock_stands_still_does_not_keep_it_awake() {
    let fixture = Fixture::new();
    let (_task, polls) = spawn_counted(&fixture.calls, MINUTE);
    let _a = fixture.open("a");
    tokio::time::sleep(MINUTE).await;
    settle().await;
    assert_eq!(fixture.warnings()[0].fields["age_ms"], "0.0");
    tokio::time::sleep(10 * MINUTE).await;
    let polls = polls.load(Relaxed);
    assert!(polls < 5, "{polls}");
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_end_does_not_reach_the_view_is_not_warned_of_and_keeps_nothing_awake() {
    let fixture = Fixture::new();
    let starts = {
        let calls = fixture.calls.clone();
        move |event: codex_telemetry::Event| {
            if !event.kind().is_terminal() {
                codex_telemetry::Sink::emit(&calls, event);
            }
        }
    };
    Harness::new(starts).turn(Outcome::Ok);
    let (_task, polls) = spawn_counted(&fixture.calls, MINUTE);
    fixture.pass(10 * MINUTE).await;
    assert_eq!(polls.load(Relaxed), 2);
    assert_eq!(fixture.warned(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_threshold_may_be_zero_or_without_end() {
    for (threshold, expected) in [(Duration::ZERO, 1), (Duration::MAX, 0)] {
        let fixture = Fixture::new();
        let _a = fixture.open("a");
        let began = Instant::now();
        let mut warnings = pin!(fixture.calls.warn_after(threshold));
        let poll = poll_fn(|cx| Poll::Ready(warnings.as_mut().poll(cx).is_pending()));
        assert!(poll.await);
        assert_eq!(fixture.warned().len(), expected, "{threshold:?}");
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}

#[cfg(feature = "retry")]
#[tokio::test(start_paused = true)]
async fn a_call_of_several_attempts_is_warned_of_once_and_an_attempt_that_ends_in_time_is_not() {
    use codex_telemetry::{Call, ErrorClass, RetryPolicy, TimingLayer};
    use tower::{ServiceBuilder, ServiceExt, service_fn};

    let fixture = Fixture::new();
    tokio::spawn(fixture.calls.warn_after(MINUTE));
    let stack = ServiceBuilder::new()
        .layer(TimingLayer::new(fixture.calls.clone()))
        .retry(
            RetryPolicy::new()
                .classifier(|(): &()| ErrorClass::Transport)
                .max_attempts(4)
                .backoff(SECOND, SECOND),
        )
        .layer(TimingLayer::new(fixture.calls.clone()))
        .service(service_fn(async |_: Call<()>| {
            tokio::time::sleep(40 * SECOND).await;
            Err::<(), _>(())
        }));
    let call = Call::new(codex_telemetry::Operation::Custom("work"), ()).with_name("a");
    let response = tokio::spawn(stack.oneshot(call));
    tokio::time::sleep(30 * SECOND).await;
    let attempts = |calls: &ActiveCalls| {
        let calls = calls.snapshot().into_iter();
        calls.map(|call| call.attempt).collect::<Vec<_>>()
    };
    assert_eq!(attempts(&fixture.calls), [1, 1]);
    tokio::time::sleep(30 * SECOND).await;
    assert_eq!(attempts(&fixture.calls), [1, 2]);
    response.await.unwrap().unwrap_err();
    let attempts = fixture.warnings().into_iter();
    let attempts: Vec<_> = attempts.map(|it| it.fields["attempt"].clone()).collect();
    assert_eq!(attempts, ["1"], "the outer call");
    assert_eq!(fixture.calls.snapshot(), []);
}

#[test]
fn one_warning_is_logged_for_calls_beyond_the_limit() {
    let subscriber = MockSubscriber::default();
    let calls = ActiveCalls::with_limit(0);
    let harness = Harness::new(calls.clone());
    with_subscriber(&subscriber, || {
        (0..3).for_each(|_| harness.turn(Outcome::Ok));
    });
    let events = subscriber.events();
    assert_eq!((events.len(), calls.untracked()), (1, 3), "{events:?}");
    assert_eq!(events[0].target, "codex_telemetry");
    let message = &events[0].fields["message"];
    assert!(
        message.starts_with("more than 0 calls are active"),
        "{message}"
    );
}

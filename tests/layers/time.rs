//! Durations are exact, and the time of the end is the start time plus the duration, unless the machine slept.

use std::time::{Duration, UNIX_EPOCH};

use codex_telemetry::{Clock, Outcome, TimingLayer};
use tokio_test::task::spawn;
use tower::{Layer, Service, ServiceBuilder};

use crate::{checked::MemorySink, support::*};

const START: Duration = Duration::from_nanos(1_767_323_045_678_901_234);

#[test]
fn a_duration_is_the_time_between_the_call_and_its_response() {
    let took = Duration::from_nanos(1_234_567_891);
    let sink = MemorySink::new();
    let (clock, manual) = Clock::manual(UNIX_EPOCH + START);
    manual.advance(Duration::from_secs(1));
    let service = TimingLayer::with_clock(sink.clone(), clock).layer(shows(|_| {
        manual.advance(took);
    }));
    assert_eq!(call(service, request()), Ok(42));
    manual.advance(Duration::from_secs(1));

    let start = sink.events().remove(0);
    let end = only(&sink);
    assert_eq!(end.duration(), Some(took));
    assert_eq!(start.time(), UNIX_EPOCH + START + Duration::from_secs(1));
    assert_eq!(end.start_time(), start.time());
    assert_eq!(end.time(), start.time() + took);
}

#[test]
fn a_duration_includes_the_time_before_and_after_the_first_poll() {
    let sink = MemorySink::new();
    let (clock, manual) = Clock::manual(UNIX_EPOCH);
    let mut service = TimingLayer::with_clock(sink.clone(), clock).layer(hangs());
    manual.advance(Duration::from_nanos(5));
    let mut future = spawn(service.call(request()));
    manual.advance(Duration::from_nanos(3));
    poll_once(&mut future);
    manual.advance(Duration::from_nanos(4));
    drop(future);

    assert_eq!(only(&sink).duration(), Some(Duration::from_nanos(7)));
}

#[test]
fn a_call_with_a_clock_that_stands_still_takes_no_time() {
    let sink = MemorySink::new();
    let (clock, _manual) = Clock::manual(UNIX_EPOCH);
    let service = TimingLayer::with_clock(sink.clone(), clock).layer(answers());
    assert_eq!(call(service, request()), Ok(42));

    let end = only(&sink);
    assert_eq!(end.duration(), Some(Duration::ZERO));
    assert_eq!(end.time(), UNIX_EPOCH);
}

#[test]
fn with_the_system_clock_too_the_end_is_the_start_plus_the_duration() {
    let before = std::time::SystemTime::now();
    let (service, sink) = timed(answers());
    assert_eq!(call(service, request()), Ok(42));

    let end = only(&sink);
    let duration = end.duration().expect("a terminal event has one");
    assert_eq!(end.time(), end.start_time() + duration);
    let hour = Duration::from_secs(3600);
    assert!(end.time() + hour > before && end.time() < before + hour);
}

#[test]
fn a_span_event_has_the_time_of_the_calls_clock() {
    let sink = MemorySink::new();
    let (clock, manual) = Clock::manual(UNIX_EPOCH + START);
    let service = TimingLayer::with_clock(sink.clone(), clock).layer(shows(|context| {
        manual.advance(Duration::from_millis(2));
        context.add_event("halfway");
        manual.advance(Duration::from_millis(2));
    }));
    assert_eq!(call(service, request()), Ok(42));

    let end = only(&sink);
    let halfway = end.start_time() + Duration::from_millis(2);
    assert_eq!(end.span_events()[0].timestamp, halfway);
}

#[test]
fn a_clock_that_is_set_does_not_put_a_span_event_outside_of_its_call() {
    let hour = Duration::from_secs(3600);
    for (set, suspended) in [
        // Back, and forward by too little for a suspension.
        (UNIX_EPOCH + START - hour, Duration::ZERO),
        (
            UNIX_EPOCH + START + Duration::from_millis(900),
            Duration::ZERO,
        ),
        // Forward.
        (UNIX_EPOCH + START + hour, hour),
    ] {
        let sink = MemorySink::new();
        let (clock, manual) = Clock::manual(UNIX_EPOCH + START);
        let service = TimingLayer::with_clock(sink.clone(), clock).layer(shows(|context| {
            manual.set_wall(set);
            manual.advance(Duration::from_millis(2));
            context.add_event("set");
            manual.advance(Duration::from_millis(3));
        }));
        assert_eq!(call(service, request()), Ok(42));

        let end = only(&sink);
        assert_eq!(end.duration(), Some(Duration::from_millis(5)));
        let start = UNIX_EPOCH + START;
        assert_eq!(end.time(), start + suspended + Duration::from_millis(5));
        let event = end.span_events()[0].timestamp;
        assert_eq!(event, start + suspended + Duration::from_millis(2));
    }
}

#[test]
fn a_child_call_has_its_own_duration() {
    let sink = MemorySink::new();
    let (clock, manual) = Clock::manual(UNIX_EPOCH);
    let layer = TimingLayer::with_clock(sink.clone(), clock);
    let between = manual.clone();
    let service = ServiceBuilder::new()
        .layer(layer.clone())
        .map_request(move |request| {
            between.advance(Duration::from_millis(1));
            request
        })
        .layer(layer)
        .service(shows(|_| manual.advance(Duration::from_millis(2))));
    assert_eq!(call(service, request()), Ok(42));

    let ended = ended(&sink);
    let calls: Vec<_> = ended.iter().map(|e| (e.duration(), e.outcome())).collect();
    let millis = |ms| Some(Duration::from_millis(ms));
    assert_eq!(
        calls,
        [
            (millis(2), Some(Outcome::Ok)),
            (millis(3), Some(Outcome::Ok))
        ]
    );
    assert_eq!(ended[0].time(), ended[1].time());
}

#[test]
fn a_call_that_begins_after_a_suspension_begins_at_the_right_time() {
    let sink = MemorySink::new();
    let (clock, manual) = Clock::manual(UNIX_EPOCH);
    let service = TimingLayer::with_clock(sink.clone(), clock).layer(answers());
    let slept = Duration::from_secs(8 * 3600);
    manual.suspend(slept);
    assert_eq!(call(service, request()), Ok(42));
    assert_eq!(only(&sink).start_time(), UNIX_EPOCH + slept);
}

#[test]
fn a_call_over_a_suspension_ends_at_the_right_time_and_its_duration_is_without_it() {
    let sink = MemorySink::new();
    let (clock, manual) = Clock::manual(UNIX_EPOCH);
    let ran = Duration::from_secs(2);
    let slept = Duration::from_secs(8 * 3600);
    let service = TimingLayer::with_clock(sink.clone(), clock).layer(shows(|context| {
        manual.advance(ran);
        manual.suspend(slept);
        context.add_event("awake");
    }));
    assert_eq!(call(service, request()), Ok(42));

    let end = only(&sink);
    assert_eq!(end.start_time(), UNIX_EPOCH);
    assert_eq!(end.span_events()[0].timestamp, UNIX_EPOCH + ran + slept);
    assert_eq!(end.time(), UNIX_EPOCH + ran + slept);
    assert_eq!(end.duration(), Some(ran));
}

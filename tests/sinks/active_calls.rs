//! The calls that are active now.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Poll,
    thread,
    time::{Duration, UNIX_EPOCH},
};

use codex_telemetry::{
    ActiveCalls, Call, CallContext, Event, FanOut, Operation, Originator, OriginatorLayer, Outcome,
    Sink, TimingLayer,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::{checked::MemorySink, support::*};

const SECOND: Duration = Duration::from_secs(1);

/// Returns the names of the calls that are active.
fn active(calls: &ActiveCalls) -> Vec<String> {
    let calls = calls.snapshot().into_iter();
    calls.map(|call| call.name.unwrap_or_default()).collect()
}

fn named(name: &'static str) -> Call<()> {
    turn().with_name(name)
}

#[test]
fn a_call_is_active_from_its_start_to_its_end_however_it_ends() {
    let calls = ActiveCalls::new();
    let harness = Harness::new(calls.clone());
    for outcome in [
        Outcome::Ok,
        Outcome::Error,
        Outcome::Cancelled,
        Outcome::Panic,
    ] {
        harness.call(named("a"), outcome, |_| assert_eq!(active(&calls), ["a"]));
        assert_eq!(active(&calls), [""; 0], "{outcome}");
    }
}

#[test]
fn a_call_shows_what_is_known_of_it_now_and_not_only_at_its_start() {
    let calls = ActiveCalls::new();
    let stack = ServiceBuilder::new()
        .layer(TimingLayer::new(calls.clone()))
        .layer(OriginatorLayer::new(Originator::Cli))
        .service(service_fn(async |call: Call<()>| {
            call.context.record_thread_id("thread");
            call.context.record_turn_id("turn");
            Ok::<_, ()>(calls.snapshot().remove(0))
        }));
    let context = CallContext::new()
        .with_thread_id("old")
        .with_call_id("call")
        .with_attempt(3)
        .with_traceparent(PARENT, None);
    let mut response =
        tokio_test::task::spawn(stack.oneshot(named("reviewer").with_context(context)));
    let Poll::Ready(Ok(call)) = response.poll() else {
        panic!("it answers at once");
    };
    assert_eq!(call.operation, Operation::Turn);
    assert_eq!(call.name.as_deref(), Some("reviewer"));
    assert_eq!(call.originator, Some(Originator::Cli));
    assert_eq!(call.thread_id.as_deref(), Some("thread"));
    assert_eq!(call.turn_id.as_deref(), Some("turn"));
    assert_eq!(call.call_id.as_deref(), Some("call"));
    assert_eq!(call.attempt, 3);
    assert_eq!(
        call.trace_id.to_string(),
        "0af7651916cd43dd8448eb211c80319c"
    );
    assert_eq!(call.parent_span_id.unwrap().to_string(), "b7ad6b7169203331");
    // It is no turn of a service of the crate.
    assert_eq!(call.phase, None);
}

#[test]
fn the_age_is_by_the_monotonic_clock_of_the_call() {
    let calls = ActiveCalls::new();
    let harness = Harness::new(calls.clone());
    let _open = harness.open(turn());
    let age = || calls.snapshot()[0].age;
    assert_eq!(age(), Duration::ZERO);
    harness.manual.advance(5 * SECOND);
    harness.manual.suspend(3600 * SECOND);
    harness.manual.set_wall(UNIX_EPOCH);
    assert_eq!(age(), 5 * SECOND);
}

#[test]
fn the_oldest_call_is_first_and_a_parent_is_before_its_children() {
    let calls = ActiveCalls::new();
    let [first, second] = [calls.clone(), calls.clone()].map(Harness::new);
    let a = first.open(named("a"));
    let child = |name: &'static str| a.open_child(Operation::Tool, Some(name.into()), None);
    // The clock stands still.
    let _b = child("b");
    let _c = child("c");
    second.manual.advance(SECOND);
    let _d = second.open(named("d"));
    assert_eq!(active(&calls), ["a", "b", "c", "d"]);
    // Of another clock, so it began before the others.
    second.manual.advance(SECOND);
    assert_eq!(active(&calls), ["d", "a", "b", "c"]);
    first.manual.advance(2 * SECOND);
    let _e = child("e");
    assert_eq!(active(&calls), ["a", "b", "c", "d", "e"]);
}

#[test]
fn calls_beyond_the_limit_are_counted_and_make_room_for_nobody() {
    let calls = ActiveCalls::with_limit(2);
    let harness = Harness::new(calls.clone());
    let a = harness.open(named("a"));
    let b = harness.open(named("b"));
    let c = harness.open(named("c"));
    assert_eq!((active(&calls).len(), calls.untracked()), (2, 1));
    // The end of a call that is not tracked.
    c.finish();
    assert_eq!(active(&calls), ["a", "b"]);
    // A call that is not tracked stays so.
    let _d = harness.open(named("d"));
    a.finish();
    assert_eq!((active(&calls).len(), calls.untracked()), (1, 2));
    let _e = harness.open(named("e"));
    b.finish();
    assert_eq!(active(&calls), ["e"]);
    assert_eq!(calls.untracked(), 2);
}

#[test]
fn a_limit_of_zero_tracks_nothing() {
    let calls = ActiveCalls::with_limit(0);
    Harness::new(calls.clone()).call(turn(), Outcome::Ok, |_| {
        assert_eq!((active(&calls).len(), calls.untracked()), (0, 1));
    });
}

#[test]
fn ten_thousand_calls_of_four_threads_leave_nothing() {
    const CALLS: usize = 2_500;
    const OPEN: usize = 50;
    let calls = ActiveCalls::new();
    let harness = Harness::new(calls.clone());
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Relaxed) {
                let calls = calls.snapshot();
                assert!(calls.len() <= 4 * OPEN, "{}", calls.len());
                assert!(calls.is_sorted_by(|a, b| a.age >= b.age));
            }
        });
        let threads = [(); 4].map(|()| {
            scope.spawn(|| {
                let mut open = Vec::new();
                for number in 0..CALLS {
                    open.push(harness.open(turn()));
                    harness.manual.advance(Duration::from_nanos(1));
                    if open.len() == OPEN {
                        let call = open.swap_remove(number % OPEN);
                        // Every other one is cancelled.
                        (number % 2 == 0).then(|| call.finish());
                    }
                }
            })
        });
        let ended = threads.map(|thread| thread.join());
        is_done.store(true, Relaxed);
        assert!(ended.iter().all(Result::is_ok));
    });
    assert_eq!((calls.snapshot().len(), calls.untracked()), (0, 0));
}

#[test]
fn a_view_that_is_in_a_fan_out_twice_counts_each_call_once() {
    let calls = ActiveCalls::with_limit(1);
    let sink = FanOut::new().with(calls.clone()).with(calls.clone());
    Harness::new(sink).call(named("a"), Outcome::Ok, |_| {
        assert_eq!((active(&calls), calls.untracked()), (vec!["a".into()], 0));
    });
    assert_eq!(active(&calls), [""; 0]);
}

#[test]
fn a_call_that_has_ended_does_not_keep_the_other_sinks_alive() {
    let calls = ActiveCalls::new();
    let other = Arc::new(MemorySink::new());
    // The ends of the calls do not reach the view.
    let starts = {
        let calls = calls.clone();
        move |event: Event| {
            if !event.kind().is_terminal() {
                calls.emit(event);
            }
        }
    };
    let sinks = FanOut::new().with(Arc::clone(&other)).with(starts);
    let mut service = TimingLayer::new(sinks).layer(service_fn(async |call: Call<()>| {
        Ok::<_, ()>(call.context.keep_open())
    }));
    let mut response = tokio_test::task::spawn(service.call(turn()));
    let Poll::Ready(Ok(open)) = response.poll() else {
        panic!("it answers at once");
    };
    drop((service, response));
    assert_eq!(Arc::strong_count(&other), 2, "the open call has its sinks");
    assert_eq!(active(&calls).len(), 1);
    open.finish();
    assert_eq!(Arc::strong_count(&other), 1);
    assert_eq!(active(&calls).len(), 0, "it has ended all the same");
}

#[test]
fn a_start_that_is_emitted_again_after_the_end_is_not_tracked() {
    let sink = MemorySink::new();
    Harness::new(sink.clone()).turn(Outcome::Ok);
    let calls = ActiveCalls::with_limit(1);
    calls.emit(sink.events().remove(0));
    Harness::new(calls.clone()).call(named("a"), Outcome::Ok, |_| {
        assert_eq!((active(&calls), calls.untracked()), (vec!["a".into()], 0));
    });
}

#[test]
fn the_table_has_a_line_for_each_call_and_one_for_those_that_are_not_tracked() {
    let calls = ActiveCalls::with_limit(2);
    let harness = Harness::new(calls.clone());
    assert_eq!(calls.to_string(), "no active calls\n");
    let context = CallContext::new()
        .with_thread_id("thread-7")
        .with_originator(Originator::Cli);
    let a = harness.open(named("reviewer").with_context(context));
    harness.manual.advance(Duration::from_millis(10_250));
    let tool = a.open_child(Operation::Tool, Some("shell".into()), Some("call-1".into()));
    harness.manual.advance(Duration::from_millis(1_750));
    let [turn, _] = &calls.snapshot()[..] else {
        panic!("two calls are active");
    };
    let (trace, span) = (turn.trace_id, turn.span_id);
    let table = calls.to_string();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines[0], "2 active calls, the oldest first");
    assert_eq!(
        lines[1],
        format!(
            "  12.000 s  codex.turn reviewer  -  attempt=1 originator=cli thread_id=thread-7 \
             trace_id={trace} span_id={span}"
        )
    );
    let tool_line = "   1.750 s  codex.tool shell     -  attempt=1 originator=cli \
                     thread_id=thread-7 call_id=call-1 trace_id=";
    assert!(lines[2].starts_with(tool_line), "{table}");
    assert!(
        lines[2].ends_with(&format!("parent_span_id={span}")),
        "{table}"
    );
    assert_eq!(lines.len(), 3);
    tool.finish();
    assert!(calls.to_string().starts_with("1 active call\n"));

    let [_b, _c] = ["b", "c"].map(|name| harness.open(named(name)));
    let last = "calls that were not tracked, since 2 were active: 1\n";
    assert!(calls.to_string().ends_with(last), "{calls}");
}

#[test]
fn the_name_of_a_call_stays_in_its_line() {
    let calls = ActiveCalls::new();
    // The last one would turn around what follows.
    let name = "a\nFAKE 1 s\u{1b}[2J\u{202e}";
    Harness::new(calls.clone()).call(turn().with_name(name), Outcome::Ok, |_| {
        let call = calls.snapshot().remove(0);
        for text in [call.to_string(), calls.to_string()] {
            let text = text.trim_end_matches('\n');
            let line = text.lines().last().unwrap_or_default();
            assert!(
                line.contains("a\u{fffd}FAKE 1 s\u{fffd}[2J\u{fffd}"),
                "{text:?}"
            );
        }
        assert!(!call.to_string().contains('\n'));
    });
}

#[test]
fn a_wide_name_takes_two_columns_for_each_character() {
    let calls = ActiveCalls::new();
    let harness = Harness::new(calls.clone());
    let _open = ["abcd", "検索"].map(|name| harness.open(named(name)));
    let table = calls.to_string();
    let after = |name| table.split(name).nth(1).map(|rest| rest.find('-'));
    assert_eq!(after("abcd"), after("検索"), "{table}");
}

#[test]
fn attributes_contents_and_errors_are_not_shown() {
    let calls = ActiveCalls::new();
    let content = MemorySink::capturing_content();
    let harness = Harness::new(FanOut::new().with(calls.clone()).with(content.clone()));
    harness.call(turn(), Outcome::Error, |context| {
        context.record("key", "SECRET");
        context.record_content("content", || "SECRET".to_owned());
        context.add_event("SECRET");
        let class = codex_telemetry::ErrorClass::Io;
        context.classify(codex_telemetry::Classification::from(class).with_message("SECRET"));
        let call = calls.snapshot().remove(0);
        let texts = [
            format!("{call:?}"),
            call.to_string(),
            calls.to_string(),
            format!("{calls:?}"),
        ];
        assert!(
            texts.iter().all(|text| !text.contains("SECRET")),
            "{texts:?}"
        );
    });
    assert_eq!(content.events()[1].content().len(), 1);
}

#[test]
fn debug_prints_how_many_calls_there_are() {
    let calls = ActiveCalls::with_limit(2);
    Harness::new(calls.clone()).call(turn(), Outcome::Ok, |_| {
        let debug = "ActiveCalls { tracked: 1, limit: 2, untracked: 0 }";
        assert_eq!(format!("{calls:?}"), debug);
    });
}

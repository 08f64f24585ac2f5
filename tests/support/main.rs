//! Tests of the test support: the checked sink fails its test when it should.

mod checked;

use std::{
    fs,
    future::{pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use checked::{Checked, Fault, MemorySink};
use codex_telemetry::{Call, CallContext, Event, Interest, Operation, Sink, TimingLayer};
use tokio_test::task::spawn;
use tower::{Layer, Service, service_fn};

/// Returns the start and the end of a call.
fn call() -> [Event; 2] {
    calls(|_| ())
}

/// Returns the `N` events of a call and of the calls that `inner` opens in it.
fn calls<const N: usize>(inner: impl FnOnce(&CallContext)) -> [Event; N] {
    let sink = codex_telemetry::MemorySink::new();
    let mut inner = Some(inner);
    let mut service = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<()>| {
        inner.take().expect("one call")(&call.context);
        ready(Ok::<_, ()>(()))
    }));
    let response = service.call(Call::new(Operation::Turn, ()));
    assert!(spawn(response).poll().is_ready());
    sink.take().try_into().expect("N events")
}

/// Returns the start of a turn, the start and the end of a tool in it, and the end of the turn.
fn nested() -> [Event; 4] {
    calls(|context| context.open_child(Operation::Tool, None, None).finish())
}

/// Drops a checked sink that expects `expected` and received `events`; returns its panic message.
fn check(expected: &[Fault], events: impl IntoIterator<Item = Event>) -> Result<(), String> {
    let sink = expected
        .iter()
        .fold(MemorySink::new(), |sink, fault| sink.expecting(*fault));
    events
        .into_iter()
        .for_each(|event| sink.clone().emit(event));
    catch_unwind(AssertUnwindSafe(move || drop(sink)))
        .map_err(|payload| *payload.downcast::<String>().expect("a panic message"))
}

#[track_caller]
fn assert_fails(fault: Fault, events: impl IntoIterator<Item = Event> + Clone) {
    let message = check(&[], events.clone()).unwrap_err();
    assert!(
        message.contains(&format!("\n  {fault:?}: Event {{")),
        "{message}"
    );
    assert_eq!(check(&[fault], events), Ok(()));
}

#[test]
fn calls_with_one_start_and_one_end_pass() {
    assert_eq!(check(&[], []), Ok(()));
    let [turn, tool, tool_end, turn_end] = nested();
    let [other, other_end] = call();
    let events = [other, turn, tool, other_end, tool_end, turn_end];
    assert_eq!(check(&[], events), Ok(()));
}

#[test]
fn a_start_without_an_end_fails() {
    let [start, _] = call();
    assert_fails(Fault::Open, [start]);
}

#[test]
fn an_end_without_a_start_fails() {
    let [_, end] = call();
    assert_fails(Fault::NoStart, [end]);
}

#[test]
fn an_end_before_its_start_fails() {
    let [start, end] = call();
    let both = check(&[Fault::NoStart, Fault::Open], [end, start]);
    assert_eq!(both, Ok(()));
}

#[test]
fn two_starts_fail() {
    let [start, end] = call();
    assert_fails(Fault::TwoStarts, [start.clone(), start, end]);
}

#[test]
fn two_ends_fail() {
    let [start, end] = call();
    assert_fails(Fault::TwoEnds, [start, end.clone(), end]);
}

#[test]
fn a_call_that_ends_after_its_parent_fails() {
    let [turn, tool, tool_end, turn_end] = nested();
    assert_fails(Fault::OutlivedParent, [turn, tool, turn_end, tool_end]);
}

#[test]
fn a_missing_expected_fault_fails() {
    let message = check(&[Fault::Open], call()).unwrap_err();
    assert!(
        message.contains("expected the faults {Open}, found {}"),
        "{message}"
    );
}

#[test]
fn a_leaked_call_fails() {
    let sink = MemorySink::new();
    let hangs = service_fn(|_: Call<()>| pending::<Result<(), ()>>());
    let mut service = TimingLayer::new(sink.clone()).layer(hangs);
    std::mem::forget(service.call(Call::new(Operation::Turn, ())));
    drop(service);
    assert!(catch_unwind(AssertUnwindSafe(move || drop(sink))).is_err());
}

#[test]
fn a_panicking_test_keeps_its_own_message() {
    let panic = catch_unwind(|| {
        let sink = MemorySink::new();
        let [start, _] = call();
        sink.emit(start);
        panic!("the test's own message");
    });
    let payload = panic.unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"the test's own message"));
}

#[test]
fn a_checked_sink_wants_what_its_inner_sink_wants() {
    assert_eq!(Checked::over(()).interest(), Interest::NONE);
    assert_eq!(Checked::over(|_: Event| ()).interest(), Interest::ALL);
}

#[test]
fn every_suite_uses_the_checked_memory_sink() {
    fn check_directory(directory: &Path) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                check_directory(&path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let paths = text.split("codex_telemetry::").skip(1);
                let mut paths = paths.map(|path| path.split(';').next().unwrap_or_default());
                let is_import = |path: &str| path.starts_with('{') && path.contains("MemorySink");
                assert!(
                    !paths.any(|path| path.starts_with("MemorySink") || is_import(path)),
                    "{}: use `crate::checked::MemorySink`, see tests/support/checked",
                    path.display()
                );
            }
        }
    }

    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for suite in fs::read_dir(tests).unwrap() {
        let suite = suite.unwrap().path();
        // A crate of its own cannot use it.
        let exempt = suite.ends_with("support") || suite.ends_with("downstream");
        if suite.is_dir() && !exempt {
            check_directory(&suite);
        }
    }
}

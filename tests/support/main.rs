//! The tests' own support can fail a test.

mod checked;

use std::{
    fs,
    future::{pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use checked::{Checked, Fault, MemorySink};
use codex_telemetry::{Call, CallContext, Event, Operation, Sink, TimingLayer};
use tokio_test::task::spawn;
use tower::{Layer, Service, service_fn};

/// The start and the end of a call.
fn call() -> [Event; 2] {
    calls(|_| ())
}

/// The events of a call within which `inner` makes others; `N` of them.
fn calls<const N: usize>(inner: impl FnOnce(&CallContext)) -> [Event; N] {
    let sink = codex_telemetry::MemorySink::new();
    let mut inner = Some(inner);
    let mut service = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<()>| {
        inner.take().expect("one call")(&call.context);
        ready(Ok::<_, ()>(()))
    }));
    let answer = service.call(Call::new(Operation::Turn, ()));
    assert!(spawn(answer).poll().is_ready());
    sink.take().try_into().expect("so many events")
}

/// The two events of a turn around the two of a tool.
fn nested() -> [Event; 4] {
    calls(|context| context.open_child(Operation::Tool, None, None).finish())
}

/// What a sink that expects `expected` and gets `events` says of them, when it fails its test.
fn verdict(expected: &[Fault], events: impl IntoIterator<Item = Event>) -> Result<(), String> {
    let sink = expected
        .iter()
        .fold(MemorySink::new(), |sink, fault| sink.expecting(*fault));
    events
        .into_iter()
        .for_each(|event| sink.clone().emit(event));
    catch_unwind(AssertUnwindSafe(move || drop(sink)))
        .map_err(|said| *said.downcast::<String>().expect("a panic says something"))
}

#[track_caller]
fn assert_fails(fault: Fault, events: impl IntoIterator<Item = Event> + Clone) {
    let said = verdict(&[], events.clone()).unwrap_err();
    assert!(said.contains(&format!("\n  {fault:?}: Event {{")), "{said}");
    assert_eq!(verdict(&[fault], events), Ok(()));
}

#[test]
fn calls_with_one_start_and_one_end_each_pass() {
    assert_eq!(verdict(&[], []), Ok(()));
    let [turn, tool, tool_end, turn_end] = nested();
    let [other, other_end] = call();
    let events = [other, turn, tool, other_end, tool_end, turn_end];
    assert_eq!(verdict(&[], events), Ok(()));
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
    let both = verdict(&[Fault::NoStart, Fault::Open], [end, start]);
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
fn a_call_that_ends_after_the_one_that_it_was_made_in_fails() {
    let [turn, tool, tool_end, turn_end] = nested();
    assert_fails(Fault::OutlivedParent, [turn, tool, turn_end, tool_end]);
}

#[test]
fn a_fault_that_was_expected_and_is_not_there_fails() {
    let said = verdict(&[Fault::Open], call()).unwrap_err();
    assert!(said.contains("{Open} was to be wrong, and is {}"), "{said}");
}

#[test]
fn a_call_that_leaks_fails() {
    let sink = MemorySink::new();
    let hangs = service_fn(|_: Call<()>| pending::<Result<(), ()>>());
    let mut service = TimingLayer::new(sink.clone()).layer(hangs);
    std::mem::forget(service.call(Call::new(Operation::Turn, ())));
    drop(service);
    assert!(catch_unwind(AssertUnwindSafe(move || drop(sink))).is_err());
}

#[test]
fn a_test_that_has_failed_says_why_itself() {
    let said = catch_unwind(|| {
        let sink = MemorySink::new();
        let [start, _] = call();
        sink.emit(start);
        panic!("the test's own reason");
    });
    let said = said.unwrap_err();
    assert_eq!(said.downcast_ref(), Some(&"the test's own reason"));
}

#[test]
fn a_checked_sink_is_as_much_on_as_the_one_within() {
    assert!(!Checked::over(()).enabled());
    assert!(Checked::over(|_: Event| ()).enabled());
}

#[test]
fn no_suite_uses_a_memory_sink_that_is_not_checked() {
    fn look(directory: &Path) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let ours = text.split("codex_telemetry::").skip(1);
                let mut uses = ours.map(|rest| rest.split(';').next().unwrap_or_default());
                let import = |names: &str| names.starts_with('{') && names.contains("MemorySink");
                assert!(
                    !uses.any(|names| names.starts_with("MemorySink") || import(names)),
                    "{}: use `crate::checked::MemorySink`, see tests/support/checked",
                    path.display()
                );
            }
        }
    }

    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for suite in fs::read_dir(tests).unwrap() {
        let suite = suite.unwrap().path();
        if suite.is_dir() && !suite.ends_with("support") {
            look(&suite);
        }
    }
}

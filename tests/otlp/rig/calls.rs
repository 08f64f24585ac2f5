use std::sync::{Arc, Mutex};

use codex_telemetry::{Call, Event, Operation, Sink, TimingLayer};
use futures_util::FutureExt as _;
use tower::{Layer as _, Service as _, service_fn};

use crate::checked::Checked;

/// Makes so many calls whose sink is `sink`, one after the other, without any runtime. Each has two
/// events, of which the second is a span.
pub(crate) fn calls(sink: impl Sink + 'static, count: usize) {
    let sink = Checked::over(Arc::new(sink));
    let mut service = TimingLayer::new(sink.clone()).layer(service_fn(
        async |call: Call<usize>| -> Result<usize, ()> { Ok(call.request) },
    ));
    for number in 0..count {
        let call = Call::new(Operation::Tool, number).with_name("t");
        let answer = service.call(call).now_or_never();
        assert_eq!(answer, Some(Ok(number)), "the call waited for something");
    }
}

/// Returns the events of so many calls, for a sink to be given later.
pub(crate) fn events(count: usize) -> Vec<Event> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&events);
    calls(move |event| taken.lock().unwrap().push(event), count);
    Arc::try_unwrap(events).map_or_else(
        |events| events.lock().unwrap().clone(),
        |events| events.into_inner().unwrap(),
    )
}

/// Hands the events of so many calls to a sink, also one that is off.
pub(crate) fn emit(sink: &impl Sink, count: usize) {
    for event in events(count) {
        sink.emit(event);
    }
}

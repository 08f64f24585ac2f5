use std::sync::{Arc, Mutex};

use codex_telemetry::{Call, Event, Operation, Sink, TimingLayer};
use futures_util::FutureExt as _;
use tower::{Layer as _, Service as _, service_fn};

use crate::checked::Checked;

/// Makes `count` calls one after the other, without a runtime. Each has two events, of which the second is
/// a span.
pub(crate) fn calls(sink: impl Sink + 'static, count: usize) {
    let sink = Checked::over(Arc::new(sink));
    let mut service = TimingLayer::new(sink.clone()).layer(service_fn(
        async |call: Call<usize>| -> Result<usize, ()> { Ok(call.request) },
    ));
    for number in 0..count {
        let call = Call::new(Operation::Tool, number).with_name("t");
        let response = service.call(call).now_or_never();
        assert_eq!(response, Some(Ok(number)), "the call is pending");
    }
}

/// Returns the events of `count` calls.
pub(crate) fn events(count: usize) -> Vec<Event> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&events);
    calls(move |event| recorded.lock().unwrap().push(event), count);
    Arc::try_unwrap(events).map_or_else(
        |events| events.lock().unwrap().clone(),
        |events| events.into_inner().unwrap(),
    )
}

/// Emits the events of `count` calls to a sink, even if it is disabled.
pub(crate) fn emit(sink: &impl Sink, count: usize) {
    for event in events(count) {
        sink.emit(event);
    }
}

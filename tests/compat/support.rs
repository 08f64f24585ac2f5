use std::time::Duration;

use codex_telemetry::{BoxError, Event, Operation, Timeline};

pub(crate) use crate::checked::MemorySink;

pub(crate) const WORK: Operation = Operation::Custom("work");

/// Far more than anything here takes, also on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Takes what `sink` holds, and returns the ends of the calls in order.
pub(crate) fn ended(sink: &MemorySink) -> Vec<Event> {
    let mut events = sink.take();
    events.retain(|event| event.kind().is_terminal());
    events
}

/// Takes the only call that `sink` holds, and returns its end.
#[track_caller]
pub(crate) fn only(sink: &MemorySink) -> Event {
    let mut events = ended(sink);
    assert_eq!(events.len(), 1, "\n{}", Timeline::new(&events));
    events.remove(0)
}

/// A tool's or an agent's work: twice what it is given, or the refusal of an odd number.
pub(crate) async fn double(number: u32) -> Result<u32, BoxError> {
    // So that the future is pending once.
    tokio::task::yield_now().await;
    if number % 2 == 1 {
        return Err("odd".into());
    }
    Ok(2 * number)
}

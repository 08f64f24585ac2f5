use std::time::Duration;

use codex_telemetry::{BoxError, Event, Operation, Timeline};

pub(crate) use crate::checked::MemorySink;

pub(crate) const WORK: Operation = Operation::Custom("work");

/// Far longer than anything here takes, even on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Takes the events out of `sink`, and returns the terminal ones.
pub(crate) fn ended(sink: &MemorySink) -> Vec<Event> {
    let mut events = sink.take();
    events.retain(|event| event.kind().is_terminal());
    events
}

/// Takes the only call out of `sink`, and returns its terminal event.
#[track_caller]
pub(crate) fn only(sink: &MemorySink) -> Event {
    let mut events = ended(sink);
    assert_eq!(events.len(), 1, "\n{}", Timeline::new(&events));
    events.remove(0)
}

/// Returns twice `number`, or an error if it is odd.
pub(crate) async fn double(number: u32) -> Result<u32, BoxError> {
    // Makes the future pending once.
    tokio::task::yield_now().await;
    if number % 2 == 1 {
        return Err("odd".into());
    }
    Ok(2 * number)
}

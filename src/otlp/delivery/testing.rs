//! Support for the tests of the pipelines.

use std::{rc::Rc, sync::Arc};

use futures_util::FutureExt as _;
use tower::{Layer as _, Service as _, service_fn};

use super::{Shared, pipeline::Pipeline};
use crate::{
    Call, Event, MemorySink, Operation, TimingLayer,
    otlp::{
        Signal,
        config::Limits,
        export::{ExportOutcome, Problem},
    },
};

pub(super) const ACCEPTED: ExportOutcome = ExportOutcome::Accepted {
    rejected: 0,
    problem: None,
};

/// Returns the terminal events of calls.
pub(super) fn ends(count: usize) -> Vec<Event> {
    let sink = MemorySink::new();
    let mut service = TimingLayer::new(sink.clone())
        .layer(service_fn(async |_: Call<()>| -> Result<(), ()> { Ok(()) }));
    for _ in 0..count {
        let call = Call::new(Operation::Tool, ());
        assert_eq!(service.call(call).now_or_never(), Some(Ok(())));
    }
    let ends = sink.take().into_iter();
    ends.filter(|event| event.kind().is_terminal()).collect()
}

/// Returns a pipeline whose queue has accepted some events, and which has them.
pub(super) fn pipeline(signal: Signal, limits: Limits, events: &[Event]) -> Rc<Pipeline> {
    let shared = Arc::new(Shared::new(limits, |_| Some("the receiver".to_owned())));
    let pipeline = Pipeline::new(signal, &shared, limits);
    emit(&pipeline, events);
    pipeline
}

/// Lets a pipeline have further events.
pub(super) fn emit(pipeline: &Pipeline, events: &[Event]) {
    for event in events {
        pipeline.shared.queue.push(event.clone());
        match pipeline.signal() {
            Signal::Metrics => pipeline.receive(),
            Signal::Traces | Signal::Logs => pipeline.push(event.clone()),
        }
    }
    pipeline.wake(true);
}

pub(super) fn problem(error_type: &'static str) -> Problem {
    Problem {
        text: format!("the receiver: {error_type}"),
        error_type: error_type.into(),
    }
}

pub(super) fn retryable(error_type: &'static str) -> ExportOutcome {
    ExportOutcome::Retryable {
        problem: problem(error_type),
        retry_after: None,
    }
}

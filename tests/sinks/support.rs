//! The calls that the sinks are shown.

use std::{
    future::{Ready, pending, ready},
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use codex_telemetry::{
    Call, CallContext, Clock, Event, ManualClock, Operation, Outcome, Sink, TimingLayer,
};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::checked::Checked;
#[cfg(feature = "tracing")]
use crate::checked::Fault;

/// A traceparent, and the two ids in it.
pub(crate) const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// 2026-01-02T03:04:05.678901Z.
pub(crate) fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(1_767_323_045_678_901)
}

/// Calls of one sink, under a clock that the test moves.
pub(crate) struct Stage {
    layer: TimingLayer,
    pub(crate) manual: ManualClock,
    _checked: Checked<Arc<dyn Sink>>,
}

impl Stage {
    pub(crate) fn new(sink: impl Sink + 'static) -> Self {
        let checked = Checked::over(Arc::new(sink) as Arc<dyn Sink>);
        let (clock, manual) = Clock::manual(start());
        Self {
            layer: TimingLayer::with_clock(checked.clone(), clock),
            manual,
            _checked: checked,
        }
    }

    /// Says what will be wrong with a call, because the test wants it so.
    #[cfg(feature = "tracing")]
    pub(crate) fn expecting(mut self, fault: Fault) -> Self {
        self._checked = self._checked.expecting(fault);
        self
    }

    /// Makes a call that ends by `outcome` after its service has done `work` with its context.
    pub(crate) fn call(
        &self,
        request: Call<()>,
        outcome: Outcome,
        work: impl FnOnce(&CallContext),
    ) {
        let mut work = Some(work);
        let mut service = self.layer.layer(service_fn(|call: Call<()>| {
            if let Some(work) = work.take() {
                work(&call.context);
            }
            async move {
                match outcome {
                    Outcome::Ok => Ok(()),
                    Outcome::Error => Err(()),
                    Outcome::Cancelled => pending().await,
                    Outcome::Panic => panic!("as the test wants"),
                }
            }
        }));
        let mut answer = tokio_test::task::spawn(service.call(request));
        let unwinding = std::panic::AssertUnwindSafe(|| answer.poll());
        let done = match std::panic::catch_unwind(unwinding) {
            Ok(Poll::Ready(Ok(()))) => Outcome::Ok,
            Ok(Poll::Ready(Err(()))) => Outcome::Error,
            Ok(Poll::Pending) => Outcome::Cancelled,
            Err(_) => Outcome::Panic,
        };
        assert_eq!(done, outcome);
    }

    /// Makes a turn that ends by `outcome` at once.
    pub(crate) fn turn(&self, outcome: Outcome) {
        self.call(turn(), outcome, |_| ());
    }
}

pub(crate) fn turn() -> Call<()> {
    Call::new(Operation::Turn, ())
}

/// Makes a call through `layer` that answers at once.
pub(crate) fn answer(layer: &TimingLayer) {
    let service = layer.layer(service_fn(|_: Call<()>| -> Ready<Result<(), ()>> {
        ready(Ok(()))
    }));
    let mut answer = tokio_test::task::spawn(service.oneshot(turn()));
    assert!(answer.poll().is_ready());
}

/// The names of events, in their order.
pub(crate) fn names(events: &[Event]) -> Vec<String> {
    events.iter().map(|e| e.name().into_owned()).collect()
}

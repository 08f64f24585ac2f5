//! Calls that end in a chosen way.

use std::{
    future::{Ready, pending, ready},
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use codex_telemetry::{
    Call, CallContext, CallGuard, Clock, Event, ManualClock, Operation, Outcome, Sink, TimingLayer,
};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::checked::{Checked, Fault};

/// A sampled traceparent.
pub(crate) const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// 2026-01-02T03:04:05.678901Z.
pub(crate) fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(1_767_323_045_678_901)
}

/// Makes calls that emit to one sink, with a manual clock.
pub(crate) struct Harness {
    layer: TimingLayer,
    pub(crate) manual: ManualClock,
    /// Checks the calls when it is dropped.
    _checked: Checked<Arc<dyn Sink>>,
}

impl Harness {
    pub(crate) fn new(sink: impl Sink + 'static) -> Self {
        Self::starting_at(start(), sink)
    }

    pub(crate) fn starting_at(start: SystemTime, sink: impl Sink + 'static) -> Self {
        let checked = Checked::over(Arc::new(sink) as Arc<dyn Sink>);
        let (clock, manual) = Clock::manual(start);
        Self {
            layer: TimingLayer::with_clock(checked.clone(), clock),
            manual,
            _checked: checked,
        }
    }

    /// Expects a fault, which the test causes on purpose.
    pub(crate) fn expecting(mut self, fault: Fault) -> Self {
        self._checked = self._checked.expecting(fault);
        self
    }

    /// Makes a call that runs `work` and then ends with `outcome`.
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
                    Outcome::Panic => panic!("on purpose"),
                }
            }
        }));
        let mut response = tokio_test::task::spawn(service.call(request));
        let unwinding = std::panic::AssertUnwindSafe(|| response.poll());
        let actual = match std::panic::catch_unwind(unwinding) {
            Ok(Poll::Ready(Ok(()))) => Outcome::Ok,
            Ok(Poll::Ready(Err(()))) => Outcome::Error,
            Ok(Poll::Pending) => Outcome::Cancelled,
            Err(_) => Outcome::Panic,
        };
        assert_eq!(actual, outcome);
    }

    /// Makes a call that stays open until the guard ends it.
    pub(crate) fn open(&self, request: Call<()>) -> CallGuard {
        let mut guard = None;
        self.call(request, Outcome::Ok, |context| {
            guard = Some(context.keep_open());
        });
        guard.expect("the service has run")
    }

    /// Makes a turn that ends with `outcome`.
    pub(crate) fn turn(&self, outcome: Outcome) {
        self.call(turn(), outcome, |_| ());
    }
}

pub(crate) fn turn() -> Call<()> {
    Call::new(Operation::Turn, ())
}

/// Makes a successful call through `layer`.
pub(crate) fn call_through(layer: &TimingLayer) {
    let service = layer.layer(service_fn(|_: Call<()>| -> Ready<Result<(), ()>> {
        ready(Ok(()))
    }));
    let mut response = tokio_test::task::spawn(service.oneshot(turn()));
    assert!(response.poll().is_ready());
}

/// Returns the names of events, in order.
pub(crate) fn names(events: &[Event]) -> Vec<String> {
    events.iter().map(|e| e.name().into_owned()).collect()
}

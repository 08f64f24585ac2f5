//! A flush and a shutdown that do not block the executor.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Waker},
};

use codex_telemetry::otlp::{OtlpSink, Signal, Undelivered};
use tokio::runtime::Builder;

use crate::rig::{Gate, Gated, PATIENCE, block_on, calls, spans_only};

/// Runs a future on some executor.
type Run<'a> = &'a dyn Fn(Pin<&mut dyn Future<Output = ()>>);

/// Returns a sink with a pending span, whose export waits for the gate.
fn waiting(gate: &Gate) -> OtlpSink {
    let sink = spans_only(|config| config)
        .span_exporter(Gated::waiting(gate))
        .start();
    calls(sink.clone(), 1);
    sink
}

/// Awaits a request on the only thread that opens the gate.
async fn deliver(gate: Gate, request: impl Future<Output = Result<(), Undelivered>>) {
    let open = async {
        // Blocks this thread until the export has begun.
        gate.wait_for_export();
        gate.open();
    };
    let (delivered, ()) = futures_util::join!(request, open);
    assert_eq!(delivered, Ok(()));
}

#[test]
fn an_async_flush_and_an_async_shutdown_do_not_block_any_executor() {
    let tokio = Builder::new_current_thread().build().unwrap();
    let executors: [Run<'_>; 2] = [&|future| block_on(future), &|future| tokio.block_on(future)];
    for run in executors {
        let gate = Gate::closed();
        let sink = waiting(&gate);
        run(pin!(deliver(gate, sink.flush(PATIENCE))));
        let gate = Gate::closed();
        let sink = waiting(&gate);
        run(pin!(deliver(gate, sink.shutdown(PATIENCE))));
        assert_eq!(sink.stats().traces.exported, 1);
    }
}

#[test]
fn an_async_shutdown_goes_on_when_its_future_is_dropped() {
    let gate = Gate::closed();
    let sink = waiting(&gate);
    {
        let mut shutdown = pin!(sink.shutdown(PATIENCE));
        let mut context = Context::from_waker(Waker::noop());
        assert!(shutdown.as_mut().poll(&mut context).is_pending());
        gate.wait_for_export();
    }
    gate.open();
    assert_eq!(block_on(sink.shutdown(PATIENCE)), Ok(()));
    assert_eq!(sink.stats().traces.exported, 1);
}

#[test]
fn an_async_flush_reports_what_is_pending_at_its_deadline() {
    let gate = Gate::closed();
    let sink = waiting(&gate);
    let flush = sink.flush(std::time::Duration::from_millis(100));
    let undelivered = block_on(flush).unwrap_err();
    assert_eq!(undelivered.pending(Signal::Traces), 1, "{undelivered}");
    gate.open();
}

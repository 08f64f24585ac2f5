//! A flush and a shutdown that do not block the executor.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Waker},
    thread,
    time::Duration,
};

use codex_telemetry::otlp::{OtlpSink, Signal, Undelivered};
use futures_util::future::join_all;
use tokio::runtime::Builder;

use crate::{
    receiver::{MockResponse, Receiver},
    rig::{Gate, Gated, PATIENCE, Wire, block_on, calls, only, spans_only},
};

const SOON: Duration = Duration::from_millis(100);

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
    let flush = sink.flush(SOON);
    let undelivered = block_on(flush).unwrap_err();
    assert_eq!(undelivered.pending(Signal::Traces), 1, "{undelivered}");
    gate.open();
}

#[test]
fn an_async_flush_ends_at_its_deadline_while_an_exporter_blocks_the_export_thread() {
    let gate = Gate::closed();
    let sink = spans_only(|config| config.batch_size(1))
        .span_exporter(Gated::blocking(&gate))
        .start();
    calls(sink.clone(), 1);
    gate.wait_for_export();
    for _ in 0..3 {
        let undelivered = block_on(sink.flush(SOON)).unwrap_err();
        assert_eq!(undelivered.pending(Signal::Traces), 1, "{undelivered}");
        assert!(undelivered.to_string().contains("did not respond in time"));
    }
    gate.open();
}

#[cfg(target_os = "linux")]
#[test]
fn a_thousand_async_flushes_at_once_do_not_start_a_thread_each() {
    let gate = Gate::closed();
    let sink = waiting(&gate);
    let flushes = join_all((0..1000).map(|_| sink.flush(PATIENCE)));
    let threads = async {
        gate.wait_for_export();
        let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
        gate.open();
        threads
    };
    let (delivered, threads) = block_on(async { futures_util::join!(flushes, threads) });
    assert!(delivered.iter().all(Result::is_ok));
    // Those of other tests are among them.
    assert!(threads < 500, "{threads} threads");
}

#[test]
fn a_shutdown_reports_the_failures_of_a_flush_that_was_dropped() {
    let receiver = Receiver::http();
    receiver.respond_with(MockResponse::Status(400));
    let config = Wire::Http.config(&receiver.endpoint());
    let sink = only(Signal::Traces, config);
    calls(sink.clone(), 3);
    {
        let mut flush = pin!(sink.flush(PATIENCE));
        let mut context = Context::from_waker(Waker::noop());
        assert!(flush.as_mut().poll(&mut context).is_pending());
    }
    while sink.stats().traces.failed < 3 {
        thread::yield_now();
    }
    let undelivered = block_on(sink.shutdown(PATIENCE)).unwrap_err();
    assert_eq!(undelivered.failed(Signal::Traces), 3, "{undelivered}");
}

//! The throughput of several threads with one sink, and of the export thread.
//!
//! ```sh
//! cargo bench --bench scaling
//! ```
//!
//! "Callers" measures the callers alone: the queue has room for a round, and the export thread sleeps
//! until the round is over. There are no more threads than cores. "Sustained" measures both sides: when
//! the queue is half full, the callers wait for the export thread, so no event is dropped.

#[path = "support/counting.rs"]
mod counting;
#[path = "support/report.rs"]
mod report;
#[path = "support/stack.rs"]
mod stack;

use std::{
    convert::Infallible,
    future::ready,
    hint::black_box,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use codex_telemetry::{Call, MemorySink, Operation, OtlpSink, Sink};
use tower::{Service, service_fn};

use crate::{
    counting::otlp_sink,
    report::{Report, is_smoke, quartiles},
    stack::drive,
};

const QUEUE: usize = 1 << 18;
/// Half of the share of the queue that one of two threads has.
const MAX_PENDING: u64 = 1 << 16;
/// Much longer than an export takes.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longer than the benchmark: the export thread sleeps until a flush.
const NO_EXPORT: Duration = Duration::from_secs(3600);

fn main() {
    let mut report = Report::new("scaling", "Threads and one sink");
    let cores = thread::available_parallelism().map_or(2, usize::from);
    let counts = [1, 2, 4, 8].into_iter().filter(|n| *n <= cores.max(2));
    let otlp: Vec<_> = counts.map(|count| callers(&mut report, count)).collect();
    let name = "OTLP sink, two threads over one";
    report.row(name, otlp[1] / otlp[0], "×");
    for count in [1, 2] {
        sustained(&mut report, count);
    }
    report.write();
}

/// Measures the calls per second of `count` threads in total; returns the rate of the OTLP sink.
fn callers(report: &mut Report, count: usize) -> f64 {
    let threads = threads(count);
    let memory = MemorySink::new();
    let rate = rounds(|calls| {
        let time = on_threads(count, &memory, calls);
        drop(memory.take());
        time
    });
    report.cell(
        "memory sink, callers",
        &threads,
        rate * count as f64,
        "calls/s",
    );

    let otlp = sink(NO_EXPORT, QUEUE);
    let rate = rounds(|calls| {
        let time = on_threads(count, &otlp, calls);
        otlp.blocking_flush(TIMEOUT).expect("the flush succeeds");
        time
    });
    assert_eq!(
        otlp.stats().logs.dropped,
        0,
        "the queue has room for a round"
    );
    let rate = rate * count as f64;
    report.cell("OTLP sink, callers", &threads, rate, "calls/s");
    rate
}

/// Returns the median of the calls per second of one thread.
fn rounds(mut round: impl FnMut(usize) -> Duration) -> f64 {
    let (rounds, calls) = if is_smoke() { (1, 100) } else { (201, 4_000) };
    let mut rates: Vec<_> = (0..rounds)
        .map(|_| calls as f64 / round(calls).as_secs_f64())
        .collect();
    quartiles(&mut rates)[1]
}

/// Returns the time in which `count` threads that start together make `calls` calls each.
fn on_threads<S>(count: usize, sink: &S, calls: usize) -> Duration
where
    S: Sink + Clone + 'static,
{
    let barrier = Barrier::new(count + 1);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..count)
            .map(|_| {
                // Like tasks or connections, the threads share only the sink, not the stack.
                let mut service = three_layers(sink.clone());
                let barrier = &barrier;
                scope.spawn(move || {
                    let requests: Vec<_> = (0..calls).map(request).collect();
                    barrier.wait();
                    for request in requests {
                        drive(&mut service, black_box(request));
                    }
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        for worker in workers {
            worker.join().expect("no panic");
        }
        start.elapsed()
    })
}

/// Measures the calls per second from the first call to the export of the last record.
fn sustained(report: &mut Report, count: usize) {
    let (rounds, calls) = if is_smoke() { (1, 1000) } else { (7, 500_000) };
    let mut rates: Vec<_> = (0..rounds)
        .map(|_| {
            let sink = sink(Duration::from_millis(5), 512);
            let start = Instant::now();
            thread::scope(|scope| {
                for _ in 0..count {
                    let mut service = three_layers(sink.clone());
                    let sink = &sink;
                    scope.spawn(move || {
                        for number in 0..calls / count {
                            drive(&mut service, black_box(request(number)));
                            if number % 1024 == 0 {
                                while sink.stats().logs.pending > MAX_PENDING {
                                    thread::sleep(Duration::from_micros(200));
                                }
                            }
                        }
                    });
                }
            });
            sink.blocking_flush(TIMEOUT).expect("the flush succeeds");
            let time = start.elapsed();
            assert_eq!(
                sink.stats().logs.dropped,
                0,
                "the callers wait for the queue"
            );
            calls as f64 / time.as_secs_f64()
        })
        .collect();
    let rate = quartiles(&mut rates)[1];
    let threads = threads(count);
    report.cell("OTLP sink, sustained", &threads, rate, "calls/s");
}

fn sink(delay: Duration, batch: usize) -> OtlpSink {
    let (sink, _) = otlp_sink(|config| {
        config
            .queue_capacity(QUEUE)
            .batch_size(batch)
            .schedule_delay(delay)
    });
    sink
}

fn three_layers(sink: impl Sink + 'static) -> impl Service<Call<usize>> {
    let service = service_fn(|call: Call<usize>| ready(Ok::<_, Infallible>(call.request)));
    stack::three_layers(sink, service)
}

fn request(number: usize) -> Call<usize> {
    Call::new(Operation::Turn, number)
}

fn threads(count: usize) -> String {
    match count {
        1 => "one thread".to_owned(),
        more => format!("{more} threads"),
    }
}

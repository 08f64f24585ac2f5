//! How calls of several threads get on with one sink, and how many a second one export thread takes.
//!
//! ```sh
//! cargo bench --bench scaling
//! ```
//!
//! The first table is of the callers' side alone: the rounds are small enough for the queue, and the
//! export thread sleeps until they are over. Threads beyond the machine's cores only take turns. The
//! second is of both sides: calls come until the export thread is behind by half a queue, then wait for
//! it, so nothing is dropped.

#[path = "support/counting.rs"]
mod counting;
#[path = "support/report.rs"]
mod report;

use std::{
    convert::Infallible,
    hint::black_box,
    pin::pin,
    sync::Barrier,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use codex_telemetry::{
    Call, ErrorClass, ErrorClassLayer, MemorySink, Operation, Originator, OriginatorLayer,
    OtlpSink, Sink, TimingLayer, otlp::OtlpConfig,
};
use tower::{Service, ServiceBuilder, service_fn};

use crate::{
    counting::Counting,
    report::{Report, is_smoke, quartiles},
};

const QUEUE: usize = 1 << 18;
/// Half of a thread's share of the queue, where there are two.
const BEHIND: u64 = 1 << 16;
/// Far longer than an export takes.
const PATIENCE: Duration = Duration::from_secs(60);
const AN_HOUR: Duration = Duration::from_secs(3600);

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

/// Calls a second that `count` threads make in all; returns those into the OTLP sink.
fn callers(report: &mut Report, count: usize) -> f64 {
    let threads = threads(count);
    let memory = MemorySink::new();
    let rate = rounds(|calls| {
        let spent = on_threads(count, &memory, calls);
        drop(memory.take());
        spent
    });
    report.cell(
        "memory sink, callers",
        &threads,
        rate * count as f64,
        "calls/s",
    );

    let otlp = sink(AN_HOUR, QUEUE);
    let rate = rounds(|calls| {
        let spent = on_threads(count, &otlp, calls);
        otlp.flush(PATIENCE).expect("a flush");
        spent
    });
    assert_eq!(otlp.stats().logs.dropped, 0, "a round fits the queue");
    let rate = rate * count as f64;
    report.cell("OTLP sink, callers", &threads, rate, "calls/s");
    rate
}

/// The median of the calls a second that one thread makes.
fn rounds(mut round: impl FnMut(usize) -> Duration) -> f64 {
    let (rounds, calls) = if is_smoke() { (1, 100) } else { (41, 20_000) };
    let mut rates: Vec<_> = (0..rounds)
        .map(|_| calls as f64 / round(calls).as_secs_f64())
        .collect();
    quartiles(&mut rates)[1]
}

/// How long it takes `count` threads that begin together to make `calls` each.
fn on_threads<S>(count: usize, sink: &S, calls: usize) -> Duration
where
    S: Sink + Clone + 'static,
{
    let begin = Barrier::new(count + 1);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..count)
            .map(|_| {
                // A stack of its own, as each connection or task has: they share the sink alone.
                let mut service = three_layers(sink.clone());
                let begin = &begin;
                scope.spawn(move || {
                    let requests: Vec<_> = (0..calls).map(request).collect();
                    begin.wait();
                    for request in requests {
                        drive(&mut service, black_box(request));
                    }
                })
            })
            .collect();
        begin.wait();
        let start = Instant::now();
        for worker in workers {
            worker.join().expect("a worker");
        }
        start.elapsed()
    })
}

/// Calls a second from the first call to the last record's export.
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
                                while sink.stats().logs.pending() > BEHIND {
                                    thread::sleep(Duration::from_micros(200));
                                }
                            }
                        }
                    });
                }
            });
            sink.flush(PATIENCE).expect("a flush");
            let spent = start.elapsed();
            assert_eq!(sink.stats().logs.dropped, 0, "callers wait for the queue");
            calls as f64 / spent.as_secs_f64()
        })
        .collect();
    let rate = quartiles(&mut rates)[1];
    let threads = threads(count);
    report.cell("OTLP sink, sustained", &threads, rate, "calls/s");
}

/// All three signals, to exporters that count.
fn sink(delay: Duration, batch: usize) -> OtlpSink {
    let config = OtlpConfig::builder()
        .queue_capacity(QUEUE)
        .batch_size(batch)
        .schedule_delay(delay)
        .build()
        .expect("a configuration");
    let exporter = Counting::default();
    OtlpSink::builder(config)
        .span_exporter(exporter.clone())
        .log_exporter(exporter.clone())
        .metric_exporter(exporter)
        .start()
}

fn three_layers(
    sink: impl Sink + 'static,
) -> impl Service<Call<usize>, Response = usize, Error = Infallible> {
    ServiceBuilder::new()
        .layer(OriginatorLayer::new(Originator::Sdk))
        .layer(TimingLayer::new(sink))
        .layer(ErrorClassLayer::new(|_: &Infallible| ErrorClass::Other))
        .service(service_fn(|call: Call<usize>| {
            std::future::ready(Ok(call.request))
        }))
}

fn request(number: usize) -> Call<usize> {
    Call::new(Operation::Turn, number)
}

fn drive<S>(service: &mut S, call: Call<usize>)
where
    S: Service<Call<usize>, Response = usize, Error = Infallible>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    match pin!(service.call(call)).poll(&mut cx) {
        Poll::Ready(Ok(answer)) => {
            black_box(answer);
        }
        Poll::Ready(Err(never)) => match never {},
        Poll::Pending => unreachable!("the service is ready"),
    }
}

fn threads(count: usize) -> String {
    match count {
        1 => "one thread".to_owned(),
        more => format!("{more} threads"),
    }
}

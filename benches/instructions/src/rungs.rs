//! The rungs: a number of calls through three layers each, of which callgrind counts the instructions.

use std::{
    hint::black_box,
    io, process,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use codex_telemetry::{
    Call, Clock, ErrorClassLayer, JsonLinesSink, MemorySink, Operation, Originator,
    OriginatorLayer, OtlpSink, Sink, TimingLayer,
};
use tower::{Service, ServiceBuilder};

use crate::{
    counting::otlp_sink,
    discard::{Discard, EndsOnly},
    services::{Bare, Failing, Failure, Recording, UsingTool, tool_call},
    stack::{classify, drive},
};

/// The number of counted calls. What few calls do, as growing a buffer, is shared by many.
pub(crate) const CALLS: u32 = 2_000;

/// Calls before the counted ones, for what a thread does once.
const WARM_UP: u32 = 2_000;

/// Much longer than an export takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A rung, and the function that makes its calls.
pub(crate) struct Rung {
    pub(crate) name: &'static str,
    run: fn(),
}

pub(crate) const RUNGS: &[Rung] = &[
    Rung {
        name: "three layers, sink off",
        run: || count(three_layers((), Bare), turn, || ()),
    },
    Rung {
        name: "three layers, discarding sink",
        run: || count(three_layers(Discard, Bare), turn, || ()),
    },
    Rung {
        name: "three layers, discarding sink, three attributes",
        run: || count(three_layers(Discard, Recording), turn, || ()),
    },
    Rung {
        name: "three layers, discarding sink, failing",
        run: || count(three_layers(Discard, Failing), turn, || ()),
    },
    Rung {
        name: "three layers, discarding sink, a tool call",
        run: || count(three_layers(Discard, UsingTool), tool_call, || ()),
    },
    Rung {
        name: "three layers, sink for ends only",
        run: || count(three_layers(EndsOnly, Bare), turn, || ()),
    },
    Rung {
        name: "three layers, memory sink",
        run: || {
            let sink = MemorySink::new();
            count(three_layers(sink.clone(), Bare), turn, || {
                drop(sink.take());
            });
        },
    },
    Rung {
        name: "three layers, JSON lines to a null writer",
        run: || {
            let lines = Arc::new(JsonLinesSink::new(io::sink()));
            count(three_layers(lines, Bare), turn, || ());
        },
    },
    Rung {
        name: "three layers, OTLP, export thread asleep",
        run: || {
            let sink = asleep();
            let flushed = sink.clone();
            // As in an application, the export thread has given back what the calls before have used.
            count(three_layers(sink, Bare), turn, move || {
                flushed.blocking_flush(TIMEOUT).expect("the flush succeeds");
            });
        },
    },
];

// === impl Rung ===

impl Rung {
    /// Makes the calls and ends the process, without waiting for an export.
    pub(crate) fn run(&self) -> ! {
        (self.run)();
        process::exit(0)
    }
}

/// Three layers with a clock that stands still: how the clock is read depends on the machine, and how often it is
/// adjusted depends on the time.
fn three_layers<S>(
    sink: impl Sink + 'static,
    service: S,
) -> impl Service<Call<u64>, Response = u64, Error = Failure>
where
    S: Service<Call<u64>, Response = u64, Error = Failure>,
{
    let (clock, _) = Clock::manual(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    ServiceBuilder::new()
        .layer(OriginatorLayer::new(Originator::Sdk))
        .layer(TimingLayer::with_clock(sink, clock))
        .layer(ErrorClassLayer::new(classify::<Failure>))
        .service(service)
}

/// Returns a sink with room for all events, and an export thread that sleeps until a flush.
fn asleep() -> OtlpSink {
    let (sink, _) = otlp_sink(|config| {
        config
            .queue_capacity(1 << 16)
            .batch_size(1 << 16)
            .schedule_delay(Duration::from_secs(3600))
    });
    sink
}

fn turn() -> Call<u64> {
    Call::new(Operation::Turn, 7)
}

/// Makes the calls of a rung: first those that do not count, then `empty`, then those that count.
fn count<S: Service<Call<u64>>>(mut service: S, request: fn() -> Call<u64>, empty: impl FnOnce()) {
    let mut requests: Vec<_> = (0..WARM_UP).map(|_| request()).collect();
    uncounted(&mut service, &mut requests);
    empty();
    requests.extend((0..CALLS).map(|_| request()));
    counted_calls(&mut service, &mut requests);
}

fn uncounted<S: Service<Call<u64>>>(service: &mut S, requests: &mut Vec<Call<u64>>) {
    for request in requests.drain(..) {
        drive(service, black_box(request));
    }
}

/// Callgrind counts what happens in here, which it finds by the name.
#[inline(never)]
fn counted_calls<S: Service<Call<u64>>>(service: &mut S, requests: &mut Vec<Call<u64>>) {
    for request in requests.drain(..) {
        drive(service, black_box(request));
    }
}

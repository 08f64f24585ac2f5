//! The time that the layers add to a call: a ladder from the bare service to three layers with each sink.
//!
//! ```sh
//! cargo bench --bench overhead
//! ```
//!
//! One thread makes the calls in bursts, without a runtime. The measured time does not include building
//! requests and emptying a sink after a burst. `scripts/overhead` runs it several times. Compare the rungs of one run with each other; the absolute
//! times depend on the machine.

#[path = "../support/counting.rs"]
mod counting;
#[path = "../support/discard.rs"]
mod discard;
mod ladder;
mod services;
mod sinks;
#[path = "../support/stack.rs"]
mod stack;
mod stacked;

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use codex_telemetry::{
    ActiveCalls, ErrorClassLayer, JsonLinesSink, Originator, OriginatorLayer, TimingLayer,
};
use criterion::{Criterion, SamplingMode};
use tower::Layer;

use crate::{
    discard::{Discard, EndsOnly},
    ladder::Ladder,
    services::{Bare, UsingTool, tool_call},
    sinks::{memory, otlp, otlp_full},
    stack::{classify, three_layers},
};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .sample_size(20)
        .nresamples(2_000)
        .configure_from_args();
    let mut group = criterion.benchmark_group("overhead");
    // All samples have the same number of calls, and so bursts of full length.
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function("floor: two clock reads", |bencher| {
        bencher.iter(|| black_box(black_box(Instant::now()).elapsed()));
    });
    // What a call pays for a record of its own, if its thread keeps none.
    group.bench_function("floor: one allocation of 208 bytes", |bencher| {
        bencher.iter(|| black_box(Arc::new(black_box([0_u64; 24]))));
    });
    let count = AtomicUsize::new(0);
    group.bench_function("floor: one atomic count", |bencher| {
        bencher.iter(|| black_box(&count).fetch_add(1, Relaxed));
    });

    let mut ladder = Ladder::new(group);
    ladder.rung("bare service", Bare, || ());
    let alone = OriginatorLayer::new(Originator::Sdk);
    ladder.rung("originator alone", alone.layer(Bare), || ());
    let alone = TimingLayer::new(());
    ladder.rung("timing alone, sink off", alone.layer(Bare), || ());
    let alone = ErrorClassLayer::new(classify::<services::Failure>);
    ladder.rung("error class alone", alone.layer(Bare), || ());
    ladder.rung("three layers, sink off", three_layers((), Bare), || ());
    ladder.outcomes("discarding sink", Discard, || ());
    let tool = three_layers(Discard, UsingTool);
    let name = "three layers, discarding sink, a tool call";
    ladder.rung_of(name, tool, tool_call, || ());
    let ends = three_layers(EndsOnly, Bare);
    ladder.rung("three layers, sink for ends only", ends, || ());
    let (sink, empty) = memory();
    ladder.outcomes("memory sink", sink, empty);
    let lines = Arc::new(JsonLinesSink::new(std::io::sink()));
    ladder.outcomes("JSON lines to a null writer", lines, || ());
    let active = three_layers(ActiveCalls::new(), Bare);
    ladder.rung("three layers, active calls", active, || ());
    let (sink, empty) = otlp();
    ladder.outcomes("OTLP", sink, empty);
    let full = three_layers(otlp_full(), Bare);
    ladder.rung("three layers, OTLP, queue full", full, || ());
    stacked::rungs(&mut ladder);

    drop(ladder);
    criterion.final_summary();
}

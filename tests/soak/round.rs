//! One round: starts all calls, opens the gates, and checks the result.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use codex_telemetry::{
    Call, FanOut, Operation, OtlpConfig, OtlpSink, ServiceBuilderExt,
    otlp::{Signal, Stats},
};
use fastrand::Rng;
use tokio::runtime;
use tower::{ServiceBuilder, ServiceExt};

use crate::{
    calls::{Caller, Calls, Gate},
    chaos::Chaos,
    checked::Checked,
    counter::{Counts, EventCounter, Outcomes},
    real_turns::{Kind, RealTurns},
    receiver::{Number, Point, Receiver},
    report::{Report, Totals},
    resources::{self, Peak, TIMEOUT, until},
    tools,
    turns::{self, ProcessGate},
};

/// The histogram for each operation.
const DURATIONS: [(&str, &str); 3] = [
    ("codex.turn", "gen_ai.invoke_agent.duration"),
    ("codex.tool", "gen_ai.execute_tool.duration"),
    ("soak.work", "codex.call.duration"),
];

pub(crate) struct Load {
    tools: usize,
    turns: usize,
    work: usize,
    /// The queue capacity of the OTLP sink.
    queue: usize,
    real_turns: RealTurns,
}

// === impl Load ===

impl Load {
    /// Returns a small load that uses every kind of call.
    pub(crate) fn small() -> Self {
        Self {
            tools: 100,
            turns: 20,
            work: 10,
            queue: 1 << 18,
            real_turns: RealTurns::default(),
        }
    }

    pub(crate) fn full(queue: usize, real_turns: RealTurns) -> Self {
        Self {
            tools: 10_000,
            turns: 200,
            work: 100,
            queue,
            real_turns,
        }
    }

    /// Returns the number of calls that start at once.
    fn calls(&self) -> usize {
        self.tools + self.turns + self.work
    }

    fn has_room_for_all(&self) -> bool {
        self.queue > 4 * self.calls()
    }
}

pub(crate) fn run(load: &Load, rng: &mut Rng) -> Report {
    let started = Instant::now();
    let receiver = Arc::new(Receiver::http());
    let otlp = OtlpSink::start(config(&receiver, load));
    let counter = EventCounter::default();
    let sinks = FanOut::new().with(counter.clone()).with(otlp.clone());
    let sink = Checked::over(Arc::new(sinks));
    let chaos = Chaos::start(&receiver, rng.fork());

    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let mut peak = Peak::default();
    let (mut seen, real_turns) = runtime.block_on(peak.during(make_calls(load, &sink, rng)));
    chaos.stop();
    runtime.block_on(last_call(&sink, &mut seen));
    runtime.block_on(until("no task is left", || {
        runtime.metrics().num_alive_tasks() == 0
    }));
    drop(runtime);

    let shutdown = otlp.blocking_shutdown(TIMEOUT);
    let pending = |signal| match &shutdown {
        Ok(()) => 0,
        Err(error) => error.pending(signal),
    };
    assert_eq!(Signal::ALL.map(pending), [0, 0, 0], "{shutdown:?}");
    let (counts, stats) = (counter.counts(), otlp.stats());
    assert_eq!(counts.starts, counts.ends());
    assert_eq!(counts.roots, seen);
    check_stats(&counts, &stats, load);
    check_received(&receiver, &stats);
    check_gauge(&receiver, &counts);
    if load.has_room_for_all() {
        check_durations(&receiver, &counts);
    }
    let totals = Totals {
        loads: 1,
        starts: counts.starts,
        ends: counts.ends(),
        seen,
        real_turns,
        peak,
    };
    Report {
        totals,
        stats,
        took: started.elapsed(),
    }
}

fn config(receiver: &Receiver, load: &Load) -> OtlpConfig {
    OtlpConfig::builder()
        .endpoint(&receiver.endpoint())
        .timeout(Duration::from_millis(500))
        .queue_capacity(load.queue)
        .schedule_delay(Duration::from_millis(5))
        .metric_interval(Duration::from_millis(20))
        .build()
        .unwrap()
}

/// Makes all calls at once, and real turns while they end. Returns the outcomes that the callers see, and
/// the real turns.
async fn make_calls(
    load: &Load,
    sink: &Checked<Arc<FanOut>>,
    rng: &mut Rng,
) -> (Outcomes, BTreeMap<Kind, u64>) {
    let (gate, processes) = (Gate::closed(), ProcessGate::closed());
    let mut calls = [Operation::Tool, Operation::Turn, tools::WORK].map(Calls::new);
    let [tool_calls, turns, work] = &mut calls;
    turns::begin(turns, load.turns, sink.clone(), (&gate, &processes), rng);
    tools::begin(tool_calls, load.tools, sink.clone(), &gate, rng);
    tools::begin_work(work, load.work, sink.clone(), &gate, rng);
    let tag = processes.path().display().to_string();
    until("all calls and processes are active", || {
        sink.tracker().open() == load.calls() && resources::tagged(&tag).len() == load.turns
    })
    .await;

    let _open = processes.open();
    gate.open();
    calls.iter_mut().for_each(|calls| calls.abort(rng));
    let mut seen = Outcomes::new();
    let join = async {
        for calls in calls {
            let joined = tokio::time::timeout(TIMEOUT, calls.join(&mut seen)).await;
            joined.expect("every call ends");
        }
        until("no process is left", || resources::tagged(&tag).is_empty()).await;
    };
    let ((), real_turns) = tokio::join!(join, load.real_turns.run(sink));
    for (kind, turns) in &real_turns {
        let key = (Operation::Turn.as_str(), kind.expected().as_str());
        *seen.entry(key).or_default() += turns;
    }
    (seen, real_turns)
}

/// Makes a call after all others, so that the receiver gets metrics after the chaos.
async fn last_call(sink: &Checked<Arc<FanOut>>, seen: &mut Outcomes) {
    let (mut calls, gate) = (Calls::new(tools::WORK), Gate::closed());
    let work = ServiceBuilder::new()
        .timing(sink.clone())
        .service_fn(async |_: Call<()>| Ok::<_, ()>(()));
    let call = work.oneshot(Call::new(tools::WORK, ()));
    calls.begin(Caller::Waits, &gate, call);
    calls.join(seen).await;
}

/// Checks that the sink counted every event once.
fn check_stats(counts: &Counts, stats: &Stats, load: &Load) {
    let spans = counts.ended.values().sum();
    for (signal, records) in [
        (Signal::Traces, spans),
        (Signal::Metrics, counts.events),
        (Signal::Logs, counts.events),
    ] {
        let of = stats.of(signal);
        assert_eq!(of.accepted + of.dropped, records, "{stats}");
        assert_eq!(of.accepted, of.exported + of.failed, "{stats}");
        assert_eq!(of.dropped > 0, !load.has_room_for_all(), "{stats}");
    }
}

/// Checks that the receiver has every exported span. It may have more: a span whose connection closed
/// before the response is sent again, and the receiver may reject it then.
fn check_received(receiver: &Receiver, stats: &Stats) {
    let spans = receiver.spans();
    let ids: HashSet<_> = spans.iter().map(|span| &span.span_id).collect();
    let received = u64::try_from(ids.len()).unwrap();
    let possible = stats.traces.exported..=stats.traces.accepted;
    assert!(possible.contains(&received), "{received} spans: {stats}");
}

/// Checks that the last gauge has no active call, even if events were dropped.
fn check_gauge(receiver: &Receiver, counts: &Counts) {
    let active = receiver.metric("codex.call.active").unwrap();
    assert_eq!(active.points.len(), counts.ended.len(), "{active:?}");
    for point in &active.points {
        assert_eq!(point.value, Number::Int(0), "{point:?}");
    }
}

/// Checks that the last histograms contain every call that ended, without the tools that nobody allowed to
/// run.
fn check_durations(receiver: &Receiver, counts: &Counts) {
    for (operation, name) in DURATIONS {
        let durations = receiver.metric(name).unwrap();
        let histograms = durations.points.iter().filter_map(Point::as_histogram);
        let measured: u64 = histograms.map(|histogram| histogram.count).sum();
        let not_allowed = match operation {
            "codex.tool" => counts.not_allowed,
            _ => 0,
        };
        let ended = counts.ended.get(operation).copied();
        assert_eq!(ended, Some(measured + not_allowed), "{name}");
    }
}

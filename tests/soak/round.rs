//! One round: begin all calls, let them go, and look at what is left.

use std::{
    collections::HashSet,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use codex_telemetry::{
    Call, FanOut, Operation, OtlpConfig, OtlpSink, ServiceBuilderExt, Sink,
    otlp::{Signal, Stats},
};
use fastrand::Rng;
use tokio::runtime;
use tower::{ServiceBuilder, ServiceExt};

use crate::{
    calls::{Calls, Gate},
    checked::Checked,
    collector::Storm,
    process::{self, PATIENCE},
    receiver::{Number, Point, Receiver},
    tally::{Counts, Outcomes, Tally},
    tools,
    turns::{self, ProcessGate},
};

/// Which histogram measures the calls of an operation.
const DURATIONS: [(&str, &str); 3] = [
    ("codex.turn", "gen_ai.invoke_agent.duration"),
    ("codex.tool", "gen_ai.execute_tool.duration"),
    ("soak.work", "codex.call.duration"),
];

pub(crate) struct Load {
    tools: usize,
    turns: usize,
    work: usize,
    /// How many events wait for their export at the most.
    queue: usize,
}

/// What a round came to.
pub(crate) struct Report {
    seen: Outcomes,
    stats: Stats,
    took: Duration,
}

// === impl Load ===

impl Load {
    /// One that only uses everything.
    pub(crate) fn small() -> Self {
        Self {
            tools: 100,
            turns: 20,
            work: 10,
            queue: 1 << 18,
        }
    }

    pub(crate) fn full(queue: usize) -> Self {
        Self {
            tools: 10_000,
            turns: 200,
            work: 100,
            queue,
        }
    }

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
    let tally = Tally::default();
    let both = FanOut::new().with(tally.clone()).with(otlp.clone());
    let sink = Checked::over(Arc::new(both));
    let storm = Storm::over(&receiver, rng.fork());

    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let mut seen = runtime.block_on(make_calls(load, &sink, &tally, rng));
    storm.calm();
    runtime.block_on(one_more(&sink, &mut seen));
    runtime.block_on(until("no task is left", || {
        runtime.metrics().num_alive_tasks() == 0
    }));
    drop(runtime);

    let told = otlp.shutdown(PATIENCE);
    let pending = |signal| {
        told.as_ref()
            .map_or_else(|told| told.pending(signal), |()| 0)
    };
    assert_eq!(Signal::ALL.map(pending), [0, 0, 0], "{told:?}");
    let (counts, stats) = (tally.counts(), otlp.stats());
    check_calls(&counts, &seen);
    check_books(&counts, &stats, load);
    check_received(&receiver, &stats);
    check_gauge(&receiver, &counts);
    if load.has_room_for_all() {
        check_durations(&receiver, &counts);
    }
    Report {
        seen,
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

/// Makes all calls, has them under way at once, and returns how their callers saw them end.
async fn make_calls(
    load: &Load,
    sink: &(impl Sink + Clone + 'static),
    tally: &Tally,
    rng: &mut Rng,
) -> Outcomes {
    let (gate, processes) = (Gate::closed(), ProcessGate::closed());
    let mut calls = [Operation::Tool, Operation::Turn, tools::WORK].map(Calls::new);
    let [tool_calls, turns, work] = &mut calls;
    turns::begin(turns, load.turns, sink.clone(), (&gate, &processes), rng);
    tools::begin(tool_calls, load.tools, sink.clone(), &gate, rng);
    tools::begin_work(work, load.work, sink.clone(), &gate, rng);
    let mark = processes.path().display().to_string();
    until("all calls and processes are under way", || {
        tally.under_way() == load.calls() && process::marked(&mark).len() == load.turns
    })
    .await;

    let _open = processes.open();
    gate.open();
    calls.iter_mut().for_each(|calls| calls.abort(rng));
    let mut seen = Outcomes::new();
    for calls in calls {
        let all = tokio::time::timeout(PATIENCE, calls.end(&mut seen)).await;
        all.expect("a call does not end");
    }
    until("no process is left", || process::marked(&mark).is_empty()).await;
    seen
}

/// A call after all others, by which the last metrics have something to tell.
async fn one_more(sink: &(impl Sink + Clone + 'static), seen: &mut Outcomes) {
    let (mut calls, gate) = (Calls::new(tools::WORK), Gate::closed());
    let work = ServiceBuilder::new()
        .timing(sink.clone())
        .service_fn(async |_: Call<()>| Ok::<_, ()>(()));
    let call = work.oneshot(Call::new(tools::WORK, ()));
    calls.begin(crate::calls::Caller::Waits, &gate, call);
    calls.end(seen).await;
}

/// Every call has ended, as its caller saw it.
fn check_calls(counts: &Counts, seen: &Outcomes) {
    assert_eq!(counts.started, counts.ended);
    assert_eq!(counts.under_way, 0);
    assert_eq!(counts.callers, *seen);
}

/// All that was emitted is in the books, once.
fn check_books(counts: &Counts, stats: &Stats, load: &Load) {
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

/// What the books say was exported has come. A record that came just before its connection was cut is
/// sent again, and may be refused then.
fn check_received(receiver: &Receiver, stats: &Stats) {
    let spans = receiver.spans();
    let ids: HashSet<_> = spans.iter().map(|span| &span.span_id).collect();
    let came = u64::try_from(ids.len()).unwrap();
    let possible = stats.traces.exported..=stats.traces.accepted;
    assert!(possible.contains(&came), "{came} spans came: {stats}");
}

/// By the last totals no call is under way, whatever was dropped.
fn check_gauge(receiver: &Receiver, counts: &Counts) {
    let active = receiver.metric("codex.call.active").unwrap();
    assert_eq!(active.points.len(), counts.ended.len(), "{active:?}");
    for point in &active.points {
        assert_eq!(point.value, Number::Int(0), "{point:?}");
    }
}

/// By the last totals each call that ended was measured.
fn check_durations(receiver: &Receiver, counts: &Counts) {
    for (operation, name) in DURATIONS {
        let durations = receiver.metric(name).unwrap();
        let histograms = durations.points.iter().filter_map(Point::as_histogram);
        let measured = histograms.map(|histogram| histogram.count).sum();
        assert_eq!(counts.ended.get(operation), Some(&measured), "{name}");
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, wait).await;
    assert!(came.is_ok(), "not within {PATIENCE:?}: {what}");
}

// === impl Report ===

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1?}, {}", self.took, self.stats)?;
        for ((operation, outcome), count) in &self.seen {
            write!(f, "; {operation} {outcome}: {count}")?;
        }
        Ok(())
    }
}

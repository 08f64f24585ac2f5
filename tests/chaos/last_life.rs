//! The last life, when the load has ended: what it says, what it uses, and its drain.

use std::{
    ops::Range,
    pin::pin,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{io::AsyncWriteExt, net::TcpStream, runtime::Runtime, time::sleep};

use crate::{
    PATIENCE,
    callers::CALLERS,
    events::Events,
    ledger::{End, Ledger},
    load::Load,
    processes::Usage,
    program::{Program, Setup},
    receiver::{Number, Receiver},
    session::{self, Session},
    turn::Plan,
    turns::{self, Turns},
};

/// How many threads are resumed.
const RESUMED: usize = 40;

/// How many descriptors and threads the program may have more than before the load: connections to the collector,
/// threads of the runtime that are idle.
const MORE: usize = 40;

/// The largest resident memory, in bytes.
const MEMORY: u64 = 256 << 20;

const SIGNALS: [&str; 3] = ["traces", "metrics", "logs"];

pub(crate) struct LastLife {
    pub(crate) turns: Turns,
    /// What the exporter has counted when nothing was active, by signal.
    pub(crate) stats: Value,
    /// What the events were then.
    seen: Events,
    pub(crate) usage: Usage,
    pub(crate) resumed: usize,
}

/// Checks that nothing is active any more, that threads of all lives can be resumed, and that everything adds up.
pub(crate) async fn check(setup: &Setup, ledger: &Ledger, load: &Load) -> LastLife {
    let http = session::http();
    let state = setup.state();
    let mut session = Session {
        http: &http,
        ledger,
        state: &state,
        life: load.program.life.clone(),
        caller: CALLERS[0],
    };
    settle(&session).await;
    let usage = bounded(load).await;
    let resumed = resume(&mut session, load.lives.len()).await;
    let turns = turns::all(&mut session).await;
    turns::check(&turns, ledger, load.lives.len());

    let stats = settle(&session).await;
    let part = load.begin..setup.size_of_events();
    let seen = Events::read(&setup.events(), &part, load.lives.len(), false);
    let (starts, ends) = (seen.starts, seen.ends);
    for (signal, records) in SIGNALS
        .into_iter()
        .zip([ends, starts + ends, starts + ends])
    {
        let of = |key: &str| stats[signal][key].as_u64().expect("a counter");
        assert_eq!(
            of("accepted") + of("dropped"),
            records,
            "{signal}: each event is accepted or dropped: {stats}"
        );
        assert_eq!(
            of("accepted"),
            of("exported") + of("failed") + of("filtered") + of("pending"),
            "{signal}: each accepted record is counted once: {stats}"
        );
    }
    LastLife {
        turns,
        stats,
        seen,
        usage,
        resumed,
    }
}

/// Waits until nothing is active or waits for its export. Returns the stats of the exporter.
async fn settle(session: &Session<'_>) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let health = session.health().await;
        let export = &health["export"];
        let is_idle = health["active"]
            .as_object()
            .is_some_and(|active| active.is_empty());
        if is_idle && SIGNALS.iter().all(|signal| export[signal]["pending"] == 0) {
            return export.clone();
        }
        assert!(
            Instant::now() < deadline,
            "calls are active, or records wait, {PATIENCE:?} after the load: {health}"
        );
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the program uses little more than before the load.
async fn bounded(load: &Load) -> Usage {
    let deadline = Instant::now() + PATIENCE;
    let before = load.before;
    loop {
        let usage = Usage::of(load.program.pid());
        let is_bounded = usage.descriptors <= before.descriptors + MORE
            && usage.threads <= before.threads + MORE
            && usage.memory <= MEMORY;
        if is_bounded {
            return usage;
        }
        assert!(
            Instant::now() < deadline,
            "the last life uses {usage:?}; before the load it was {before:?}"
        );
        sleep(Duration::from_millis(20)).await;
    }
}

/// Resumes threads, of each killed life at least one if it had any. Returns how many.
async fn resume(session: &mut Session<'_>, lives: usize) -> usize {
    let threads: Vec<_> = {
        let seen = session.ledger.lock();
        let threads = CALLERS.into_iter().flat_map(|caller| {
            let threads = seen.threads.get(&caller).into_iter().flatten();
            threads.map(move |(thread, life)| (*life, caller, thread.clone()))
        });
        let of_life = |life| {
            let of_life = threads.clone().filter(move |(of, ..)| *of == life);
            of_life.take(1.max(RESUMED / lives.max(1)))
        };
        (0..lives).flat_map(of_life).collect()
    };
    assert!(lives == 0 || !threads.is_empty(), "no thread began");
    // The server may have been killed just before, which the program may not know yet.
    let deadline = Instant::now() + PATIENCE;
    while Plan::new("echo ready").run(session).await != Some(End::Done) {
        assert!(
            Instant::now() < deadline,
            "no turn completes within {PATIENCE:?} after the load"
        );
    }
    for (life, caller, thread) in &threads {
        session.caller = *caller;
        let plan = Plan::new("echo again").in_thread(thread);
        let end = plan.run(session).await;
        assert_eq!(
            end,
            Some(End::Done),
            "{caller:?} resumes thread {thread} of life {life}"
        );
    }
    threads.len()
}

/// Ends the program by SIGTERM, while turns run. Returns its exit code, and where the events of its life are.
pub(crate) fn drain(
    setup: &Setup,
    ledger: &Ledger,
    program: Program,
    begin: u64,
    runtime: &Runtime,
) -> (Option<i32>, Range<u64>) {
    runtime.block_on(async {
        let http = session::http();
        let state = setup.state();
        let session = Session {
            http: &http,
            ledger,
            state: &state,
            life: program.life.clone(),
            caller: CALLERS[1],
        };
        let [hangs, also_hangs, ends] = ["hang", "hang", "long 2000"].map(Plan::new);
        let hanging = async { tokio::join!(hangs.run(&session), also_hangs.run(&session)) };
        // A client that does not finish its request holds up nothing.
        let address = session.life.url.trim_start_matches("http://");
        let mut stalled = TcpStream::connect(address)
            .await
            .expect("the program listens");
        stalled
            .write_all(b"POST /turns HTTP/1.1\r\n")
            .await
            .expect("it is open");
        let signals = async {
            let are_active =
                |count: u64| move |health: &Value| health["active"]["http.request"] == count;
            until(&session, "two turns hang", are_active(2)).await;
            let mut ending = pin!(ends.run(&session));
            // On a busy machine it may end before anybody has seen it run.
            let ended = tokio::select! {
                ended = &mut ending => Some(ended),
                () = until(&session, "three turns run", are_active(3)) => None,
            };
            program.terminate();
            until(&session, "the program drains", |health| {
                health["status"] == "draining"
            })
            .await;
            let body = serde_json::json!({"prompt": "echo late"});
            let late = session.request(reqwest::Method::POST, "/turns").json(&body);
            let late = session.send("a turn while the program drains", late).await;
            assert_eq!(late.map(|answer| answer.status), Some(503), "a late turn");
            let ended = match ended {
                Some(ended) => ended,
                None => ending.await,
            };
            program.terminate();
            ended
        };
        let ((hung, also_hung), ended) = tokio::join!(hanging, signals);
        let interrupted = Some(End::Error("interrupted".to_owned()));
        assert_eq!(
            (&hung, &also_hung),
            (&interrupted, &interrupted),
            "turns that hang"
        );
        assert_eq!(ended, Some(End::Done), "a turn that ends by itself");
    });
    let exit = program.wait();
    (exit.code(), begin..setup.size_of_events())
}

async fn until(session: &Session<'_>, what: &str, is_met: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let health = session.health().await;
        if is_met(&health) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{what}: not within {PATIENCE:?}: {health}"
        );
        sleep(Duration::from_millis(10)).await;
    }
}

// === impl LastLife ===

impl LastLife {
    /// Checks that the receiver has what the program has exported, and nothing else. The events are those of all lives.
    pub(crate) fn check_export(&self, receiver: &Receiver, events: &[Events]) {
        receiver.assert_all_decoded();
        let spans = receiver.spans();
        let received: Vec<_> = events.iter().map(|life| life.received(&spans)).collect();
        let all = events.iter().flat_map(|life| life.calls.keys());
        let known: std::collections::HashSet<_> = all.collect();
        let stranger = spans.iter().find(|span| !known.contains(&span.span_id));
        assert!(stranger.is_none(), "no call has this span: {stranger:?}");

        let last = events.last().expect("a life");
        let traces = |key: &str| self.stats["traces"][key].as_u64().expect("a counter");
        // Since the stats were read, everything was accepted: the receiver had no failures any more.
        let since = last.ends - self.seen.ends;
        let possible = traces("exported") + since..=traces("accepted") + since;
        let received = *received.last().expect("a life");
        assert!(
            possible.contains(&received),
            "{received} spans of the last life were received, and {since} calls have ended since {}",
            self.stats
        );

        let active = receiver.metric("codex.call.active").expect("a gauge");
        for point in &active.points {
            assert_eq!(point.value, Number::Int(0), "no call is active: {point:?}");
        }
        if self.stats["metrics"]["dropped"] == 0 {
            let durations = receiver.metric("gen_ai.invoke_agent.duration");
            let points = durations.map(|metric| metric.points).unwrap_or_default();
            let histograms = points.iter().filter_map(|point| point.as_histogram());
            let measured: u64 = histograms.map(|histogram| histogram.count).sum();
            assert_eq!(measured, last.ended("codex.turn"), "durations of turns");
        }
    }
}

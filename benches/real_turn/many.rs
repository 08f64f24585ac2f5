//! Many turns through one handle.

use std::{
    env, fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use codex_telemetry::{Event, EventKind};
use futures_util::future::join_all;
use tower::ServiceExt;

use crate::{
    harness::{Harness, Stack},
    reply::Reply,
    server::request,
};

/// How many turns run at once.
const LANES: usize = 8;

/// How many turns a thread has: each one repeats those before it to the model.
const TURNS_OF_A_THREAD: usize = 20;

/// How often the resources are printed.
const TIMES: usize = 10;

/// Calls by their starts and their ends.
#[derive(Default)]
struct Calls {
    started: AtomicUsize,
    ended: AtomicUsize,
}

/// Returns the number after `--turns`, if it is there.
pub(crate) fn turns() -> Option<usize> {
    let mut arguments = env::args().skip_while(|argument| argument != "--turns");
    arguments.nth(1)?.parse().ok()
}

pub(crate) async fn run(harness: &Harness, turns: usize) {
    let calls = Arc::new(Calls::default());
    let count = Arc::clone(&calls);
    let (service, stack) = harness.app_server_with(Arc::new(move |event: Event| {
        let calls = match event.kind() {
            EventKind::Start => &count.started,
            _ => &count.ended,
        };
        calls.fetch_add(1, Relaxed);
    }));
    let start = Instant::now();
    // The first part is the warm-up, and the rest has no more than it.
    let mut done = 0;
    for until in [100]
        .into_iter()
        .chain((1..=TIMES).map(|part| turns * part / TIMES))
    {
        if until <= done {
            continue;
        }
        let left = AtomicUsize::new(until - done);
        join_all((0..LANES).map(|_| lane(harness, &stack, &left))).await;
        done = until;
        let (processes, memory) = of_codex(harness.home.path());
        println!(
            "real_turn: {done} turns, {} s: {} KiB here, {processes} processes of Codex with {memory} KiB",
            start.elapsed().as_secs(),
            resident("/proc/self".as_ref()),
        );
    }
    service.drain().await;
    let (started, ended) = (calls.started.load(Relaxed), calls.ended.load(Relaxed));
    println!("real_turn: {started} calls started, {ended} ended");
    assert_eq!(started, ended);
    assert_eq!(of_codex(harness.home.path()).0, 0, "a process is left");
}

/// Runs turns as long as some are left.
async fn lane(harness: &Harness, stack: &Stack, left: &AtomicUsize) {
    let take = |left: usize| left.checked_sub(1);
    let (mut thread, mut turns) = (None::<String>, 0);
    while left.fetch_update(Relaxed, Relaxed, take).is_ok() {
        harness.model.then([Reply::done()]);
        let request = match &thread {
            Some(thread) => request(harness).with_resume(thread),
            None => request(harness),
        };
        let turn = stack.clone().oneshot(request).await.unwrap();
        turns += 1;
        thread = turn.thread_id.filter(|_| turns % TURNS_OF_A_THREAD != 0);
        harness.model.forget_requests();
    }
}

/// Returns the number of processes with this home, and their resident memory in KiB.
fn of_codex(home: &Path) -> (usize, u64) {
    let home = home.to_str().unwrap();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let processes: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let environment = fs::read(path.join("environ")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(home)
        })
        .collect();
    let memory = processes.iter().map(|path| resident(path)).sum();
    (processes.len(), memory)
}

/// Returns the resident memory of a process in KiB; zero if it is gone.
fn resident(process: &Path) -> u64 {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kilobytes.unwrap_or_default()
}

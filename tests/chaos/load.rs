//! The lives of the program under load.

use std::{
    ops::Range,
    sync::{Arc, PoisonError},
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use futures_util::future::join_all;
use tokio::{runtime::Handle, sync::watch, time::timeout};

use crate::{
    PATIENCE,
    callers::CALLERS,
    client, codex, collector,
    ledger::{End, Ledger},
    processes::Usage,
    program::{Killed, Program, Setup},
    receiver::Receiver,
    session::{self, Session},
    state,
    turn::Plan,
};

/// How many clients make requests at once.
const CLIENTS: usize = 24;

/// What is left of the load.
pub(crate) struct Load {
    /// The last life, which runs.
    pub(crate) program: Program,
    /// Where its events begin.
    pub(crate) begin: u64,
    /// Where the events of the lives are that were killed.
    pub(crate) lives: Vec<Range<u64>>,
    pub(crate) codex: codex::Counts,
    /// What the first life used before the load, after one turn.
    pub(crate) before: Usage,
}

/// Runs the program under load for a time, in several lives. The last one is a fifth of the time, and goes on.
pub(crate) fn run(
    setup: &Setup,
    receiver: &Arc<Receiver>,
    ledger: &Arc<Ledger>,
    rng: &mut Rng,
    time: Duration,
) -> Load {
    let (lives, watched) = watch::channel(None);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (ledger, state) = (Arc::clone(ledger), setup.state());
            let (watched, rng) = (watched.clone(), rng.fork());
            tokio::spawn(async move { client::run(&ledger, &state, watched, rng).await })
        })
        .collect();
    let target = codex::Target::default();
    let codex = codex::Chaos::start(&target, rng.fork());

    let mut program = setup.start(0);
    let before = Handle::current().block_on(idle(setup, ledger, &program));
    let collector = collector::Chaos::start(receiver, rng.fork());
    let last = Instant::now() + time * 4 / 5;
    let end = Instant::now() + time;
    let mut parts = Vec::new();
    let mut begin = 0;
    let mut killed: Option<Killed> = None;
    loop {
        *target.lock().unwrap_or_else(PoisonError::into_inner) = Some(program.pid());
        lives.send_replace(Some(program.life.clone()));
        // The life before, whose end the next one has not waited for.
        if let Some(killed) = killed.take() {
            killed.assert_gone();
        }
        let now = Instant::now();
        if now >= last {
            break;
        }
        let length = Duration::from_millis(rng.u64(2000..10_000));
        thread::sleep(length.min(last - now));

        lives.send_replace(None);
        let mut program_of_codex = target.lock().unwrap_or_else(PoisonError::into_inner);
        *program_of_codex = None;
        let dead = program.kill();
        drop(program_of_codex);
        let size = setup.size_of_events();
        parts.push(begin..size);
        begin = size;
        if rng.bool() {
            dead.assert_gone();
            state::check_leases(setup, parts.len() - 1);
        } else {
            killed = Some(dead);
        }
        program = setup.start(parts.len());
    }
    thread::sleep(end.saturating_duration_since(Instant::now()));
    let codex = codex.stop();
    // Each client ends after its request.
    lives.send_replace(None);
    drop(lives);
    let ended = Handle::current().block_on(timeout(2 * PATIENCE, join_all(clients)));
    for client in ended.expect("each client ends with its request") {
        client.expect("a client panicked");
    }
    collector.stop();
    Load {
        program,
        begin,
        lives: parts,
        codex,
        before,
    }
}

/// Makes a turn, and returns what the program uses then.
async fn idle(setup: &Setup, ledger: &Ledger, program: &Program) -> Usage {
    let http = session::http();
    let session = Session {
        http: &http,
        ledger,
        state: &setup.state(),
        life: program.life.clone(),
        caller: CALLERS[0],
    };
    let end = Plan::new("echo first").run(&session).await;
    assert_eq!(end, Some(End::Done), "the first turn");
    Usage::of(program.pid())
}

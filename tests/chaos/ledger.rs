//! What the clients have seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{callers::Caller, program::Life};

/// What the clients have seen, in all lives.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Seen>);

#[derive(Default)]
pub(crate) struct Seen {
    /// How many requests were answered how.
    pub(crate) answers: BTreeMap<String, u64>,
    /// The turns that began, by caller and id.
    pub(crate) turns: BTreeMap<(Caller, u64), Turn>,
    /// The threads of a caller, and the lives in which they began.
    pub(crate) threads: BTreeMap<Caller, BTreeMap<String, usize>>,
    pub(crate) uploads: BTreeMap<Caller, BTreeSet<String>>,
    /// What must not happen.
    pub(crate) faults: Vec<String>,
}

/// A turn, as its client knows it.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) life: usize,
    pub(crate) end: End,
}

/// How a client has seen the end of its turn.
#[derive(Debug, PartialEq)]
pub(crate) enum End {
    Done,
    /// By an error of this class.
    Error(String),
    /// The client went away before.
    Left,
    /// The program was killed before.
    Killed,
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, answer: impl Into<String>) {
        *self.lock().answers.entry(answer.into()).or_default() += 1;
    }

    pub(crate) fn fault(&self, fault: impl Into<String>) {
        self.lock().faults.push(fault.into());
    }

    /// Notes that a turn has begun. Its client may go away at any moment from now on.
    pub(crate) fn begin(&self, caller: Caller, id: u64, life: &Life) {
        let turn = Turn {
            life: life.number,
            end: End::Left,
        };
        let seen = &mut *self.lock();
        if let Some(other) = seen.turns.insert((caller, id), turn) {
            let fault = format!("{caller:?} was given turn {id} twice, before in {other:?}");
            seen.faults.push(fault);
        }
    }

    pub(crate) fn thread(&self, caller: Caller, thread: &str, life: &Life) {
        let mut seen = self.lock();
        let threads = seen.threads.entry(caller).or_default();
        threads.entry(thread.to_owned()).or_insert(life.number);
    }

    pub(crate) fn end(&self, caller: Caller, id: u64, end: End) {
        if let Some(turn) = self.lock().turns.get_mut(&(caller, id)) {
            turn.end = end;
        }
    }
}

// === impl Seen ===

impl Seen {
    /// Returns any thread of a caller.
    pub(crate) fn any_thread(&self, caller: Caller, rng: &mut fastrand::Rng) -> Option<String> {
        let threads = self.threads.get(&caller)?;
        threads.keys().nth(rng.usize(..threads.len())).cloned()
    }

    pub(crate) fn any_upload(&self, caller: Caller, rng: &mut fastrand::Rng) -> Option<String> {
        let uploads = self.uploads.get(&caller)?;
        uploads.iter().nth(rng.usize(..uploads.len())).cloned()
    }
}

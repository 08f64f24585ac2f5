//! What became of the turns of a caller: an append-only file of JSON lines, in which the last line of a turn counts.
//!
//! A turn that was accepted is in it before anything runs. So after a crash each turn is known, and those that the crash
//! has ended are `lost`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use serde::{Deserialize, Serialize};

/// How many turns of a caller are remembered: the latest.
const MAX_TURNS: usize = 10_000;

/// How much of an answer or a failure is remembered, in bytes.
const MAX_MESSAGE: usize = 16 << 10;

/// How many texts a turn may publish.
const MAX_PUBLISHED: usize = 16;

/// The turns of a caller.
pub(crate) struct Journal(Mutex<State>);

struct State {
    file: File,
    /// Whether the last line is incomplete, because the disk was full.
    is_torn: bool,
    /// By number, so in the order in which they were accepted.
    turns: BTreeMap<u64, Turn>,
}

/// A turn. Its id is a number that no other turn of the caller has.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Turn {
    pub(crate) id: u64,
    pub(crate) status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thread: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<String>,
    pub(crate) started: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) class: Option<String>,
    /// What Codex has answered, or why it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// What the turn has published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) published: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Running,
    Ok,
    Error,
    /// Its caller went away, or the service ended.
    Cancelled,
    /// The program died.
    Lost,
}

// === impl Journal ===

impl Journal {
    /// Opens the file. The turns without an end are lost: nobody runs them any more.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut turns = read(path)?;
        while turns.len() > MAX_TURNS {
            turns.pop_first();
        }
        for turn in turns.values_mut() {
            if turn.status == Status::Running {
                turn.status = Status::Lost;
            }
        }
        // Written anew, with one line for each turn, and put in the place of the old one at once.
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        for turn in turns.values() {
            file.write_all(&line(turn)?)?;
        }
        file.sync_all()?;
        fs::rename(&new, path)?;
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Self(Mutex::new(State {
            file,
            is_torn: false,
            turns,
        })))
    }

    /// Accepts a turn, and returns its id.
    pub(crate) fn accept(&self, thread: Option<String>, trace: Option<String>) -> io::Result<u64> {
        let mut state = self.lock();
        let id = state.turns.last_key_value().map_or(1, |(id, _)| id + 1);
        let turn = Turn {
            id,
            status: Status::Running,
            thread,
            trace,
            started: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            duration_ms: None,
            class: None,
            message: None,
            published: Vec::new(),
        };
        state.append(&line(&turn)?)?;
        state.turns.insert(id, turn);
        while state.turns.len() > MAX_TURNS {
            state.turns.pop_first();
        }
        Ok(id)
    }

    /// Changes a turn.
    pub(crate) fn change(&self, id: u64, change: impl FnOnce(&mut Turn)) {
        let state = &mut *self.lock();
        let Some(turn) = state.turns.get_mut(&id) else {
            return;
        };
        change(turn);
        let written = line(turn).and_then(|line| state.append(&line));
        if let Err(error) = written {
            tracing::error!("a turn could not be written down: {error}");
        }
    }

    /// Adds a text to the turn of a thread that has a trace: another one of the thread may wait for it. Returns whether
    /// there is such a turn, and whether it may publish more.
    pub(crate) fn publish(&self, thread: &str, trace: &str, text: String) -> bool {
        let is_meant = |turn: &&Turn| {
            turn.status == Status::Running
                && turn.thread.as_deref() == Some(thread)
                && turn.trace.as_deref() == Some(trace)
                && turn.published.len() < MAX_PUBLISHED
        };
        let state = self.lock();
        let meant = state.turns.values().find(is_meant).map(|turn| turn.id);
        drop(state);
        if let Some(id) = meant {
            self.change(id, |turn| turn.published.push(text));
        }
        meant.is_some()
    }

    pub(crate) fn turn(&self, id: u64) -> Option<Turn> {
        self.lock().turns.get(&id).cloned()
    }

    /// Returns the turns of a thread. There is none if the caller does not have the thread.
    pub(crate) fn turns_of(&self, thread: &str) -> Vec<Turn> {
        let is_of = |turn: &&Turn| turn.thread.as_deref() == Some(thread);
        self.lock().turns.values().filter(is_of).cloned().collect()
    }

    pub(crate) fn has_thread(&self, thread: &str) -> bool {
        let state = self.lock();
        let mut turns = state.turns.values();
        turns.any(|turn| turn.thread.as_deref() == Some(thread))
    }

    pub(crate) fn threads(&self) -> BTreeSet<String> {
        let state = self.lock();
        state
            .turns
            .values()
            .filter_map(|turn| turn.thread.clone())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Writes a line at once, so that a process that is killed leaves none that is torn.
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            // What is there of the last line is a line of its own.
            self.file.write_all(b"\n")?;
        }
        let written = self.file.write_all(line);
        self.is_torn = written.is_err();
        written
    }
}

fn read(path: &Path) -> io::Result<BTreeMap<u64, Turn>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    // A line that a full disk or a power failure has torn is no turn, and may be no text.
    let turns = text
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Turn>(line).ok());
    Ok(turns.map(|turn| (turn.id, turn)).collect())
}

fn line(turn: &Turn) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(turn)?;
    line.push(b'\n');
    Ok(line)
}

/// Returns the beginning of a text that is long.
fn beginning(text: &str) -> String {
    let mut end = text.len().min(MAX_MESSAGE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// Ends a turn in the journal, also if nobody waits for its end any more.
pub(crate) struct Accepted<'a> {
    journal: &'a Journal,
    id: u64,
    started: Instant,
    is_ended: bool,
}

// === impl Accepted ===

impl<'a> Accepted<'a> {
    pub(crate) fn new(journal: &'a Journal, id: u64) -> Self {
        Self {
            journal,
            id,
            started: Instant::now(),
            is_ended: false,
        }
    }

    pub(crate) fn end(mut self, status: Status, class: Option<&str>, message: Option<&str>) {
        self.write(status, class, message);
    }

    fn write(&mut self, status: Status, class: Option<&str>, message: Option<&str>) {
        self.is_ended = true;
        let duration = self.started.elapsed().as_millis();
        self.journal.change(self.id, |turn| {
            turn.status = status;
            turn.duration_ms = u64::try_from(duration).ok();
            turn.class = class.map(str::to_owned);
            turn.message = message.map(beginning);
        });
    }
}

impl Drop for Accepted<'_> {
    fn drop(&mut self) {
        if !self.is_ended {
            self.write(Status::Cancelled, Some("cancelled"), None);
        }
    }
}

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, sleep_until},
};

use super::{
    builder::Config,
    router::{Lease, Reason, Router},
    server::Server,
    turns::ActiveTurn,
};
use crate::turn::{TurnError, process::Supervisor};

/// The first pause before a server is started again. It doubles with each failure in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause before a server is started again.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// How many threads a server may have loaded, beside those that stay loaded, before new ones go to another server.
///
/// So many are loaded when many turns run at once, or if the server is told to keep threads that were let go.
const EXTRA_THREADS: usize = 96;

/// The servers of a service: one that takes turns, and those that end with their last one.
pub(super) struct Servers {
    config: Arc<Config>,
    supervisor: Supervisor,
    state: Mutex<State>,
    /// Held while a server is started.
    starting: AsyncMutex<()>,
}

#[derive(Default)]
struct State {
    current: Option<Server>,
    retiring: Vec<Weak<Router>>,
    /// How many servers in a row have failed.
    failures: u32,
    /// Before this, no server is started.
    not_before: Option<Instant>,
    /// How many starts have failed, and the error of the last one.
    failed_starts: u64,
    start_error: Option<TurnError>,
}

impl Servers {
    pub(super) fn new(config: Arc<Config>, supervisor: Supervisor) -> Self {
        Self {
            config,
            supervisor,
            state: Mutex::default(),
            starting: AsyncMutex::default(),
        }
    }

    /// Begins the use of a server by a turn of a thread, or of a new thread. Starts a server if none runs.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends a server that is being started. The next turn starts another.
    pub(super) async fn lease(
        &self,
        thread_id: Option<&str>,
        active: &Arc<ActiveTurn>,
    ) -> Result<Lease, TurnError> {
        loop {
            if let Some(lease) = self.running(thread_id, active) {
                return Ok(lease);
            }
            if let Some(id) = thread_id {
                self.wait_for_thread(id).await;
            }
            let failed_starts = self.lock().failed_starts;
            let _starting = self.starting.lock().await;
            // Somebody else may have started it meanwhile.
            if let Some(lease) = self.running(thread_id, active) {
                return Ok(lease);
            }
            self.start_server(failed_starts).await?;
        }
    }

    /// Starts a server, unless one runs.
    pub(super) async fn start(&self) -> Result<(), TurnError> {
        let failed_starts = self.lock().failed_starts;
        let _starting = self.starting.lock().await;
        self.look();
        if self.lock().current.is_some() {
            return Ok(());
        }
        self.start_server(failed_starts).await?;
        if let Some(server) = &self.lock().current {
            server.router().started_ahead();
        }
        Ok(())
    }

    /// Has the turns use a server that was started in another way.
    #[cfg(any(test, fuzzing))]
    pub(super) fn use_server(&self, server: Server) {
        let mut state = self.lock();
        if let Some(server) = state.current.replace(server) {
            state.retiring.push(Arc::downgrade(server.router()));
        }
    }

    /// Has the server end once it has no turns.
    pub(super) fn retire(&self) {
        let mut state = self.lock();
        if let Some(server) = state.current.take() {
            state.retiring.push(Arc::downgrade(server.router()));
        }
    }

    /// Begins the use of a server that runs.
    fn running(&self, thread_id: Option<&str>, active: &Arc<ActiveTurn>) -> Option<Lease> {
        self.look();
        let state = self.lock();
        let has_thread = |router: &Arc<Router>| thread_id.is_some_and(|id| router.has_thread(id));
        let mut retiring = state.retiring.iter().filter_map(Weak::upgrade);
        if let Some(router) = retiring.find(has_thread) {
            return router.lease(thread_id, active);
        }
        state.current.as_ref()?.router().lease(thread_id, active)
    }

    /// Notes servers that have ended, and replaces one that has loaded too many threads.
    fn look(&self) {
        let mut state = self.lock();
        state.retiring.retain(|router| router.strong_count() > 0);
        let Some(server) = &state.current else {
            return;
        };
        let over = server.router().over();
        let is_full =
            server.router().thread_count() >= self.config.max_threads.saturating_add(EXTRA_THREADS);
        if over.is_none() && !is_full && server.router().takes_turns() {
            return;
        }
        let router = Arc::downgrade(server.router());
        state.current = None;
        match over {
            None => state.retiring.push(router),
            Some(over) if matches!(over.reason, Reason::Closed | Reason::Stopped) => {}
            Some(over) => state.failed(over.at, over.was_useful),
        }
    }

    /// Waits for a server that has a thread, and does not run turns any more: another one cannot load the thread
    /// before.
    async fn wait_for_thread(&self, thread_id: &str) {
        let retiring = {
            let state = self.lock();
            let mut retiring = state.retiring.iter().filter_map(Weak::upgrade);
            retiring.find(|router| router.has_thread(thread_id))
        };
        if let Some(router) = retiring {
            router.ended().await;
        }
    }

    /// Starts a server, unless the start by somebody else has failed since there were that many failed ones: who
    /// waited for it fails with it. Otherwise each of them would wait for one more pause than the one before.
    async fn start_server(&self, failed_starts: u64) -> Result<(), TurnError> {
        let not_before = {
            let state = self.lock();
            if state.failed_starts != failed_starts
                && let Some(error) = state.start_error.as_ref().and_then(copy)
            {
                return Err(error);
            }
            state.not_before
        };
        if let Some(at) = not_before {
            sleep_until(at).await;
        }
        match Server::start(&self.config, &self.supervisor).await {
            Ok(server) => {
                let mut state = self.lock();
                if let Some(server) = state.current.replace(server) {
                    state.retiring.push(Arc::downgrade(server.router()));
                }
                Ok(())
            }
            Err(error) => {
                if !matches!(error, TurnError::Stopped) {
                    let mut state = self.lock();
                    state.failed(Instant::now(), false);
                    state.failed_starts += 1;
                    state.start_error = copy(&error);
                }
                Err(error)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes that a server has failed. One that was useful before is the first of a row.
    fn failed(&mut self, at: Instant, was_useful: bool) {
        self.failures = if was_useful {
            1
        } else {
            self.failures.saturating_add(1)
        };
        let doublings = (self.failures - 1).min(16);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(MAX_PAUSE);
        self.not_before = at.checked_add(pause);
    }
}

/// Returns the error of a start once more; `None` if it has a cause that cannot be copied.
fn copy(error: &TurnError) -> Option<TurnError> {
    Some(match error {
        TurnError::CodexNotFound { searched } => TurnError::CodexNotFound {
            searched: searched.clone(),
        },
        TurnError::Spawn { program, source } => TurnError::Spawn {
            program: program.clone(),
            source: match source.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => source.kind().into(),
            },
        },
        TurnError::Exited {
            status,
            thread_started,
            message,
            stderr,
        } => TurnError::Exited {
            status: *status,
            thread_started: *thread_started,
            message: message.clone(),
            stderr: stderr.clone(),
        },
        TurnError::ServerExited { status, stderr } => TurnError::ServerExited {
            status: *status,
            stderr: stderr.clone(),
        },
        TurnError::Hung { after } => TurnError::Hung { after: *after },
        TurnError::Unanswered { method, after } => TurnError::Unanswered {
            method,
            after: *after,
        },
        TurnError::Rejected {
            method,
            code,
            message,
        } => TurnError::Rejected {
            method,
            code: *code,
            message: message.clone(),
        },
        TurnError::Protocol { line, reason } => TurnError::Protocol {
            line: *line,
            reason: reason.clone(),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_with_each_failure_in_a_row_up_to_half_a_minute() {
        let mut state = State::default();
        let at = Instant::now();
        let mut pause = |was_useful| {
            state.failed(at, was_useful);
            state.not_before.map(|before| before - at)
        };
        for millis in [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600] {
            assert_eq!(pause(false), Some(Duration::from_millis(millis)));
        }
        for _ in 0..100 {
            assert_eq!(pause(false), Some(MAX_PAUSE));
        }
        assert_eq!(pause(true), Some(FIRST_PAUSE));
        assert_eq!(pause(false), Some(2 * FIRST_PAUSE));
    }

    #[test]
    fn the_copy_of_an_error_says_the_same() {
        let exited = |code| std::os::unix::process::ExitStatusExt::from_raw(code);
        let errors = [
            TurnError::CodexNotFound {
                searched: "here".to_owned(),
            },
            TurnError::Spawn {
                program: "codex".into(),
                source: io::Error::from_raw_os_error(13),
            },
            TurnError::Exited {
                status: exited(256),
                thread_started: false,
                message: None,
                stderr: "a cause".to_owned(),
            },
            TurnError::ServerExited {
                status: Some(exited(9)),
                stderr: "a cause".to_owned(),
            },
            TurnError::Hung { after: MAX_PAUSE },
            TurnError::Unanswered {
                method: "initialize",
                after: MAX_PAUSE,
            },
            TurnError::Rejected {
                method: "initialize",
                code: 7,
                message: "no".to_owned(),
            },
            TurnError::Protocol {
                line: 7,
                reason: "too long".to_owned(),
            },
        ];
        for error in errors {
            let copy = copy(&error).map(|copy| format!("{copy:?}"));
            assert_eq!(copy, Some(format!("{error:?}")));
        }
    }
}

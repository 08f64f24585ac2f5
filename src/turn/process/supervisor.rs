use std::{
    future::pending,
    io,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustix::process::Pid;
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use super::{
    Drained,
    child::{ChildProcess, Pipes},
    handle::ProcessHandle,
    monitor::Monitor,
    watchdog::{WatchGuard, Watchdog},
};

/// The maximum number of spared processes that are remembered.
#[cfg(target_os = "linux")]
const MAX_SPARED: usize = 1024;

/// The child processes of one service. Clones share them.
#[derive(Clone, Debug)]
pub(in crate::turn) struct Supervisor(Arc<Shared>);

#[derive(Clone, Copy, Debug)]
pub(in crate::turn) struct SupervisorConfig {
    /// Whether a watchdog ends the children of a program that dies.
    pub(in crate::turn) watchdog: bool,
    /// Whether orphaned processes are killed of which it is unknown whom they work for.
    pub(in crate::turn) kill_doubtful_orphans: bool,
}

/// What the clones share with the threads of the children.
#[derive(Debug)]
pub(super) struct Shared {
    #[cfg_attr(not(target_os = "linux"), expect(dead_code))]
    pub(super) config: SupervisorConfig,
    /// `None` when it is disabled.
    watchdog: Option<Arc<Watchdog>>,
    active: watch::Sender<usize>,
    stopping: watch::Sender<Stopping>,
    /// The orphaned processes that were spared, with their start times.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code))]
    spared: Mutex<Vec<(Pid, u64)>>,
}

/// Whether the service stops.
#[derive(Clone, Copy, Debug)]
enum Stopping {
    No,
    /// The children have to exit by the deadline. One that is too far away for the clock is `None`.
    Yes {
        deadline: Option<Instant>,
    },
}

/// Counts a unit of work, such as a turn, as active until it is dropped.
#[derive(Debug)]
pub(in crate::turn) struct Active(Arc<Shared>);

// === impl Supervisor ===

impl Supervisor {
    pub(in crate::turn) fn new(config: SupervisorConfig) -> Self {
        Self(Arc::new(Shared {
            config,
            watchdog: config.watchdog.then(Arc::default),
            active: watch::Sender::new(0),
            stopping: watch::Sender::new(Stopping::No),
            spared: Mutex::default(),
        }))
    }

    /// Begins a unit of work; `None` when the service stops.
    pub(in crate::turn) fn begin(&self) -> Option<Arc<Active>> {
        if matches!(*self.0.stopping.borrow(), Stopping::Yes { .. }) {
            return None;
        }
        self.0.active.send_modify(|active| *active += 1);
        Some(Arc::new(Active(Arc::clone(&self.0))))
    }

    /// Starts a child process as a part of a unit of work, which is active until nothing of the child is left.
    ///
    /// The fork happens on the thread of the child.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the child does not start or is killed.
    pub(in crate::turn) async fn spawn(
        &self,
        mut command: Command,
        active: Arc<Active>,
    ) -> io::Result<(ChildProcess, Pipes)> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let (requests, requester) = io::pipe()?;
        let (started, start) = oneshot::channel();
        let (exit, exited) = oneshot::channel();
        let shared = Arc::clone(&self.0);
        let thread = thread::Builder::new().name("codex-child".to_owned());
        thread.spawn(
            move || match Monitor::start(command, requests, shared, active) {
                Ok((monitor, pipes)) => {
                    // An error means that nobody waits. The requester is closed then.
                    let _ = started.send(Ok(pipes));
                    monitor.run(exit);
                }
                Err(error) => drop(started.send(Err(error))),
            },
        )?;
        let pipes = start.await;
        let pipes = pipes.map_err(|_| io::Error::other("the thread of the process panicked"))??;
        Ok((ChildProcess::new(exited, requester), pipes.try_into()?))
    }

    /// Returns how much work is active: what has begun and is not dropped, or whose processes are being ended.
    pub(in crate::turn) fn active(&self) -> usize {
        *self.0.active.borrow()
    }

    /// Waits until nothing is active.
    pub(in crate::turn) async fn drain(&self) -> Drained {
        let mut active = self.0.active.subscribe();
        // There is no error: the sender lives as long as `self`.
        let _ = active.wait_for(|active| *active == 0).await;
        Drained::new(self.0.spared())
    }

    /// Stops the service: no work begins any more, and the children have `grace` to exit.
    pub(in crate::turn) fn stop(&self, grace: Duration) {
        let deadline = Instant::now().checked_add(grace);
        self.0.stopping.send_replace(Stopping::Yes { deadline });
    }

    /// Waits until the service stops, and returns the deadline of its children.
    pub(in crate::turn) async fn stopping(&self) -> Option<Instant> {
        let mut stopping = self.0.stopping.subscribe();
        let is_yes = |stopping: &Stopping| matches!(stopping, Stopping::Yes { .. });
        let stopping = stopping.wait_for(is_yes).await.map(|stopping| *stopping);
        match stopping {
            Ok(Stopping::Yes { deadline }) => deadline,
            _ => pending().await,
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Makes sure that the watchdog runs, if there is to be one.
    pub(super) fn prepare_watchdog(&self) {
        if let Some(watchdog) = &self.watchdog {
            watchdog.prepare();
        }
    }

    /// Has the watchdog watch a child, if there is to be one.
    pub(super) fn watch(&self, process: &ProcessHandle) -> Option<WatchGuard> {
        self.watchdog
            .clone()
            .map(|watchdog| watchdog.watch(process))
    }

    /// Reports orphaned processes that are spared.
    #[cfg(target_os = "linux")]
    pub(super) fn spare(&self, processes: Vec<(Pid, u64)>) {
        if processes.is_empty() {
            return;
        }
        let pids: Vec<_> = processes.iter().map(|(pid, _)| *pid).collect();
        super::warnings::orphans_spared(&pids);
        let mut spared = self
            .spared
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        spared.retain(is_running);
        spared.extend(processes);
        spared.truncate(MAX_SPARED);
    }

    /// Returns the spared processes that still run.
    #[cfg(target_os = "linux")]
    fn spared(&self) -> Vec<u32> {
        let spared = self
            .spared
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let running = spared.iter().filter(|process| is_running(process));
        running
            .map(|(pid, _)| pid.as_raw_nonzero().get().cast_unsigned())
            .collect()
    }

    /// Returns nothing: only Linux has the means to find them.
    #[cfg(not(target_os = "linux"))]
    fn spared(&self) -> Vec<u32> {
        Vec::new()
    }
}

#[cfg(target_os = "linux")]
fn is_running((pid, start): &(Pid, u64)) -> bool {
    super::proc_fs::stat(*pid).is_some_and(|stat| stat.start == *start && !stat.is_zombie())
}

// === impl Active ===

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.send_modify(|active| *active -= 1);
    }
}

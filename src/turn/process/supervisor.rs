use std::{
    io::{self, PipeWriter},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};
use tokio::sync::{oneshot, watch};

use super::{
    Drained,
    child::{ChildProcess, Pipes, Requests},
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
    /// What the process group of each child gets when the service stops. With `None` the owner of the child has
    /// to end it. Either way, what has not exited by the deadline is killed.
    pub(in crate::turn) stop_signal: Option<Signal>,
}

/// What the clones share with the threads of the children.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: SupervisorConfig,
    /// `None` when it is disabled.
    watchdog: Option<Arc<Watchdog>>,
    state: watch::Sender<State>,
    /// How to reach the threads of the children.
    children: Mutex<Vec<Weak<Requests>>>,
    /// The orphaned processes that were spared, with their start times.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code))]
    spared: Mutex<Vec<(Pid, u64)>>,
}

/// What is active, and whether the service stops.
#[derive(Debug, Default)]
struct State {
    /// The units of work that have begun.
    work: usize,
    /// Those of them with a child of which something may be left.
    children: usize,
    /// `None` unless the service stops.
    stop: Option<Stop>,
}

/// The children have to exit by the deadline. One that is too far away for the clock is `None`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) deadline: Option<Instant>,
}

/// A unit of work: a child, and what has to be done before and after it. It is active until this is dropped.
#[derive(Debug)]
pub(in crate::turn) struct Active(Arc<Shared>);

/// The child of a unit of work. It is active until this is dropped.
#[derive(Debug)]
pub(super) struct ActiveChild(Arc<Active>);

// === impl Supervisor ===

impl Supervisor {
    pub(in crate::turn) fn new(config: SupervisorConfig) -> Self {
        Self(Arc::new(Shared {
            config,
            watchdog: config.watchdog.then(Arc::default),
            state: watch::Sender::default(),
            children: Mutex::default(),
            spared: Mutex::default(),
        }))
    }

    /// Begins a unit of work; `None` when the service stops.
    pub(in crate::turn) fn begin(&self) -> Option<Arc<Active>> {
        let begins = self.0.state.send_if_modified(|state| {
            let begins = state.stop.is_none();
            state.work += usize::from(begins);
            begins
        });
        begins.then(|| Arc::new(Active(Arc::clone(&self.0))))
    }

    /// Starts a child process as a part of a unit of work, which is active until nothing of the child is left.
    /// Returns `None` when the service stops.
    ///
    /// The fork happens on the thread of the child.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the child does not start or is killed.
    pub(in crate::turn) async fn spawn(
        &self,
        mut command: Command,
        work: Arc<Active>,
    ) -> io::Result<Option<(ChildProcess, Pipes)>> {
        let Some(active) = ActiveChild::begin(work) else {
            return Ok(None);
        };
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let (requests, requester) = io::pipe()?;
        let requester = self.0.register(requester);
        let (started, start) = oneshot::channel();
        let (exit, exited) = oneshot::channel();
        let shared = Arc::clone(&self.0);
        let thread = thread::Builder::new().name("codex-child".to_owned());
        thread.spawn(
            move || match Monitor::start(command, requests, shared, active) {
                Ok((monitor, pipes)) => {
                    // An error means that nobody waits. The child is asked to be killed then.
                    let _ = started.send(Ok(pipes));
                    monitor.run(exit);
                }
                Err(error) => drop(started.send(Err(error))),
            },
        )?;
        let pipes = start.await;
        let pipes = pipes.map_err(|_| io::Error::other("the thread of the process panicked"))??;
        let child = ChildProcess::new(exited, requester);
        Ok(Some((child, pipes.try_into()?)))
    }

    /// Returns how much work is active: what has begun and is not dropped, or whose processes are being ended.
    /// When the service stops, only the latter counts.
    pub(in crate::turn) fn active(&self) -> usize {
        self.0.state.borrow().active()
    }

    /// Waits until nothing is active.
    pub(in crate::turn) async fn drain(&self) -> Drained {
        let mut state = self.0.state.subscribe();
        // There is no error: the sender lives as long as `self`.
        let _ = state.wait_for(|state| state.active() == 0).await;
        Drained::new(self.0.spared())
    }

    /// Stops the service: no work begins any more, and the children have `grace` to exit. Their threads see to
    /// that, whether or not somebody polls the work: they send the stop signal, if there is one, and keep the
    /// deadline. The earliest deadline counts.
    pub(in crate::turn) fn stop(&self, grace: Duration) {
        let deadline = Instant::now().checked_add(grace);
        self.0.state.send_modify(|state| state.stop(deadline));
        for child in self.0.children().iter().filter_map(Weak::upgrade) {
            child.stop();
        }
    }

    pub(in crate::turn) fn is_stopping(&self) -> bool {
        self.0.stop().is_some()
    }

    /// Waits until the service stops.
    pub(in crate::turn) async fn stopping(&self) {
        let mut state = self.0.state.subscribe();
        // There is no error: the sender lives as long as `self`.
        let _ = state.wait_for(|state| state.stop.is_some()).await;
    }
}

// === impl State ===

impl State {
    const fn active(&self) -> usize {
        match self.stop {
            None => self.work,
            // What has not started a child will not, and what waits for its caller may do so for ever.
            Some(_) => self.children,
        }
    }

    fn stop(&mut self, deadline: Option<Instant>) {
        let earlier = self.stop.and_then(|stop| stop.deadline);
        let deadline = earlier.into_iter().chain(deadline).min();
        self.stop = Some(Stop { deadline });
    }
}

// === impl Shared ===

impl Shared {
    /// Returns the deadline of the children, if the service stops.
    pub(super) fn stop(&self) -> Option<Stop> {
        self.state.borrow().stop
    }

    /// Has the thread of a child told when the service stops.
    fn register(&self, requester: PipeWriter) -> Arc<Requests> {
        let requests = Arc::new(Requests::new(requester));
        let mut children = self.children();
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(&requests));
        drop(children);
        // It may have stopped before it knew of the child.
        if self.stop().is_some() {
            requests.stop();
        }
        requests
    }

    fn children(&self) -> MutexGuard<'_, Vec<Weak<Requests>>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

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
        let mut spared = self.spared.lock().unwrap_or_else(PoisonError::into_inner);
        spared.retain(is_running);
        spared.extend(processes);
        spared.truncate(MAX_SPARED);
    }

    /// Returns the spared processes that still run.
    #[cfg(target_os = "linux")]
    fn spared(&self) -> Vec<u32> {
        let spared = self.spared.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.0.state.send_modify(|state| state.work -= 1);
    }
}

// === impl ActiveChild ===

impl ActiveChild {
    /// Returns `None` when the service stops.
    fn begin(work: Arc<Active>) -> Option<Self> {
        let begins = work.0.state.send_if_modified(|state| {
            let begins = state.stop.is_none();
            state.children += usize::from(begins);
            begins
        });
        begins.then(|| Self(work))
    }
}

impl Drop for ActiveChild {
    fn drop(&mut self) {
        let Self(work) = self;
        work.0.state.send_modify(|state| state.children -= 1);
    }
}

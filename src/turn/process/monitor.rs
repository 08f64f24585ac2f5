//! The thread that owns a child.
//!
//! ```text
//! start ──► running ──┬── the child exits ─────────────────────────┬─► reaped ──► orphans searched ──► done
//!                     └── its `ChildProcess` is dropped ─► killed ─┘      │
//!                                                                         └──► the exit status
//! ```
//!
//! When the service stops, the child gets the service's stop signal, if there is one. If it has not exited by the
//! deadline, it is killed.
//!
//! A thread, and not a task: fork, exec and the reads of `/proc` block, and the end of a child must not depend
//! on a runtime that may be shutting down. It is started before the child, so that a system without threads
//! fails the start, and nothing is left to be started when the child ends.

use std::{
    io::{self, PipeReader, Read},
    process::{Child, Command, ExitStatus},
    sync::Arc,
    time::{Duration, Instant},
};

#[cfg(target_os = "linux")]
use rustix::process::{WaitId, WaitIdOptions, WaitIdStatus, getpid, waitid};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::AsFd,
    process::{Pid, Signal, kill_process_group},
};
use tokio::sync::oneshot;

use super::{
    child::{Exit, StdPipes},
    handle::ProcessHandle,
    supervisor::{ActiveChild, Shared, Stop},
    tag::Tag,
    tree::{self, Killed},
    warnings,
    watchdog::WatchGuard,
};
#[cfg(target_os = "linux")]
use super::{orphans::Search, proc_fs};

/// How long a killed process may take to exit before that is reported. It needs milliseconds.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the thread of a child waits for free descriptors, in all.
#[cfg(target_os = "linux")]
const DESCRIPTOR_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause between two looks at a process that cannot be waited for together with requests.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The requests, as bytes on a pipe. The end of the pipe is the request to kill as well; but a process that was
/// forked and has not executed a program yet may have it open.
pub(super) const STOP: u8 = b's';
pub(super) const KILL: u8 = b'k';

/// A child that runs, and what is needed to end it.
pub(super) struct Monitor {
    child: Child,
    process: ProcessHandle,
    requests: PipeReader,
    tag: Tag,
    /// The inodes of the pipes of standard output and standard error.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code))]
    pipes: [Option<u64>; 2],
    /// `None` without a watchdog.
    watch: Option<WatchGuard>,
    shared: Arc<Shared>,
    /// The deadline of the child, once the service stops.
    stop: Option<Stop>,
    /// Counts the child as active until all is done.
    _active: ActiveChild,
}

/// Why the wait for a running child is over.
enum Event {
    Exited,
    /// Nobody waits for the child any more, or its time is over.
    Abandoned,
}

impl Monitor {
    /// Starts the child.
    pub(super) fn start(
        mut command: Command,
        requests: PipeReader,
        shared: Arc<Shared>,
        active: ActiveChild,
    ) -> io::Result<(Self, StdPipes)> {
        #[cfg(target_os = "linux")]
        proc_fs::wait_for_descriptors(DESCRIPTOR_TIMEOUT);
        let tag = Tag::set_on(&mut command);
        shared.prepare_watchdog();
        let mut child = command.spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the process has an invalid id"))?;
        let process = ProcessHandle::of_child(pid);
        let watch = shared.watch(&process);
        let pipes = StdPipes::take(&mut child)?;
        let monitor = Self {
            child,
            process,
            requests,
            tag,
            pipes: [inode(&pipes.stdout), inode(&pipes.stderr)],
            watch,
            shared,
            stop: None,
            _active: active,
        };
        Ok((monitor, pipes))
    }

    /// Waits until the child has exited or its [`ChildProcess`](super::ChildProcess) is dropped. Then it ends
    /// everything that is left.
    pub(super) fn run(mut self, exit: oneshot::Sender<Exit>) {
        let mut killed = Vec::new();
        if let Event::Abandoned = self.wait() {
            killed = tree::kill_watched(&self.process, |process| self.shared.watch(process));
            self.wait_for_exit();
        }
        let status = self.reap();
        // An error means that nobody waits for the status.
        let _ = exit.send(Exit {
            status,
            was_stopped: self.stop.is_some(),
        });
        self.watch = None;
        killed.extend(self.end_orphans());
        reap_adopted(killed, &self.process);
    }

    /// Waits while the child runs, and serves requests.
    fn wait(&mut self) -> Event {
        loop {
            let deadline = self.stop.and_then(|stop| stop.deadline);
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let has_request = self.poll(true, left);
            if self.has_exited() {
                return Event::Exited;
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Event::Abandoned;
            }
            let mut request = [0];
            if !has_request {
                continue;
            }
            match self.requests.read(&mut request) {
                Ok(1) if request == [STOP] => self.stop(),
                _ => return Event::Abandoned,
            }
        }
    }

    /// Sends the stop signal to the process group, as a terminal does, and sets the deadline.
    fn stop(&mut self) {
        let signal = self.shared.config.stop_signal;
        if let Some(signal) = signal.filter(|_| self.stop.is_none()) {
            self.signal_group(signal);
        }
        self.stop = self.shared.stop();
    }

    /// Waits until the killed child has exited, which takes as long as the kernel does.
    fn wait_for_exit(&mut self) {
        let started = Instant::now();
        let mut is_reported = false;
        while !self.has_exited() {
            self.poll(false, Some(EXIT_TIMEOUT));
            if !is_reported && started.elapsed() >= EXIT_TIMEOUT {
                warnings::process_not_exiting(self.process.pid);
                is_reported = true;
            }
        }
    }

    /// Waits until the child may have exited, or the timeout has passed, or, with `requests`, one has come.
    /// Returns whether one has come.
    fn poll(&self, requests: bool, timeout: Option<Duration>) -> bool {
        let mut descriptors = Vec::with_capacity(2);
        if requests {
            descriptors.push(PollFd::new(&self.requests, PollFlags::IN));
        }
        let timeout = match self.process.pidfd() {
            Some(pidfd) => {
                descriptors.push(PollFd::from_borrowed_fd(pidfd, PollFlags::IN));
                timeout
            }
            None => Some(POLL_INTERVAL),
        };
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        // After an error, such as an interruption by a signal, the callers look again.
        let _ = poll(&mut descriptors, timeout.as_ref());
        requests && !descriptors[0].revents().is_empty()
    }

    /// Returns whether the child has exited. On Linux it is not reaped, so that its id and its group's are not
    /// reused.
    #[cfg(target_os = "linux")]
    fn has_exited(&mut self) -> bool {
        !matches!(self.peek(), Ok(None))
    }

    #[cfg(not(target_os = "linux"))]
    fn has_exited(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Returns how the child has exited, or `None` while it runs, and does not reap it.
    ///
    /// It is an error when the program ignores SIGCHLD: the kernel has reaped the child.
    #[cfg(target_os = "linux")]
    fn peek(&self) -> rustix::io::Result<Option<WaitIdStatus>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(self.process.pid), options)
    }

    /// Kills the rest of the process group of the child that has exited, and reaps the child.
    fn reap(&mut self) -> io::Result<ExitStatus> {
        #[cfg(target_os = "linux")]
        {
            // Not after an error: the id may belong to another process by now.
            if self.peek().is_ok() {
                self.signal_group(Signal::KILL);
            }
            self.child.wait()
        }
        #[cfg(not(target_os = "linux"))]
        {
            let status = self.child.wait();
            if status.is_ok() {
                self.signal_group(Signal::KILL);
            }
            status
        }
    }

    /// Sends a signal to the process group of the child, which has not been reaped.
    fn signal_group(&self, signal: Signal) {
        // An error means that the group is empty.
        let _ = kill_process_group(self.process.pid, signal);
    }

    /// Ends the orphaned processes of the child, and reports those that it spares. Returns what it has killed.
    #[cfg(target_os = "linux")]
    fn end_orphans(&self) -> Vec<Killed> {
        let search = Search {
            tag: &self.tag,
            since: self.process.start.unwrap_or_default(),
            pipes: self.pipes,
            kill_doubtful: self.shared.config.kill_doubtful_orphans,
        };
        let found = search.run();
        self.shared.spare(found.doubtful);
        found.killed
    }

    /// Does nothing: only Linux shows the environment of other processes.
    #[cfg(not(target_os = "linux"))]
    fn end_orphans(&self) -> Vec<Killed> {
        let Self {
            tag: Tag {},
            pipes: _,
            ..
        } = self;
        Vec::new()
    }
}

/// Reaps the killed processes that this program has adopted, as the first process of a container or as a
/// subreaper. Nobody else would.
#[cfg(target_os = "linux")]
fn reap_adopted(mut killed: Vec<Killed>, child: &ProcessHandle) {
    // The rest of the child's group was killed without a look at who that was.
    killed.extend(
        proc_fs::children(getpid())
            .into_iter()
            .filter(|(pid, start)| {
                let group = proc_fs::stat(*pid).and_then(|stat| stat.group);
                *pid != child.pid && group == Some(child.pid) && Some(*start) >= child.start
            }),
    );
    let deadline = Instant::now() + EXIT_TIMEOUT;
    loop {
        killed.retain(|(pid, start)| {
            let stat = proc_fs::stat(*pid).filter(|stat| stat.start == *start);
            let is_ours = stat.is_some_and(|stat| stat.parent == Some(getpid()));
            if is_ours {
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
                let _ = waitid(WaitId::Pid(*pid), options);
            }
            is_ours
        });
        if killed.is_empty() || Instant::now() > deadline {
            return;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(not(target_os = "linux"))]
fn reap_adopted(_: Vec<Killed>, _: &ProcessHandle) {}

fn inode(pipe: impl AsFd) -> Option<u64> {
    Some(rustix::fs::fstat(pipe).ok()?.st_ino)
}

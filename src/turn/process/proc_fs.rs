//! Processes in Linux's `/proc`. A process that has exited has no value.

use std::{
    cell::Cell,
    fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    fs::{Mode, OFlags},
    io::Errno,
    process::Pid,
};

use super::warnings;

/// The pause between two attempts to open a file.
const PAUSE: Duration = Duration::from_millis(5);

thread_local! {
    /// How long this thread still waits for a free descriptor.
    static PATIENCE: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Fields of the file `stat` of a process or a thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stat {
    state: char,
    /// `None` for the first process of the namespace.
    pub(super) parent: Option<Pid>,
    /// The process group; `None` for that of another namespace.
    pub(super) group: Option<Pid>,
    /// The start time, in clock ticks since boot. Two processes with the same id have different ones.
    pub(super) start: u64,
}

/// Whether a process has a variable in its environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tagged {
    Yes,
    /// It has not, or it is a process of another user, which does not show it.
    No,
    /// The kernel holds the process, for example for a disk, or is just loading its program.
    Unknown,
}

/// Where a process writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// The descriptor is closed.
    Closed,
    /// A file or a device: the process was detached from the pipes and terminals of its start.
    Detached,
    /// A pipe that nobody reads, or a terminal that has hung up.
    Dead,
    /// The pipe with this inode, which somebody reads.
    Pipe(u64),
    /// A socket, or a terminal in use.
    Attached,
}

/// Has this thread wait for free descriptors, this long in all, when the program or the machine has none left.
pub(super) fn wait_for_descriptors(patience: Duration) {
    PATIENCE.set(patience);
}

/// Opens a file as `open` does, when a descriptor is free.
fn patiently<T>(open: impl Fn() -> io::Result<T>) -> io::Result<T> {
    loop {
        let result = open();
        let error = result.as_ref().err().and_then(Errno::from_io_error);
        let left = PATIENCE.get();
        if left.is_zero() || !matches!(error, Some(Errno::MFILE | Errno::NFILE)) {
            return result;
        }
        thread::sleep(PAUSE);
        PATIENCE.set(left.saturating_sub(PAUSE));
        if PATIENCE.get().is_zero() {
            warnings::descriptors_missing();
        }
    }
}

// === impl Stat ===

impl Stat {
    /// Returns whether the process has exited and waits for its parent.
    pub(super) const fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// Returns whether the kernel holds the process. Reading the environment may not end then, and no signal
    /// reaches the process.
    const fn is_held(&self) -> bool {
        self.state == 'D'
    }

    /// Returns whether the thread runs nothing until it is continued.
    const fn is_stopped(&self) -> bool {
        self.is_zombie() || matches!(self.state, 'T' | 't')
    }

    fn read(directory: &Path) -> Option<Self> {
        Self::parse(&patiently(|| fs::read_to_string(directory.join("stat"))).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The name before is in parentheses and may have any character.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        Some(Self {
            state: fields.next()?.chars().next()?,
            parent: Pid::from_raw(fields.next()?.parse().ok()?),
            // It is -1 while the process is being reaped.
            group: Pid::from_raw(fields.next()?.parse().ok().filter(|group| *group >= 0)?),
            start: fields.nth(16)?.parse().ok()?,
        })
    }
}

/// Returns the stat of a process.
pub(super) fn stat(pid: Pid) -> Option<Stat> {
    if !is_ours() {
        return None;
    }
    Stat::read(&directory(pid))
}

/// Returns all processes.
pub(super) fn processes() -> impl Iterator<Item = (Pid, Stat)> {
    let entries = is_ours().then(|| patiently(|| fs::read_dir("/proc")));
    let names = entries.into_iter().flatten().flatten().flatten();
    names.filter_map(|entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        Some((pid, stat(pid)?))
    })
}

/// Returns the children of a process, of all its threads, with their start times.
pub(super) fn children(parent: Pid) -> Vec<(Pid, u64)> {
    let lists = threads(parent)
        .filter_map(|thread| patiently(|| fs::read_to_string(thread.join("children"))).ok());
    let lists: Vec<_> = lists.collect();
    let pids = lists.iter().flat_map(|list| list.split_whitespace());
    let child = |pid: &str| {
        let pid = Pid::from_raw(pid.parse().ok()?)?;
        let stat = stat(pid)?;
        (stat.parent == Some(parent)).then_some((pid, stat.start))
    };
    pids.filter_map(child).collect()
}

/// Returns whether all threads of a process have stopped.
pub(super) fn has_stopped(pid: Pid) -> bool {
    threads(pid).all(|thread| Stat::read(&thread).is_none_or(|stat| stat.is_stopped()))
}

/// Returns whether the environment that a process was started with has `variable`, as `NAME=VALUE`.
pub(super) fn tagged(pid: Pid, stat: &Stat, variable: &str) -> Tagged {
    if stat.is_held() {
        return Tagged::Unknown;
    }
    let read = |name| patiently(|| fs::read(directory(pid).join(name)));
    let Ok(environment) = read("environ") else {
        return Tagged::No;
    };
    let mut variables = environment.split(|byte| *byte == 0);
    if variables.any(|each| each == variable.as_bytes()) {
        return Tagged::Yes;
    }
    // A process that executes a program has no arguments either, until the program is loaded.
    let is_loading = environment.is_empty() && read("cmdline").is_ok_and(|line| line.is_empty());
    match is_loading {
        true => Tagged::Unknown,
        false => Tagged::No,
    }
}

/// Returns where a descriptor of a process leads.
pub(super) fn output(pid: Pid, descriptor: u8) -> Output {
    let path = directory(pid).join("fd").join(descriptor.to_string());
    let Ok(target) = fs::read_link(&path) else {
        return Output::Closed;
    };
    let target = target.as_os_str().as_encoded_bytes();
    let pipe = target.strip_prefix(b"pipe:[");
    if target.starts_with(b"socket:") {
        return Output::Attached;
    }
    if pipe.is_none() && !target.starts_with(b"/dev/pts/") {
        return Output::Detached;
    }
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let is_dead = match rustix::fs::open(&path, flags, Mode::empty()) {
        // Opening a terminal fails when it has hung up; opening a pipe never fails, unlike a FIFO.
        Ok(output) => has_no_reader(&output),
        Err(error) => matches!(error, Errno::IO | Errno::NOENT | Errno::NXIO),
    };
    match is_dead {
        true => Output::Dead,
        false => pipe.and_then(inode).map_or(Output::Attached, Output::Pipe),
    }
}

/// Returns whether writing to a pipe or a terminal would fail.
fn has_no_reader(output: &OwnedFd) -> bool {
    let mut outputs = [PollFd::new(output, PollFlags::OUT)];
    let now = Timespec::default();
    let polled = poll(&mut outputs, Some(&now));
    let failed = PollFlags::ERR | PollFlags::HUP;
    polled.is_ok() && outputs[0].revents().intersects(failed)
}

/// Returns the number in `4026]`.
fn inode(text: &[u8]) -> Option<u64> {
    let text = str::from_utf8(text.strip_suffix(b"]")?).ok()?;
    text.parse().ok()
}

fn threads(pid: Pid) -> impl Iterator<Item = PathBuf> {
    let entries = patiently(|| fs::read_dir(directory(pid).join("task")));
    let entries = entries.into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

fn directory(pid: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()))
}

/// Returns whether `/proc` has the process ids of this process's namespace. In a container it may have those
/// of the host, which are other processes here.
fn is_ours() -> bool {
    static IS_OURS: OnceLock<bool> = OnceLock::new();
    *IS_OURS.get_or_init(|| {
        let pid = std::process::id().to_string();
        fs::read_link("/proc/self").is_ok_and(|target| target.as_os_str() == pid.as_str())
    })
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::pipe,
        process::{Command, Stdio},
        time::Instant,
    };

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    /// Starts a process with this standard output, does `then`, and waits until the output leads where it is
    /// expected to. Another thread that forks at this moment has everything open until it executes a program.
    #[track_caller]
    fn check(expected: Output, stdout: impl Into<Stdio>, then: impl FnOnce()) {
        let mut child = Command::new("sleep")
            .arg("300")
            .stdout(stdout)
            .spawn()
            .unwrap();
        then();
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while output(pid, 1) != expected && Instant::now() < deadline {
            thread::yield_now();
        }
        let output = output(pid, 1);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(output, expected);
    }

    #[test]
    fn a_process_that_is_being_reaped_has_no_stat() {
        let stat = |group| format!("7 (sh) X 0 {group} -1 0 -1{}", " 0".repeat(20));
        assert!(Stat::parse(&stat(0)).is_some());
        assert!(Stat::parse(&stat(-1)).is_none());
    }

    #[test]
    fn an_output_to_a_file_or_a_device_is_detached() {
        check(Output::Detached, Stdio::null(), || ());
        let file = tempfile::tempfile().unwrap();
        check(Output::Detached, file, || ());
    }

    #[test]
    fn a_pipe_is_dead_once_its_reader_is_closed() {
        let (reader, writer) = pipe().unwrap();
        let inode = rustix::fs::fstat(&reader).unwrap().st_ino;
        check(Output::Pipe(inode), writer, || ());
        let (reader, writer) = pipe().unwrap();
        check(Output::Dead, writer, || drop(reader));
    }

    #[test]
    fn a_terminal_is_dead_once_it_has_hung_up() {
        let terminal = || {
            let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC);
            let terminal = terminal.unwrap();
            grantpt(&terminal).unwrap();
            unlockpt(&terminal).unwrap();
            let name = ptsname(&terminal, Vec::new()).unwrap();
            let slave = File::options()
                .write(true)
                .open(name.to_str().unwrap())
                .unwrap();
            (terminal, slave)
        };
        let (_master, slave) = terminal();
        check(Output::Attached, slave, || ());
        let (master, slave) = terminal();
        check(Output::Dead, slave, || drop(master));
    }

    #[test]
    fn a_socket_is_attached() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let theirs = std::os::fd::OwnedFd::from(theirs);
        check(Output::Attached, theirs, || drop(ours));
    }
}

//! Orphaned processes: those that a child has started and that have outlived it.
//!
//! When a child exits by itself, or another program kills it, what it has started loses its parent and is
//! adopted by the first process of the machine or of the container, or by another reaper above this process.
//! It is found by its [`Tag`]. But not everything with the tag may be killed: a daemon that the child started,
//! such as a build server, may work for others by now, and so may the processes below it.
//!
//! So an orphaned process, the root of a tree, is judged by where its standard output and standard error lead.
//!
//! | they lead | it is | it is |
//! |---|---|---|
//! | nowhere any more, or to the pipes of the child itself | an orphan that nobody listens to | killed, with everything below it |
//! | to files and devices | a daemon | spared, with everything below it |
//! | to a pipe, a socket or a terminal that somebody else has open; or one to a file, the other nowhere | doubtful | reported, or killed if the program asked for it |
//!
//! A process below another one that has no tag belongs to that one, and is spared.

use std::{
    collections::{HashMap, HashSet},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, getpid};

use super::{
    handle::ProcessHandle,
    proc_fs::{self, Output, Stat, Tagged},
    tag::Tag,
    tree::{self, Killed},
};

/// The maximum number of searches. More than one is needed when what is killed reveals others: the writer
/// of a pipe between two orphans.
const MAX_SEARCHES: usize = 16;

/// The pause after the first search without a result. It doubles, because each search reads all of `/proc`.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// How long to search for the tag of processes that do not show it yet. See [`Tagged::Unknown`].
const UNKNOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// A search for what a child has left behind.
#[derive(Debug)]
pub(super) struct Search<'a> {
    pub(super) tag: &'a Tag,
    /// The start of the child. No earlier process is its orphan.
    pub(super) since: u64,
    /// The inodes of the pipes of the child's standard output and standard error.
    pub(super) pipes: [Option<u64>; 2],
    pub(super) kill_doubtful: bool,
}

#[derive(Debug, Default)]
pub(super) struct Found {
    /// All that was killed.
    pub(super) killed: Vec<Killed>,
    /// The roots that were spared because it is unknown whom they work for.
    pub(super) doubtful: Vec<Killed>,
}

/// The orphaned processes of one search.
struct Roots {
    /// Those with the tag.
    tagged: Vec<(Pid, u64)>,
    /// Whether there are others that may have it.
    has_unknown: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Orphan,
    Daemon,
    Doubtful,
}

// === impl Search ===

impl Search<'_> {
    /// Searches until there is nothing left to kill.
    pub(super) fn run(&self) -> Found {
        let mut found = Found::default();
        let deadline = Instant::now() + UNKNOWN_TIMEOUT;
        let mut pause = FIRST_PAUSE;
        let mut searches_left = MAX_SEARCHES;
        while searches_left > 0 {
            let roots = self.roots();
            let (mut victims, mut doubtful) = (Vec::new(), Vec::new());
            for (pid, start) in roots.tagged {
                match self.judge(pid) {
                    Verdict::Orphan => victims.push((pid, start)),
                    Verdict::Doubtful if self.kill_doubtful => victims.push((pid, start)),
                    Verdict::Doubtful => doubtful.push((pid, start)),
                    Verdict::Daemon => {}
                }
            }
            found.doubtful = doubtful;
            if victims.is_empty() {
                // One more in any case: a process that was being forked is not in the list.
                let is_last = pause > FIRST_PAUSE;
                if is_last && (!roots.has_unknown || Instant::now() >= deadline) {
                    break;
                }
                thread::sleep(pause);
                pause *= 2;
                continue;
            }
            searches_left -= 1;
            for (pid, start) in victims {
                if let Some(root) = ProcessHandle::open(pid, start) {
                    found.killed.push((pid, start));
                    found.killed.extend(tree::kill(&root));
                }
            }
        }
        found
    }

    /// Returns the processes with the tag whose parent is a reaper of orphans.
    fn roots(&self) -> Roots {
        let processes: HashMap<_, _> = proc_fs::processes().collect();
        let reapers = reapers(&processes);
        let is_root = |stat: &Stat| {
            let is_orphaned = stat.parent.is_none_or(|parent| reapers.contains(&parent));
            is_orphaned && stat.start >= self.since && !stat.is_zombie()
        };
        let mut roots = Roots {
            tagged: Vec::new(),
            has_unknown: false,
        };
        for (pid, stat) in processes.iter().filter(|(_, stat)| is_root(stat)) {
            match proc_fs::tagged(*pid, stat, &self.tag.variable) {
                Tagged::Yes => roots.tagged.push((*pid, stat.start)),
                Tagged::No => {}
                Tagged::Unknown => roots.has_unknown = true,
            }
        }
        roots
    }

    fn judge(&self, pid: Pid) -> Verdict {
        let outputs = [1, 2].map(|descriptor| match proc_fs::output(pid, descriptor) {
            Output::Pipe(inode) if self.pipes.contains(&Some(inode)) => Output::Dead,
            output => output,
        });
        let any = |is: fn(&Output) -> bool| outputs.iter().any(is);
        let is_dead = any(|output| *output == Output::Dead);
        let is_detached = any(|output| *output == Output::Detached);
        match any(|output| matches!(output, Output::Pipe(_) | Output::Attached)) {
            true => Verdict::Doubtful,
            false if is_dead && is_detached => Verdict::Doubtful,
            false if is_dead => Verdict::Orphan,
            false => Verdict::Daemon,
        }
    }
}

/// Returns the processes that may adopt an orphan: this one and all above it.
fn reapers(processes: &HashMap<Pid, Stat>) -> HashSet<Pid> {
    let mut reapers = HashSet::from([Pid::INIT]);
    let mut next = Some(getpid());
    while let Some(pid) = next
        && reapers.insert(pid)
    {
        next = processes.get(&pid).and_then(|stat| stat.parent);
    }
    reapers
}

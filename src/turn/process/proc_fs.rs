//! Processes in Linux's `/proc`.

use std::{fs, path::Path};

use rustix::process::Pid;

/// Fields of the file `stat` of a process or a thread.
pub(in crate::turn) struct Stat {
    pub(in crate::turn) state: char,
    pub(in crate::turn) parent: Option<Pid>,
    /// The start time, in clock ticks since boot. Two processes with the same id have different ones.
    pub(in crate::turn) start: u64,
}

/// Returns whether `/proc` has the process ids of this process's namespace. In a container it may have those
/// of the host, which are other processes here.
pub(in crate::turn) fn is_ours() -> bool {
    let pid = std::process::id().to_string();
    fs::read_link("/proc/self").is_ok_and(|target| target.as_os_str() == pid.as_str())
}

/// Returns the start time of a process; `None` when it is unknown.
pub(in crate::turn) fn start(pid: Pid) -> Option<u64> {
    let directory = format!("/proc/{}", pid.as_raw_nonzero());
    is_ours()
        .then(|| stat(Path::new(&directory)))?
        .map(|stat| stat.start)
}

/// Reads the stat of a process or thread, by its directory; `None` when it has exited.
pub(in crate::turn) fn stat(directory: &Path) -> Option<Stat> {
    let stat = fs::read_to_string(directory.join("stat")).ok()?;
    // The name before is in parentheses and may have any character.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<_> = fields.split(' ').collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: Pid::from_raw(fields.get(1)?.parse().ok()?),
        start: fields.get(19)?.parse().ok()?,
    })
}

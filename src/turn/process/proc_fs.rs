//! What Linux tells of processes in `/proc`.

use std::{fs, path::Path};

use rustix::process::Pid;

/// A process or a thread, as its file `stat` shows it.
pub(in crate::turn) struct Stat {
    pub(in crate::turn) state: char,
    pub(in crate::turn) parent: Option<Pid>,
    /// When it was started, in ticks of a clock that began when the system did. No two processes that
    /// had the same number share it.
    pub(in crate::turn) start: u64,
}

/// Whether `/proc` numbers processes as this process does. In a container it may be the host's, and the
/// numbers in it strangers here.
pub(in crate::turn) fn is_ours() -> bool {
    let ours = std::process::id().to_string();
    fs::read_link("/proc/self").is_ok_and(|told| told.as_os_str() == ours.as_str())
}

/// When a process was started, where that can be told.
pub(in crate::turn) fn start(pid: Pid) -> Option<u64> {
    let directory = format!("/proc/{}", pid.as_raw_nonzero());
    is_ours()
        .then(|| stat(Path::new(&directory)))?
        .map(|stat| stat.start)
}

/// Looks at the process or thread of a directory; `None` when it is gone.
pub(in crate::turn) fn stat(directory: &Path) -> Option<Stat> {
    let stat = fs::read_to_string(directory.join("stat")).ok()?;
    // The name is in parentheses and may hold any character.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<_> = fields.split(' ').collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: Pid::from_raw(fields.get(1)?.parse().ok()?),
        start: fields.get(19)?.parse().ok()?,
    })
}

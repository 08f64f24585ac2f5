//! The processes of this machine, by what is unique to a test's.
#![cfg(target_os = "linux")]

use std::{
    fmt, fs,
    path::Path,
    process::{self, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// A process that is neither gone nor a zombie.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) command_line: String,
    environment: Vec<u8>,
}

/// Shows what tells one process from another; the environment is the machine's, and may hold secrets.
impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.command_line)
    }
}

/// A number of seconds for `sleep`, longer than any test, that no other process sleeps.
pub(crate) fn odd_duration() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("300.{}{:03}", process::id(), NEXT.fetch_add(1, Relaxed))
}

/// The processes with `marker` on their command line.
pub(crate) fn running(marker: &str) -> Vec<Process> {
    let mut all = all();
    all.retain(|process| process.command_line.contains(marker));
    all
}

/// The processes of a Codex directory: Codex itself, the commands it runs, which inherit its
/// environment, and what was started from a file in it.
pub(crate) fn of_home(home: &Path) -> Vec<Process> {
    let path = home.display().to_string();
    let marker = format!("CODEX_HOME={path}");
    let mut all = all();
    all.retain(|process| {
        let mut variables = process.environment.split(|byte| *byte == 0);
        let of_codex = variables.any(|variable| variable == marker.as_bytes());
        of_codex || process.command_line.contains(&path)
    });
    all
}

/// Whether there is such a process, be it a zombie.
pub(crate) fn exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// Kills what a failed test has left.
pub(crate) fn kill_left_over(home: &Path) {
    for process in of_home(home) {
        let _ = Command::new("kill")
            .args(["-KILL", &process.pid.to_string()])
            .stderr(Stdio::null())
            .status();
    }
}

fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap();
    let names = entries.flatten().map(|entry| entry.file_name());
    let pids = names.filter_map(|name| name.to_str()?.parse().ok());
    pids.filter_map(look).collect()
}

fn look(pid: u32) -> Option<Process> {
    let read = |name| fs::read(format!("/proc/{pid}/{name}")).ok();
    // A zombie's is empty.
    let command_line = read("cmdline").filter(|bytes| !bytes.is_empty())?;
    let command_line = command_line.split(|byte| *byte == 0);
    let words: Vec<_> = command_line.map(String::from_utf8_lossy).collect();
    Some(Process {
        pid,
        command_line: words.join(" "),
        environment: read("environ")?,
    })
}

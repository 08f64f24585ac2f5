//! The processes of this machine, found by what is unique to a test.
#![cfg(target_os = "linux")]

use std::{
    fmt, fs,
    path::Path,
    process::{self, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// A running process, which is not a zombie.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) command_line: String,
    environment: Vec<u8>,
}

/// Shows the id and the command line. The environment may have secrets of the machine.
impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.command_line)
    }
}

/// Returns a duration for `sleep`, longer than any test, that no other process has.
pub(crate) fn odd_duration() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("300.{}{:03}", process::id(), NEXT.fetch_add(1, Relaxed))
}

/// Returns the processes with `marker` on their command line.
pub(crate) fn running(marker: &str) -> Vec<Process> {
    let mut all = all();
    all.retain(|process| process.command_line.contains(marker));
    all
}

/// Returns the processes of a `CODEX_HOME`: Codex itself, its commands, which inherit its environment, and
/// the programs that were started from a file in it.
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

/// Returns whether a process exists, even as a zombie.
pub(crate) fn exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// Kills the processes that a failed test has left.
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
    pids.filter_map(stat).collect()
}

fn stat(pid: u32) -> Option<Process> {
    let read = |name| fs::read(format!("/proc/{pid}/{name}")).ok();
    // It is empty for a zombie.
    let command_line = read("cmdline").filter(|bytes| !bytes.is_empty())?;
    let command_line = command_line.split(|byte| *byte == 0);
    let words: Vec<_> = command_line.map(String::from_utf8_lossy).collect();
    Some(Process {
        pid,
        command_line: words.join(" "),
        environment: read("environ")?,
    })
}

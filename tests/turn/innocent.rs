//! Which of the processes that a turn has started are killed when Codex has exited, and which live, because
//! somebody else may use them.
#![cfg(target_os = "linux")]

use std::{fs, process::Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{
    GOOD_TURN, Stack, comes_true, detached, fake_codex, request, running, unique_sleep, until_gone,
};

/// A process that has to live, and its directory.
///
/// Dropping it kills the process, and all others that show its command in theirs.
struct Worker {
    /// The whole command line of the process. No other process has it.
    command: String,
    directory: TempDir,
}

/// The process that a worker is a child of while its turn ends.
#[derive(Clone, Copy)]
enum Parent {
    /// The one that started it.
    Starter,
    /// Init or a subreaper: the one that started it has exited.
    Init,
}

#[tokio::test]
async fn an_orphaned_process_that_writes_to_the_pipes_of_the_turn_is_killed() {
    let sleep = unique_sleep();
    let stack = Stack::new(fake_codex());
    // In a session of its own, so that it is not in the process group of Codex.
    let turn = stack
        .run(request(&format!("setsid {sleep} & {GOOD_TURN}")))
        .await;
    assert!(turn.is_ok(), "{turn:?}");
    until_gone(&sleep).await;
}

/// As a command of Codex does, whose pipes end with a Codex that is killed.
#[tokio::test]
async fn an_orphaned_process_whose_reader_has_exited_is_killed() {
    let sleep = unique_sleep();
    let stack = Stack::new(fake_codex());
    // The kernel kills the writer at the next write, but it writes nothing.
    let script = format!("setsid {sleep} 2>&1 | : & {GOOD_TURN}");
    assert!(stack.run(request(&script)).await.is_ok());
    stack.bare().drain().await;
    until_gone(&sleep).await;
}

/// While the kernel waits for a disk, no signal reaches a process, and its environment may not be readable.
#[tokio::test]
async fn an_orphaned_process_that_waits_for_the_disk_is_killed() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let stack = Stack::new(fake_codex().kill_doubtful_orphans(true));
    // It waits for the disk about half of the time.
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        let file = directory.path().join(name).display().to_string();
        let script = format!(
            "setsid dd if=/dev/zero of={file} bs=1M count=500 oflag=dsync &
            until test -s {file}; do sleep 0.01; done
            {GOOD_TURN}"
        );
        assert!(stack.run(request(&script)).await.is_ok());
        stack.bare().drain().await;
        assert_eq!(running(&file), None);
        fs::remove_file(file).unwrap();
    }
}

/// A build server, for example, may by now do the work of another turn.
#[tokio::test]
async fn a_worker_that_writes_to_its_daemon_lives() {
    let worker = Worker::new();
    let script = worker.script("out=$(exec WORKER)");
    let script = format!("setsid sh -c '{script}' <&- >/dev/null 2>&1 &");
    worker.survives_a_turn(&script, Parent::Starter).await;
}

#[tokio::test]
async fn a_worker_whose_parent_has_exited_and_that_writes_to_its_daemon_lives() {
    let worker = Worker::new();
    // The subshell exits; the daemon reads the pipe until it closes.
    let script = worker.script("out=$(WORKER &)");
    let script = format!("setsid sh -c '{script}' <&- >/dev/null 2>&1 &");
    worker.survives_a_turn(&script, Parent::Init).await;
}

/// A server that ran before the turn may start a process with the environment of its client, as tmux does.
#[tokio::test]
async fn a_process_that_a_server_has_started_for_the_turn_lives() {
    let worker = Worker::new();
    let server = worker.script(
        r#"
        until [ -e "$DIRECTORY/environment" ]; do sleep 0.01; done
        out=$(exec xargs -0 sh -c 'exec env -i "$@" WORKER' sh <"$DIRECTORY/environment")
        "#,
    );
    let mut server = Command::new("sh")
        .args(["-c", &server])
        .env("DIRECTORY", worker.directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let client = r#"
        cp "/proc/$$/environ" "$DIRECTORY/new"
        mv "$DIRECTORY/new" "$DIRECTORY/environment"
    "#;
    worker.survives_a_turn(client, Parent::Starter).await;
    server.wait().await.unwrap();
}

// === impl Worker ===

impl Worker {
    fn new() -> Self {
        Self {
            command: unique_sleep(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// Returns a script with the command in place of `WORKER`.
    fn script(&self, script: &str) -> String {
        script.replace("WORKER", &self.command)
    }

    /// Runs a turn whose Codex runs `script` and exits when the worker is a child of `parent`. Fails unless
    /// the worker lives on.
    async fn survives_a_turn(self, script: &str, parent: Parent) {
        // An orphaned process that is younger than the worker, so that no search finds it first.
        let orphan = unique_sleep();
        let start_orphan = detached(&orphan);
        let script = format!(
            "{script}
            until [ -e \"$DIRECTORY/exit\" ]; do sleep 0.01; done
            {start_orphan}{GOOD_TURN}"
        );
        let request = request(&script).with_env("DIRECTORY", self.directory.path());
        let stack = Stack::new(fake_codex());
        let exit = async {
            let runs = comes_true(|| self.is_child_of(parent)).await;
            assert!(runs, "not running as wanted: {}", self.command);
            let pid = self.pid();
            fs::write(self.directory.path().join("exit"), "").unwrap();
            pid
        };
        let (turn, pid) = tokio::join!(stack.run(request), exit);
        assert!(turn.is_ok(), "{turn:?}");
        stack.bare().drain().await;
        until_gone(&orphan).await;
        assert_eq!(self.pid(), pid, "the worker was killed");

        self.kill();
        until_gone(&self.command).await;
    }

    fn is_child_of(&self, parent: Parent) -> bool {
        let line = self.pid().and_then(parent_of).map(command_line);
        line.is_some_and(|line| match parent {
            Parent::Starter => line.contains(&self.command),
            Parent::Init => !line.contains(&self.command),
        })
    }

    fn pid(&self) -> Option<Pid> {
        let mut pids = pids();
        pids.find(|pid| command_line(*pid) == self.command)
    }

    fn kill(&self) {
        for pid in pids().filter(|pid| command_line(*pid).contains(&self.command)) {
            // An error means that it has exited.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

// === /proc ===

fn pids() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// Returns the words of a command line, or nothing for a process that has exited.
fn command_line(pid: Pid) -> String {
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    line.trim_end().to_owned()
}

fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Pid::from_raw(fields.split(' ').nth(1)?.parse().ok()?)
}

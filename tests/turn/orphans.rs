//! A program that dies without dropping its turns leaves no process: the watchdog kills them.
//!
//! The program is this test binary, started again to run the same test alone. An environment variable tells
//! the test that it is the program.
#![cfg(target_os = "linux")]

use std::{
    env,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    pin::pin,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::{
    fs::OFlags,
    process::{Pid, Signal},
};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::support::{
    GOOD_TURN, Stack, fake_codex, pid_of, poll_until_running, request, running, signal,
    unique_sleep, until_gone, until_running,
};

/// What the fake Codex does in the program, and what it shows on a command line.
const SCRIPT: &str = "ORPHANS_TEST_SCRIPT";
const MARKER: &str = "ORPHANS_TEST_MARKER";

/// The directory of the program's files, which a program that is killed does not remove.
const DIRECTORY: &str = "ORPHANS_TEST_DIRECTORY";

const LOG: &str = "log";

/// A program that runs one turn.
pub(crate) struct Program {
    child: Child,
    directory: TempDir,
}

impl Program {
    /// Starts `test` again as a program whose Codex runs `script`, which shows `marker`.
    pub(crate) fn start(test: &str, script: &str, marker: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(SCRIPT, script)
            .env(MARKER, marker)
            .env(DIRECTORY, directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Self {
            child: child.unwrap(),
            directory,
        }
    }

    /// Waits until the program has succeeded; returns what it has logged.
    pub(crate) async fn log(self) -> String {
        let Self {
            mut child,
            directory,
        } = self;
        let exit = tokio::task::spawn_blocking(move || child.wait().unwrap());
        assert!(exit.await.unwrap().success());
        fs::read_to_string(directory.path().join(LOG)).unwrap()
    }

    fn watchdog(&self) -> String {
        watchdog_of(self.child.id())
    }

    /// Waits until the program and its watchdog have exited.
    pub(crate) async fn exit(mut self) -> ExitStatus {
        let watchdog = self.watchdog();
        let exit = tokio::task::spawn_blocking(move || self.child.wait().unwrap());
        let status = exit.await.unwrap();
        until_gone(&watchdog).await;
        status
    }

    pub(crate) async fn kill(mut self) {
        self.child.kill().unwrap();
        self.exit().await;
    }
}

/// Returns a part of the command line of a program's watchdog.
fn watchdog_of(pid: u32) -> String {
    format!("codex-watchdog {pid} ")
}

/// Returns the script and its marker in the program, and nothing in the test.
pub(crate) fn in_program() -> Option<(String, String)> {
    Some((env::var(SCRIPT).ok()?, env::var(MARKER).ok()?))
}

/// Has the program write its warnings to the log.
pub(crate) fn start_log() {
    let path = Path::new(&env::var(DIRECTORY).unwrap()).join(LOG);
    let file = std::sync::Mutex::new(fs::File::create(path).unwrap());
    tracing_subscriber::fmt()
        .with_writer(file)
        .with_ansi(false)
        .init();
}

/// Runs a turn of the program. The script begins once the turn has got a line, so that the watchdog knows
/// of it.
async fn run_turn(stack: &Stack, script: &str) {
    let gate = Path::new(&env::var(DIRECTORY).unwrap()).join("gate");
    let script = format!(
        r#"echo '{{"type":"turn.started"}}'; until test -e '{}'; do sleep 0.01; done; {script}"#,
        gate.display()
    );
    let (sender, mut progress) = mpsc::channel(8);
    let turn = stack.run(request(&script).with_progress(sender));
    let open_gate = async {
        progress.recv().await.unwrap();
        fs::write(&gate, "").unwrap();
    };
    let _ = tokio::join!(turn, open_gate);
}

/// Fills the pipe that a watchdog reads from with empty lines.
fn fill(watchdog: Pid) {
    let mut pipe = OpenOptions::new()
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(format!("/proc/{}/fd/0", watchdog.as_raw_nonzero()))
        .unwrap();
    while pipe.write(b"\n").is_ok() {}
}

#[tokio::test]
async fn a_program_that_is_killed_leaves_no_process_of_its_turn() {
    if let Some((script, _)) = in_program() {
        return run_turn(&Stack::new(fake_codex()), &script).await;
    }
    // In the group, in their own sessions, below one another, and without reaction to signals.
    let (sleep, last) = (unique_sleep(), unique_sleep());
    let script = format!(
        "trap '' HUP INT TERM
         {sleep} &
         setsid sh -c 'setsid {sleep} & ({sleep} & wait) & {last}; wait' &
         wait"
    );
    let test = "orphans::a_program_that_is_killed_leaves_no_process_of_its_turn";
    let program = Program::start(test, &script, &last);
    until_running(&last).await;
    program.kill().await;
    until_gone(&sleep).await;
    until_gone(&last).await;
}

#[tokio::test]
async fn a_program_that_exits_during_a_turn_leaves_no_process_of_it() {
    if let Some((script, marker)) = in_program() {
        tokio::spawn(async move { run_turn(&Stack::new(fake_codex()), &script).await });
        until_running(&marker).await;
        std::process::exit(7);
    }
    let sleep = unique_sleep();
    let script = format!("setsid {sleep} & wait");
    let test = "orphans::a_program_that_exits_during_a_turn_leaves_no_process_of_it";
    let program = Program::start(test, &script, &sleep);
    assert_eq!(program.exit().await.code(), Some(7));
    until_gone(&sleep).await;
}

#[tokio::test]
async fn a_program_that_aborts_leaves_no_process_of_its_turn() {
    if let Some((script, marker)) = in_program() {
        tokio::spawn(async move { run_turn(&Stack::new(fake_codex()), &script).await });
        until_running(&marker).await;
        std::process::abort();
    }
    let sleep = unique_sleep();
    let script = format!("setsid {sleep} & wait");
    let test = "orphans::a_program_that_aborts_leaves_no_process_of_its_turn";
    let program = Program::start(test, &script, &sleep);
    assert_eq!(program.exit().await.code(), None);
    until_gone(&sleep).await;
}

#[tokio::test]
async fn a_watchdog_exits_with_its_service() {
    if let Some((script, _)) = in_program() {
        let stack = Stack::new(fake_codex());
        stack.run(request(&script)).await.unwrap();
        let watchdog = watchdog_of(std::process::id());
        let pid = pid_of(&watchdog).await.as_raw_nonzero();
        drop(stack);
        // A reaped process leaves no zombie.
        while std::path::Path::new(&format!("/proc/{pid}")).exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        return;
    }
    let test = "orphans::a_watchdog_exits_with_its_service";
    let program = Program::start(test, GOOD_TURN, "");
    assert!(program.exit().await.success());
}

#[tokio::test]
async fn a_killed_watchdog_is_replaced() {
    if let Some((script, _)) = in_program() {
        let stack = Stack::new(fake_codex());
        stack.run(request(GOOD_TURN)).await.unwrap();
        let watchdog = watchdog_of(std::process::id());
        let first = pid_of(&watchdog).await;
        signal(first, Signal::KILL);
        until_gone(&watchdog).await;
        stack.run(request(GOOD_TURN)).await.unwrap();
        assert_ne!(pid_of(&watchdog).await, first);
        return run_turn(&stack, &script).await;
    }
    let sleep = unique_sleep();
    let script = format!("setsid {sleep} & wait");
    let program = Program::start("orphans::a_killed_watchdog_is_replaced", &script, &sleep);
    until_running(&sleep).await;
    program.kill().await;
    until_gone(&sleep).await;
}

#[tokio::test]
async fn a_watchdog_that_does_not_read_is_replaced_and_hands_on_what_it_watches() {
    if let Some((script, marker)) = in_program() {
        let stack = Stack::new(fake_codex());
        let mut turn = pin!(run_turn(&stack, &script));
        poll_until_running(&mut turn, &marker).await;
        let first = pid_of(&watchdog_of(std::process::id())).await;
        signal(first, Signal::STOP);
        fill(first);
        stack.run(request(GOOD_TURN)).await.unwrap();
        assert_ne!(pid_of(&watchdog_of(std::process::id())).await, first);
        std::process::exit(7);
    }
    let sleep = unique_sleep();
    let script = format!("setsid {sleep} & wait");
    let test = "orphans::a_watchdog_that_does_not_read_is_replaced_and_hands_on_what_it_watches";
    let program = Program::start(test, &script, &sleep);
    assert_eq!(program.exit().await.code(), Some(7));
    until_gone(&sleep).await;
}

#[tokio::test]
async fn a_watchdog_ignores_the_signals_that_end_its_program() {
    if let Some((script, _)) = in_program() {
        return run_turn(&Stack::new(fake_codex()), &script).await;
    }
    let sleep = unique_sleep();
    let script = format!("setsid {sleep} & wait");
    let program = Program::start(
        "orphans::a_watchdog_ignores_the_signals_that_end_its_program",
        &script,
        &sleep,
    );
    until_running(&sleep).await;
    for each in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM] {
        signal(pid_of(&program.watchdog()).await, each);
    }
    program.kill().await;
    until_gone(&sleep).await;
}

#[tokio::test]
async fn a_disabled_watchdog_does_not_start() {
    if let Some((script, _)) = in_program() {
        let stack = Stack::new(fake_codex().watchdog(false));
        stack.run(request(&script)).await.unwrap();
        assert_eq!(running(&watchdog_of(std::process::id())), None);
        return;
    }
    let test = "orphans::a_disabled_watchdog_does_not_start";
    let program = Program::start(test, GOOD_TURN, "");
    assert!(program.exit().await.success());
}

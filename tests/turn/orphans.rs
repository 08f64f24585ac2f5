//! Programs that die without ending their turns, and what is left of those: nothing.
//!
//! The program is this test binary, started again to run the same test alone, which then finds out by a
//! variable that it is the program.
#![cfg(target_os = "linux")]

use std::{
    env,
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::fs::OFlags;

use crate::support::{GOOD_TURN, Stack, fake_codex, gone, request, running, there};

const SCRIPT: &str = "ORPHANS_TEST_SCRIPT";

/// A program that runs one turn.
struct Program(Child);

impl Program {
    /// Starts `test` again as a program whose Codex runs `script`.
    fn start(test: &str, script: &str) -> Self {
        let program = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(SCRIPT, script)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(program.unwrap())
    }

    fn watchdog(&self) -> String {
        watchdog_of(self.0.id())
    }

    /// Waits for its end, and that of its watchdog.
    async fn end(mut self) -> ExitStatus {
        let watchdog = self.watchdog();
        let ended = tokio::task::spawn_blocking(move || self.0.wait().unwrap());
        let status = ended.await.unwrap();
        gone(&watchdog).await;
        status
    }

    async fn kill(mut self) {
        self.0.kill().unwrap();
        self.end().await;
    }
}

/// What is on the command line of a process's watchdog.
fn watchdog_of(pid: u32) -> String {
    format!("codex-watchdog {pid} ")
}

/// The script, in the program.
fn script() -> Option<String> {
    env::var(SCRIPT).ok()
}

/// Runs the turn of the program.
async fn turn(script: &str) {
    let stack = Stack::new(fake_codex());
    let _ = stack.run(request(script)).await;
}

fn signal(name: &str, pid: u32) {
    let pid = pid.to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status();
    assert!(sent.unwrap().success());
}

fn pid_of(marker: &str) -> u32 {
    let line = running(marker).unwrap();
    line.split(' ').next().unwrap().parse().unwrap()
}

/// Fills the pipe that a watchdog reads from, with lines that say nothing.
fn fill(watchdog: u32) {
    let mut pipe = OpenOptions::new()
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(format!("/proc/{watchdog}/fd/0"))
        .unwrap();
    while pipe.write(b"\n").is_ok() {}
}

#[tokio::test]
async fn a_program_that_is_killed_leaves_nothing_of_its_turn() {
    if let Some(script) = script() {
        return turn(&script).await;
    }
    // In the group, in sessions of their own, deaf to signals, and below one another.
    let program = Program::start(
        "orphans::a_program_that_is_killed_leaves_nothing_of_its_turn",
        "trap '' HUP INT TERM
         sleep 304.501 &
         setsid sh -c 'setsid sleep 304.501 & (sleep 304.501 & wait) & sleep 304.502; wait' &
         wait",
    );
    there("sleep 304.502").await;
    program.kill().await;
    gone("sleep 304.501").await;
    gone("sleep 304.502").await;
}

#[tokio::test]
async fn a_program_that_exits_in_the_middle_of_a_turn_leaves_nothing_of_it() {
    if let Some(script) = script() {
        tokio::spawn(async move { turn(&script).await });
        there("sleep 304.503").await;
        std::process::exit(7);
    }
    let program = Program::start(
        "orphans::a_program_that_exits_in_the_middle_of_a_turn_leaves_nothing_of_it",
        "setsid sleep 304.503 & wait",
    );
    assert_eq!(program.end().await.code(), Some(7));
    gone("sleep 304.503").await;
}

#[tokio::test]
async fn a_program_that_aborts_leaves_nothing_of_its_turn() {
    if let Some(script) = script() {
        tokio::spawn(async move { turn(&script).await });
        there("sleep 304.504").await;
        std::process::abort();
    }
    let program = Program::start(
        "orphans::a_program_that_aborts_leaves_nothing_of_its_turn",
        "setsid sleep 304.504 & wait",
    );
    assert_eq!(program.end().await.code(), None);
    gone("sleep 304.504").await;
}

#[tokio::test]
async fn a_watchdog_is_gone_with_its_service_and_not_before() {
    if let Some(script) = script() {
        let stack = Stack::new(fake_codex());
        stack.run(request(&script)).await.unwrap();
        let watchdog = watchdog_of(std::process::id());
        assert!(running(&watchdog).is_some());
        let pid = pid_of(&watchdog);
        drop(stack);
        // Not even a zombie: it is reaped.
        while std::path::Path::new(&format!("/proc/{pid}")).exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        return;
    }
    let program = Program::start(
        "orphans::a_watchdog_is_gone_with_its_service_and_not_before",
        GOOD_TURN,
    );
    assert!(program.end().await.success());
}

#[tokio::test]
async fn a_watchdog_that_is_killed_is_followed_by_another() {
    if let Some(script) = script() {
        let stack = Stack::new(fake_codex());
        stack.run(request(GOOD_TURN)).await.unwrap();
        let watchdog = watchdog_of(std::process::id());
        let first = pid_of(&watchdog);
        signal("KILL", first);
        gone(&watchdog).await;
        stack.run(request(GOOD_TURN)).await.unwrap();
        assert_ne!(pid_of(&watchdog), first);
        let _ = stack.run(request(&script)).await;
        return;
    }
    let program = Program::start(
        "orphans::a_watchdog_that_is_killed_is_followed_by_another",
        "setsid sleep 304.505 & wait",
    );
    there("sleep 304.505").await;
    program.kill().await;
    gone("sleep 304.505").await;
}

#[tokio::test]
async fn a_watchdog_that_does_not_read_holds_up_no_turn() {
    if script().is_some() {
        let stack = Stack::new(fake_codex());
        stack.run(request(GOOD_TURN)).await.unwrap();
        let watchdog = watchdog_of(std::process::id());
        let first = pid_of(&watchdog);
        signal("STOP", first);
        fill(first);
        stack.run(request(GOOD_TURN)).await.unwrap();
        gone(&watchdog).await;
        stack.run(request(GOOD_TURN)).await.unwrap();
        assert_ne!(pid_of(&watchdog), first);
        return;
    }
    let program = Program::start(
        "orphans::a_watchdog_that_does_not_read_holds_up_no_turn",
        "",
    );
    assert!(program.end().await.success());
}

#[tokio::test]
async fn a_watchdog_is_deaf_to_what_ends_its_program() {
    if let Some(script) = script() {
        return turn(&script).await;
    }
    let program = Program::start(
        "orphans::a_watchdog_is_deaf_to_what_ends_its_program",
        "setsid sleep 304.506 & wait",
    );
    there("sleep 304.506").await;
    for name in ["HUP", "INT", "QUIT", "TERM"] {
        signal(name, pid_of(&program.watchdog()));
    }
    program.kill().await;
    gone("sleep 304.506").await;
}

#[tokio::test]
async fn without_a_watchdog_there_is_none() {
    if let Some(script) = script() {
        let stack = Stack::new(fake_codex().watchdog(false));
        stack.run(request(&script)).await.unwrap();
        assert_eq!(running(&watchdog_of(std::process::id())), None);
        return;
    }
    let program = Program::start("orphans::without_a_watchdog_there_is_none", GOOD_TURN);
    assert!(program.end().await.success());
}

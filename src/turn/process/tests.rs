use std::{future::pending, os::unix::process::ExitStatusExt, process::Command, time::Duration};

use rustix::process::{Pid, Signal};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::ChildStdout,
    time::timeout,
};
use tokio_test::{assert_pending, task};

use super::{child::Pipes, *};

/// Far longer than any test takes, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

fn supervisor(stop_signal: Option<Signal>) -> Supervisor {
    Supervisor::new(SupervisorConfig {
        watchdog: false,
        kill_doubtful_orphans: false,
        stop_signal,
    })
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

async fn spawn(supervisor: &Supervisor, script: &str) -> (ChildProcess, Pipes) {
    let work = supervisor.begin().unwrap();
    let child = supervisor.spawn(shell(script), work).await;
    child.unwrap().unwrap()
}

/// A child whose script has printed a line, and that line.
async fn start(supervisor: &Supervisor, script: &str) -> (ChildProcess, Pipes, String) {
    let (child, mut pipes) = spawn(supervisor, script).await;
    let line = next_line(&mut BufReader::with_capacity(1, &mut pipes.stdout)).await;
    (child, pipes, line)
}

async fn next_line(stdout: &mut BufReader<&mut ChildStdout>) -> String {
    let mut line = String::new();
    stdout.read_line(&mut line).await.unwrap();
    line.trim_end().to_owned()
}

async fn exit_of(child: &mut ChildProcess) -> Exit {
    let exit = timeout(DEADLINE, child.exited()).await;
    exit.expect("the child does not exit")
}

async fn signal_of(child: &mut ChildProcess) -> Option<i32> {
    exit_of(child).await.status.unwrap().signal()
}

async fn drained(supervisor: &Supervisor) -> Drained {
    let drained = timeout(DEADLINE, supervisor.drain()).await;
    let drained = drained.expect("something is active for ever");
    assert_eq!(supervisor.active(), 0);
    drained
}

/// Returns whether a process runs. A zombie, which has no command line, does not.
fn is_running(pid: &str) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline"));
    line.is_ok_and(|line| !line.is_empty())
}

async fn until_gone(pid: &str) {
    let gone = async {
        while is_running(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, gone).await.expect("it is not gone");
}

#[tokio::test]
async fn a_child_without_a_stop_signal_gets_no_signal_before_it_is_killed_at_the_deadline() {
    let supervisor = supervisor(None);
    let script = "trap 'exit 1' INT HUP TERM; echo ready; while :; do sleep 0.001; done";
    let (mut child, _pipes, _) = start(&supervisor, script).await;
    supervisor.stop(Duration::from_millis(200));
    let exit = exit_of(&mut child).await;
    assert_eq!(exit.status.unwrap().signal(), Some(Signal::KILL.as_raw()));
    assert!(exit.was_stopped);
    drained(&supervisor).await;
}

#[tokio::test]
async fn a_child_gets_the_stop_signal_and_has_the_grace_period() {
    // Not SIGINT: a program that was started in the background ignores it, so do its children, and a shell cannot trap it.
    for stop_signal in [Signal::USR1, Signal::TERM] {
        let supervisor = supervisor(Some(stop_signal));
        let number = stop_signal.as_raw();
        let script =
            format!("trap 'exit {number}' {number}; echo ready; while :; do sleep 0.01; done");
        let (mut child, _pipes, _) = start(&supervisor, &script).await;
        supervisor.stop(DEADLINE);
        let exit = exit_of(&mut child).await;
        assert_eq!(exit.status.unwrap().code(), Some(stop_signal.as_raw()));
        assert!(exit.was_stopped);
    }
}

#[tokio::test]
async fn a_child_without_a_stop_signal_can_be_ended_by_its_owner_while_the_service_stops() {
    let supervisor = supervisor(None);
    let (mut child, mut pipes, _) = start(&supervisor, "echo ready; read line; exit 7").await;
    supervisor.stop(Duration::MAX);
    timeout(DEADLINE, supervisor.stopping()).await.unwrap();
    pipes.stdin.write_all(b"end\n").await.unwrap();
    let status = exit_of(&mut child).await.status.unwrap();
    assert_eq!(status.code(), Some(7));
    drained(&supervisor).await;
}

#[tokio::test]
async fn a_stopped_service_starts_no_child_for_work_that_has_begun() {
    let supervisor = supervisor(None);
    let work = supervisor.begin().unwrap();
    assert_eq!(supervisor.active(), 1);
    supervisor.stop(DEADLINE);
    assert!(supervisor.begin().is_none());
    let child = supervisor.spawn(shell(""), work.clone()).await;
    assert!(child.unwrap().is_none());
    // The work is still there: it may wait for its caller for ever.
    drained(&supervisor).await;
    drop(work);
}

#[tokio::test]
async fn a_child_that_is_starting_when_the_service_stops_is_stopped() {
    let supervisor = supervisor(None);
    let work = supervisor.begin().unwrap();
    let mut spawn = task::spawn(supervisor.spawn(shell("sleep 300"), work));
    assert_pending!(spawn.poll());
    supervisor.stop(Duration::ZERO);
    let (mut child, _pipes) = spawn.await.unwrap().unwrap();
    let exit = exit_of(&mut child).await;
    assert_eq!(exit.status.unwrap().signal(), Some(Signal::KILL.as_raw()));
    assert!(exit.was_stopped);
    drained(&supervisor).await;
}

#[tokio::test]
async fn the_earliest_deadline_of_several_stops_counts() {
    for graces in [
        [2 * DEADLINE, Duration::ZERO],
        [Duration::ZERO, 2 * DEADLINE],
        // Too far away for the clock.
        [Duration::MAX, Duration::ZERO],
        [Duration::ZERO, Duration::MAX],
    ] {
        let supervisor = supervisor(None);
        let (mut child, _pipes) = spawn(&supervisor, "sleep 300").await;
        graces.into_iter().for_each(|grace| supervisor.stop(grace));
        assert_eq!(
            signal_of(&mut child).await,
            Some(Signal::KILL.as_raw()),
            "{graces:?}"
        );
    }
}

#[tokio::test]
async fn a_stop_ends_a_child_whose_owner_does_not_look_at_it() {
    let supervisor = supervisor(None);
    let child = spawn(&supervisor, "sleep 300").await;
    supervisor.stop(Duration::ZERO);
    drained(&supervisor).await;
    drop(child);
}

#[tokio::test]
async fn a_child_whose_standard_input_is_closed_can_end_in_order() {
    let supervisor = supervisor(None);
    let script = "while read line; do echo \"$line\"; done; echo over; exit 3";
    let (mut child, mut pipes) = spawn(&supervisor, script).await;
    pipes.stdin.write_all(b"one\n").await.unwrap();
    let mut stdout = BufReader::new(&mut pipes.stdout);
    assert_eq!(next_line(&mut stdout).await, "one");
    drop(pipes.stdin);
    let status = exit_of(&mut child).await.status.unwrap();
    assert_eq!(status.code(), Some(3));
    assert_eq!(next_line(&mut stdout).await, "over");
}

#[tokio::test]
async fn a_child_that_does_not_end_can_be_killed_and_waited_for() {
    let supervisor = supervisor(None);
    let (mut child, pipes, grandchild) =
        start(&supervisor, "setsid sleep 300 & echo $!; wait").await;
    drop(pipes.stdin);
    let exit = timeout(Duration::from_millis(1), child.exited()).await;
    assert!(exit.is_err(), "{exit:?}");
    child.kill();
    let exit = exit_of(&mut child).await;
    assert_eq!(exit.status.unwrap().signal(), Some(Signal::KILL.as_raw()));
    assert!(!exit.was_stopped);
    until_gone(&grandchild).await;
}

#[tokio::test]
async fn a_child_that_outlives_its_service_is_killed_when_it_is_dropped() {
    let supervisor = supervisor(None);
    let (child, pipes, pid) = start(&supervisor, "echo $$; sleep 300").await;
    drop(supervisor);
    drop(pipes);
    assert!(is_running(&pid));
    drop(child);
    until_gone(&pid).await;
}

#[tokio::test]
async fn a_child_is_active_while_it_is_idle_and_until_nothing_of_it_is_left() {
    let supervisor = supervisor(None);
    let (child, _pipes) = spawn(&supervisor, "sleep 300").await;
    let mut drain = task::spawn(supervisor.drain());
    assert_pending!(drain.poll());
    assert_eq!(supervisor.active(), 1);
    drop(child);
    timeout(DEADLINE, drain).await.unwrap();
    assert_eq!(supervisor.active(), 0);
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn what_a_child_has_orphaned_during_its_life_is_ended_or_reported_at_its_end() {
    let supervisor = supervisor(None);
    // The second shell of each exits. Only the first orphan writes to the pipes of the child. The second one does so as
    // well until it is a `sleep`.
    let script = r#"
        sh -c 'setsid sleep 300 & echo $!'
        sh -c 'setsid sleep 300 >/dev/null &
            until [ "$(cat /proc/$!/comm)" = sleep ]; do sleep 0.01; done
            echo $!'
        cat"#;
    let (mut child, mut pipes) = spawn(&supervisor, script).await;
    let mut stdout = BufReader::new(&mut pipes.stdout);
    let listener = next_line(&mut stdout).await;
    let doubtful = next_line(&mut stdout).await;
    drop(pipes.stdin);
    exit_of(&mut child).await;
    let orphans = drained(&supervisor).await.orphans;
    assert_eq!(
        orphans.iter().map(u32::to_string).collect::<Vec<_>>(),
        [&*doubtful]
    );
    until_gone(&listener).await;
    let doubtful = Pid::from_raw(doubtful.parse().unwrap()).unwrap();
    rustix::process::kill_process(doubtful, Signal::KILL).unwrap();
}

#[tokio::test]
async fn what_waits_in_a_pipe_is_read_to_its_last_byte_and_nothing_after_it() {
    let supervisor = supervisor(None);
    let (_child, mut pipes) = spawn(&supervisor, "echo first; read line; echo second; cat").await;
    let mut stdout = pipes.stdout.take(u64::MAX);
    let mut first = [0; 6];
    stdout.read_exact(&mut first).await.unwrap();
    pipes.stdin.write_all(b"go on\n").await.unwrap();
    let mut text = [0; 4];
    stdout.read_exact(&mut text).await.unwrap();
    limit_to_waiting(&mut stdout);
    pipes.stdin.write_all(b"third\n").await.unwrap();
    let mut rest = String::new();
    let read = timeout(DEADLINE, stdout.read_to_string(&mut rest)).await;
    read.unwrap().unwrap();
    assert_eq!(rest, "nd\n");
}

const PROGRAM: &str = "PROCESS_TEST_PROGRAM";

/// The child has its standard input open, as a server has, and many commands in sessions of their own. It does not
/// exit by itself when its input ends with the program, which is a race: see `watchdog.rs`.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_program_that_is_killed_leaves_nothing_of_a_child_that_waits_for_its_input() {
    const COMMANDS: usize = 30;
    if std::env::var_os(PROGRAM).is_some() {
        let script = format!(
            "echo $$
             for i in $(seq {COMMANDS}); do
                 setsid sh -c 'sleep 300 & echo $$ $!; wait' &
             done
             cat; sleep 300"
        );
        let supervisor = Supervisor::new(SupervisorConfig {
            watchdog: true,
            kill_doubtful_orphans: false,
            stop_signal: None,
        });
        let (_child, mut pipes) = spawn(&supervisor, &script).await;
        let mut stdout = BufReader::new(&mut pipes.stdout);
        for _ in 0..=COMMANDS {
            let line = next_line(&mut stdout).await + "\n";
            let mut stderr = tokio::io::stderr();
            stderr.write_all(line.as_bytes()).await.unwrap();
            stderr.flush().await.unwrap();
        }
        return pending().await;
    }
    let test = "a_program_that_is_killed_leaves_nothing_of_a_child_that_waits_for_its_input";
    let test = format!("turn::process::tests::{test}");
    let mut program = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &test, "--nocapture"])
        .env(PROGRAM, "")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stderr.take().unwrap()).lines();
    let mut processes = Vec::new();
    while processes.len() < 1 + 2 * COMMANDS {
        let line = timeout(DEADLINE, lines.next_line()).await.unwrap();
        let line = line.unwrap().expect("the program has exited");
        processes.extend(line.split(' ').map(str::to_owned));
    }
    program.kill().await.unwrap();
    for process in processes {
        until_gone(&process).await;
    }
}

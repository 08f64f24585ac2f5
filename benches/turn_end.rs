//! What a turn's end takes beyond the exit of Codex itself, and how long dropping a running turn blocks.
//!
//! ```sh
//! cargo bench --bench turn_end
//! ```
//!
//! A fake Codex ends its turn and waits. The time runs from the moment that it may exit to the result: of
//! the turn, and of the same script that is started by hand, read to its end and waited for. The two run in
//! pairs, in alternating order; what a turn adds is the difference of a pair. The search for processes that
//! Codex has left takes longer the more processes the machine has, so 2,000 idle ones run beside it.
//!
//! Then turns with 300 processes are dropped. The time of the drop itself is how long the dropping thread is
//! blocked; the time until the last process has exited is measured as well.
#![allow(clippy::unwrap_used, reason = "an error ends the benchmark")]

#[path = "support/report.rs"]
mod report;

use std::{
    fs::File,
    future::{Future, poll_fn},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    pin::pin,
    process::{Child, Command, Stdio},
    task::Poll,
    time::{Duration, Instant},
};

use codex_telemetry::turn::{CodexExec, TurnRequest};
use report::{Report, is_smoke};
use rustix::fs::OFlags;
use tempfile::TempDir;
use tower::ServiceExt;

/// Ends a turn, and exits when the gate opens.
const END: &str = r#"
exec 3< "$GATE" 4> "$SIGNS"
echo '{"type":"thread.started","thread_id":"01a2021f-12be-7782-b2de-86dee0c040e2"}'
echo '{"type":"turn.started"}'
echo '{"type":"turn.completed","usage":{"input_tokens":10,"output_tokens":5}}'
echo ready >&4
read -r _ <&3
exit 0
"#;

/// Starts processes that wait for the gate, and waits for it. They are forks of the shell, which are cheap.
const PROCESSES: &str = r#"
exec 3< "$GATE" 4> "$SIGNS"
while [ "$COUNT" -gt 1 ]; do
    (read -r _ <&3) &
    COUNT=$((COUNT - 1))
done
echo ready >&4
read -r _ <&3
wait
"#;

/// The pause before each measurement, in which the program comes to rest. A search for left processes may
/// still run after the turn before.
const REST: Duration = Duration::from_millis(150);

/// Two FIFOs between the benchmark and a script with its child processes.
///
/// The gate opens when this is dropped, or when the benchmark exits in any way: it has no writer any more.
struct Link {
    directory: TempDir,
    /// `None` once the gate is open.
    gate: Option<File>,
    signs: File,
}

/// Idle processes, which exit when this is dropped.
struct Idle {
    link: Link,
    shell: Child,
}

/// The sizes of a run.
struct Load {
    pairs: usize,
    others: usize,
    drops: usize,
    processes: usize,
}

fn main() {
    let load = Load::of_this_run();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut report = Report::new("turn_end", "The end of a turn");
    let turns = CodexExec::builder().codex(fake_codex()).build();
    for others in [0, load.others] {
        let _idle = Idle::start(others);
        runtime.block_on(ends(&mut report, &turns, others, load.pairs));
    }
    runtime.block_on(drops(&mut report, &turns, &load));
    report.write();
}

/// Measures the ends of turns beside `others` processes.
async fn ends(report: &mut Report, turns: &CodexExec, others: usize, pairs: usize) {
    // Warm-up: starts the watchdog.
    end_of_turn(turns).await;
    let (mut bare, mut full) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        if pair % 2 == 0 {
            bare.push(end_of_command().await);
            full.push(end_of_turn(turns).await);
        } else {
            full.push(end_of_turn(turns).await);
            bare.push(end_of_command().await);
        }
    }
    let mut added: Vec<_> = full
        .iter()
        .zip(&bare)
        .map(|(full, bare)| full - bare)
        .collect();
    for (what, values) in [
        ("Codex's own exit", &mut bare),
        ("the end of a turn", &mut full),
        ("what a turn adds", &mut added),
    ] {
        row(report, &format!("{what}, {others} other processes"), values);
    }
}

/// Measures the drops of running turns.
async fn drops(report: &mut Report, turns: &CodexExec, load: &Load) {
    let (mut blocked, mut gone) = (Vec::new(), Vec::new());
    for _ in 0..load.drops {
        let mut link = Link::new();
        let request = request(PROCESSES, &link).with_env("COUNT", load.processes.to_string());
        let mut turn = Box::pin(turns.clone().oneshot(request));
        link.rest(turn.as_mut()).await;

        let start = Instant::now();
        drop(turn);
        blocked.push(millis(start));
        link.wait_for_exit().await;
        gone.push(millis(start));
    }
    let processes = load.processes;
    for (name, values) in [
        (
            format!("dropping a turn with {processes} processes blocks"),
            &mut blocked,
        ),
        (
            format!("the {processes} processes have exited after"),
            &mut gone,
        ),
    ] {
        row(report, &name, values);
    }
}

async fn end_of_turn(turns: &CodexExec) -> f64 {
    let link = Link::new();
    let turn = turns.clone().oneshot(request(END, &link));
    let turn = async { turn.await.map(drop).unwrap() };
    link.time_from_exit(turn).await
}

async fn end_of_command() -> f64 {
    let link = Link::new();
    let mut command = tokio::process::Command::from(link.script(END));
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let output = async {
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    link.time_from_exit(output).await
}

fn request(script: &str, link: &Link) -> TurnRequest {
    TurnRequest::new("a prompt")
        .with_env("FAKE_CODEX", script)
        .with_env("GATE", link.path("gate"))
        .with_env("SIGNS", link.path("signs"))
}

fn fake_codex() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/turn/fake-codex")
}

fn row(report: &mut Report, name: &str, values: &mut [f64]) {
    let [_, median, _] = report::quartiles(values);
    report.cell(name, "median", median, "ms");
    // Sorted by now.
    report.cell(name, "worst", values[values.len() - 1], "ms");
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

// === impl Load ===

impl Load {
    fn of_this_run() -> Self {
        if is_smoke() {
            Self {
                pairs: 1,
                others: 20,
                drops: 1,
                processes: 20,
            }
        } else {
            Self {
                pairs: 41,
                others: 2000,
                drops: 21,
                processes: 300,
            }
        }
    }
}

// === impl Link ===

impl Link {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let fifo = |name, flags: OFlags| {
            let path = directory.path().join(name);
            let made = Command::new("mkfifo").arg(&path).status().unwrap();
            assert!(made.success());
            // Opening a FIFO for writing alone would block until it has a reader.
            File::options()
                .read(true)
                .write(flags.is_empty())
                .custom_flags(flags.bits().cast_signed())
                .open(path)
                .unwrap()
        };
        Self {
            gate: Some(fifo("gate", OFlags::empty())),
            signs: fifo("signs", OFlags::NONBLOCK),
            directory,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns the fake Codex with a script.
    fn script(&self, script: &str) -> Command {
        let mut command = Command::new(fake_codex());
        command
            .env("FAKE_CODEX", script)
            .env("GATE", self.path("gate"))
            .env("SIGNS", self.path("signs"));
        command
    }

    /// Waits until the script is ready and the program has come to rest, while a future that uses the script
    /// makes progress.
    async fn rest(&mut self, mut run: impl Future + Unpin) {
        let ready = async {
            while !matches!(self.signs.read(&mut [0; 16]), Ok(1..)) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(REST).await;
        };
        tokio::select! {
            _ = &mut run => panic!("it ended by itself"),
            () = ready => {}
        }
    }

    /// Returns the time from the opening of the gate to the end of a future that uses the script, in
    /// milliseconds.
    async fn time_from_exit(mut self, run: impl Future<Output = ()>) -> f64 {
        let mut run = pin!(run);
        self.rest(run.as_mut()).await;
        let start = Instant::now();
        self.gate = None;
        run.await;
        millis(start)
    }

    /// Waits until no process of the script is left: the FIFO has no writer any more.
    async fn wait_for_exit(mut self) {
        poll_fn(|context| match self.signs.read(&mut [0; 16]) {
            Ok(0) => Poll::Ready(()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => panic!("{error}"),
            _ => {
                std::thread::sleep(Duration::from_micros(50));
                context.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await;
    }
}

// === impl Idle ===

impl Idle {
    /// Starts `count` processes.
    fn start(count: usize) -> Self {
        let mut link = Link::new();
        let shell = link
            .script(PROCESSES)
            .env("COUNT", count.to_string())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        while !matches!(link.signs.read(&mut [0; 16]), Ok(1..)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Self { link, shell }
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.link.gate = None;
        // The shell waits for the others.
        let _ = self.shell.wait();
    }
}

//! The speed at which `CodexExec` reads the output of Codex, compared to minimal readers.
//!
//! ```sh
//! cargo bench --bench jsonl
//! ```
//!
//! A fake Codex prints a file: a turn whose commands have large outputs. The service returns the whole
//! turn with all items, whose outputs are decoded when they are read: once nobody reads one, and once all are read. The
//! other readers discard the same pipe, parse the lines of the same pipe into `serde_json::Value`, and parse lines in
//! memory into `serde_json::Value`.
#![allow(clippy::unwrap_used, reason = "an error ends the benchmark")]

#[path = "../support/report.rs"]
mod report;

use std::{
    fs,
    hint::black_box,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use codex_telemetry::turn::{CodexExec, CommandOutput, ItemKind, TurnRequest};
use report::Report;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{ChildStdout, Command},
};
use tower::ServiceExt;

const MEGABYTE: usize = 1_000_000;
/// The output of each command, in bytes.
const OUTPUT: usize = MEGABYTE;
const COMMANDS: usize = 128;
const ROUNDS: usize = 9;

fn main() {
    let (commands, rounds) = if report::is_smoke() {
        (2, 1)
    } else {
        (COMMANDS, ROUNDS)
    };
    let (turn, length) = (turn(commands), output().len());
    let lines: Vec<&[u8]> = turn.split_inclusive(|byte| *byte == b'\n').collect();
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(&turn).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();

    let mut times: [Vec<f64>; 5] = Default::default();
    runtime.block_on(async {
        for _ in 0..rounds {
            // All readers in each round, so that slow changes of the machine affect all of them.
            let start = Instant::now();
            assert_eq!(discard(file.path()).await, turn.len());
            times[0].push(start.elapsed().as_secs_f64());

            let start = Instant::now();
            assert_eq!(with_the_service(file.path(), |_| 1).await, commands);
            times[1].push(start.elapsed().as_secs_f64());

            let start = Instant::now();
            let decoded = with_the_service(file.path(), |output| output.as_str().len()).await;
            assert_eq!(decoded, commands * length);
            times[2].push(start.elapsed().as_secs_f64());

            let start = Instant::now();
            assert_eq!(pipe_into_values(file.path()).await, commands + 3);
            times[3].push(start.elapsed().as_secs_f64());

            let start = Instant::now();
            assert_eq!(memory_into_values(&lines), commands + 3);
            times[4].push(start.elapsed().as_secs_f64());
        }
    });

    let mut report = Report::new("jsonl", "Reading what Codex prints");
    let names = [
        "the pipe, discarded",
        "`CodexExec`, a whole turn",
        "`CodexExec`, with all outputs read",
        "the pipe, line by line into `Value`",
        "lines in memory into `Value`",
    ];
    let over_loop = |ours: &[f64]| {
        let pairs = ours.iter().zip(&times[3]);
        let mut ratios: Vec<_> = pairs.map(|(ours, loops)| loops / ours).collect();
        report::quartiles(&mut ratios)[1]
    };
    let (unread_over_loop, read_over_loop) = (over_loop(&times[1]), over_loop(&times[2]));
    for (name, times) in names.into_iter().zip(&mut times) {
        let [_, median, _] = report::quartiles(times);
        let megabytes = turn.len() as f64 / MEGABYTE as f64;
        report.row(name, megabytes / median, "MB/s");
    }
    report.row("`CodexExec` over the loop", unread_over_loop, "×");
    report.row(
        "`CodexExec` with all outputs read, over the loop",
        read_over_loop,
        "×",
    );
    report.write();
}

/// Returns the output of a command, of a megabyte.
fn output() -> String {
    // Like the output of a compiler: short lines, some quotes, colours and non-ASCII letters.
    let line = "   Compiling \"codex\" v0.1.0 (/home/zoë/src) \u{1b}[32mok\u{1b}[0m\t12 warnings\n";
    line.repeat(OUTPUT / line.len())
}

/// Returns the lines of a turn in which each command has an output of a megabyte.
fn turn(commands: usize) -> Vec<u8> {
    let output = output();
    let item = json!({
        "id": "item_1", "type": "command_execution", "command": "make", "status": "completed",
        "exit_code": 0, "aggregated_output": output,
    });
    let item = json!({"type": "item.completed", "item": item}).to_string();
    let started = json!({"type": "thread.started", "thread_id": "t"}).to_string();
    let turn = json!({"type": "turn.started"}).to_string();
    let usage = json!({"input_tokens": 1, "output_tokens": 1});
    let completed = json!({"type": "turn.completed", "usage": usage}).to_string();
    let items = std::iter::repeat_n(&item, commands);
    let lines = [&started, &turn].into_iter().chain(items);
    let mut text = Vec::new();
    for line in lines.chain([&completed]) {
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    text
}

/// Returns the sum of what `read` makes of each output.
async fn with_the_service(file: &Path, read: fn(&CommandOutput) -> usize) -> usize {
    let service = CodexExec::builder().codex(fake_codex()).build();
    let request = TurnRequest::new("").with_env("FAKE_CODEX", script(file));
    let turn = service.oneshot(request).await.unwrap();
    let outputs = turn.items.iter().map(|item| match &item.kind {
        ItemKind::CommandExecution { output, .. } if !output.is_empty() => read(output),
        _ => 0,
    });
    outputs.sum()
}

async fn discard(file: &Path) -> usize {
    let mut pipe = pipe(file);
    let mut buffer = vec![0; 64 * 1024];
    let mut length = 0;
    loop {
        match pipe.read(&mut buffer).await.unwrap() {
            0 => return length,
            read => length += black_box(&buffer[..read]).len(),
        }
    }
}

async fn pipe_into_values(file: &Path) -> usize {
    let mut lines = BufReader::with_capacity(64 * 1024, pipe(file));
    let (mut line, mut values) = (Vec::new(), Vec::new());
    while lines.read_until(b'\n', &mut line).await.unwrap() > 0 {
        values.push(serde_json::from_slice::<Value>(&line).unwrap());
        line.clear();
    }
    values.len()
}

fn memory_into_values(lines: &[&[u8]]) -> usize {
    let values = lines
        .iter()
        .map(|line| serde_json::from_slice::<Value>(line).unwrap());
    // Kept until the end, as a turn's items are.
    values.collect::<Vec<_>>().len()
}

fn pipe(file: &Path) -> ChildStdout {
    let mut child = Command::new(fake_codex())
        .env("FAKE_CODEX", script(file))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdout.take().unwrap()
}

fn script(file: &Path) -> String {
    format!("exec cat '{}'", file.display())
}

fn fake_codex() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/turn/fake-codex");
    fs::canonicalize(path).unwrap()
}

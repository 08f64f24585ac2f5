//! Without its variables, the export has no thread and no socket.

use std::{
    fs,
    process::{Child, Command},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    exit::{PAUSES, exec_to, start_paused},
    support::exec,
};
use crate::receiver::{MockResponse, Receiver};

/// A program with an active turn.
struct Paused(Child);

impl Paused {
    fn start(command: Command) -> Self {
        Self(start_paused(command))
    }

    /// Returns the names of its threads, which the kernel truncates.
    fn threads(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        let names = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")));
        names.map(|name| name.unwrap().trim().to_owned()).collect()
    }

    /// Returns the number of its network sockets, including those on loopback.
    fn network_sockets(&self) -> usize {
        let tables = ["tcp", "tcp6", "udp", "udp6"];
        let path = |table| format!("/proc/{}/net/{table}", self.0.id());
        let tables = tables.map(|table| fs::read_to_string(path(table)).unwrap_or_default());
        let files = fs::read_dir(format!("/proc/{}/fd", self.0.id())).unwrap();
        let sockets = files.filter_map(|file| {
            let target = fs::read_link(file.unwrap().path()).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?;
            Some(inode.strip_suffix(']')?.to_owned())
        });
        sockets
            .filter(|inode| {
                let mut lines = tables.iter().flat_map(|table| table.lines());
                lines.any(|line| line.split_whitespace().nth(9) == Some(inode))
            })
            .count()
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

fn exports(threads: &[String]) -> bool {
    threads
        .iter()
        .any(|name| name.starts_with("codex-telemetry"))
}

#[test]
fn a_disabled_program_has_no_export_thread_and_no_socket() {
    for variables in [
        &[][..],
        &[("CODEX_OTLP_ENDPOINT", "")],
        &[
            ("CODEX_OTLP_ENDPOINT", "http://127.0.0.1:9"),
            ("CODEX_OTLP_ENABLE", "off"),
        ],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
            ("OTEL_SDK_DISABLED", "true"),
        ],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_LOGS_EXPORTER", "none"),
        ],
    ] {
        let mut command = exec(PAUSES);
        command.env_remove("CODEX_OTLP_ENDPOINT").arg("do it");
        command.envs(variables.iter().copied());
        let paused = Paused::start(command);
        let threads = paused.threads();
        assert!(!exports(&threads), "{variables:?}: {threads:?}");
        assert_eq!(paused.network_sockets(), 0, "{variables:?}");
    }
}

#[test]
fn an_enabled_program_has_an_export_thread_and_a_socket() {
    let receiver = Receiver::http();
    receiver.respond_with(MockResponse::Hang);
    let mut command = exec_to(&receiver.endpoint(), PAUSES);
    command.env("OTEL_BLRP_SCHEDULE_DELAY", "10");
    command.env("CODEX_OTLP_SIGNALS", "logs");
    let paused = Paused::start(command);
    receiver.wait_for_requests(1);
    let threads = paused.threads();
    assert!(exports(&threads), "{threads:?}");
    assert_eq!(paused.network_sockets(), 1);
    receiver.respond_with(MockResponse::Accept);
    receiver.stop();
    receiver.restart();
}

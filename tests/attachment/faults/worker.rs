use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
    process::{self, Child, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use codex_telemetry::attachment::{AttachmentStore, CleanupRequest, Ttl};

use super::elsewhere;
use crate::support::{EXPIRED, HOUR, open_at, start, sweep};

const ROLE: &str = "CODEX_TELEMETRY_TEST_ROLE";
const READY: &str = "ready";
const STAGED: &str = "staged ";

/// Nothing here takes nearly as long, on any machine.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// What a [`Worker`] does until it is ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// Stages attachments of every size, for an hour and for no time at all, and sweeps.
    Hour,
    /// The same, but stages for ever.
    Persistent,
    /// Sweeps.
    Sweep,
}

/// A process that works on a store.
pub(super) struct Worker {
    child: Child,
    lines: Receiver<String>,
}

// === impl Worker ===

impl Worker {
    pub(super) fn start(role: Role, store: &Path) -> Self {
        let mut child = elsewhere::command(&[], "faults::worker::works", store)
            .env(ROLE, format!("{role:?}"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // Nobody listens to a worker that was killed at once.
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits until the worker has its store open.
    pub(super) fn ready(&self) {
        let line = self.lines.recv_timeout(LONG).unwrap();
        assert_eq!(line, READY);
    }

    /// Kills the worker, and returns the file names of what it had been told is staged.
    pub(super) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.staged()
    }

    /// Has the worker end by itself, and returns how it did and the same as [`kill`](Self::kill).
    pub(super) fn stop(mut self) -> (ExitStatus, Vec<String>) {
        // It is what the worker waits for.
        drop(self.child.stdin.take());
        let status = self.child.wait().unwrap();
        (status, self.staged())
    }

    fn staged(self) -> Vec<String> {
        // Up to the end of the pipe, which is closed by now.
        let staged = self.lines.iter().filter_map(|line| {
            let Some(name) = line.strip_prefix(STAGED) else {
                assert_eq!(line, READY, "the worker complains");
                return None;
            };
            Some(name.to_owned())
        });
        staged.collect()
    }
}

/// Says a line in one piece, which a kill cannot tear.
fn say(line: &str) {
    io::stderr()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
#[ignore = "is the process that other tests start and kill"]
async fn works() {
    let Some(directory) = elsewhere::directory() else {
        return;
    };
    // A panic in a task is to end the process with its message, not only the task.
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        default(info);
        process::exit(1);
    }));
    let role = env::var(ROLE).unwrap();
    let (store, _) = open_at(&directory, start());
    say(READY);
    let stage = |ttl| {
        let (first, second) = (store.clone(), store.clone());
        tokio::spawn(stage_on(first, "one", ttl));
        tokio::spawn(stage_on(second, "other", ttl));
    };
    match &*role {
        "Hour" => stage(Ttl::For(HOUR)),
        "Persistent" => stage(Ttl::Persistent),
        _ => {}
    }
    tokio::spawn(async move {
        loop {
            let report = sweep(&store, CleanupRequest::expired()).await;
            // What was there before bears names of attachments and is no file.
            assert!(report.failed <= 2, "{report:?}");
        }
    });
    // Ends when the test says so, and when the test is gone.
    tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()))
        .await
        .unwrap()
        .unwrap();
    process::exit(0);
}

async fn stage_on(store: AttachmentStore, name: &'static str, ttl: Ttl) {
    for round in 0_usize.. {
        let content = name.repeat([1, 2_000, 200_000][round % 3]) + &format!("{}", round % 7);
        let stage = |ttl| store.stage_bytes(name, content.clone(), ttl);
        stage(EXPIRED).await.unwrap();
        let staged = stage(ttl).await.unwrap();
        say(&format!("{STAGED}{}-{}", staged.hash, staged.name));
    }
}

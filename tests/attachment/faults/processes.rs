use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdout, Stdio},
};

use codex_telemetry::attachment::{AttachmentStore, CleanupRequest, Ttl};

use super::{checks::Neighbourhood, child_process};
use crate::support::{EXPIRED, HOUR, open_at, start, sweep};

const TTL: &str = "CODEX_TELEMETRY_TEST_TTL";
const READY: &str = "ready";
const STAGED: &str = "staged ";
const ROUNDS: usize = 40;

/// A process that stages attachments in a store and sweeps it.
struct Worker {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

// === impl Worker ===

impl Worker {
    /// Starts the process and waits until it has opened the store.
    fn start(test: &str, ttl: &str, store: &Path) -> Self {
        let mut child = child_process::command(&[], test, store)
            .env(TTL, ttl)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line.trim_end() != READY {
            line.clear();
            assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "the worker died");
        }
        Self { child, stdout }
    }

    /// Lets the process work. It works until it has done its rounds.
    fn work(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits until the process ends, and returns the file names that it has staged.
    fn staged(mut self) -> Vec<String> {
        let lines: Vec<_> = self.stdout.lines().map(Result::unwrap).collect();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "a worker ended with {status}");
        let staged = lines.iter().filter_map(|line| line.strip_prefix(STAGED));
        staged.map(str::to_owned).collect()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test]
async fn two_processes_on_one_store_keep_the_attachments_of_both() {
    let neighbourhood = Neighbourhood::new();
    let mut workers = ["hour", "persistent"]
        .map(|ttl| Worker::start("faults::processes::works", ttl, &neighbourhood.store()));
    workers.iter_mut().for_each(Worker::work);
    let mut staged = Vec::new();
    for worker in workers {
        let of_worker = worker.staged();
        assert_eq!(of_worker.len(), 2 * ROUNDS);
        staged.extend(of_worker);
    }
    let leftovers = neighbourhood.check_whole(&staged).await;
    assert_eq!(leftovers, 0, "no process died");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
#[ignore = "the process that another test starts"]
async fn works() {
    let Some(directory) = child_process::directory() else {
        return;
    };
    let ttl = match &*env::var(TTL).unwrap() {
        "hour" => Ttl::For(HOUR),
        _ => Ttl::Persistent,
    };
    let (store, _) = open_at(&directory, start());
    print_line(READY);
    // The end of the input is the signal to start, so that two processes work at the same time.
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
    let stagers = ["one", "other"].map(|name| tokio::spawn(stage(store.clone(), name, ttl)));
    while !stagers.iter().all(tokio::task::JoinHandle::is_finished) {
        let report = sweep(&store, CleanupRequest::expired()).await;
        // The neighbours' link and directory have attachments' names.
        assert_eq!(report.failed, 2, "{report:?}");
        assert_eq!(report.leftovers, 0, "no process died");
    }
    for stager in stagers {
        stager.await.unwrap();
    }
}

async fn stage(store: AttachmentStore, name: &'static str, ttl: Ttl) {
    for round in 0..ROUNDS {
        let content = name.repeat([1, 2_000, 200_000][round % 3]) + &format!("{}", round % 7);
        let stage = |ttl| store.stage_bytes(name, content.clone(), ttl);
        stage(EXPIRED).await.unwrap();
        let staged = stage(ttl).await.unwrap();
        print_line(&format!("{STAGED}{}-{}", staged.hash, staged.name));
    }
}

/// Prints a line that the test harness does not capture.
fn print_line(line: &str) {
    let line = format!("{line}\n");
    io::stdout().write_all(line.as_bytes()).unwrap();
}

#[tokio::test]
async fn a_lease_of_another_process_lasts_until_that_process_dies() {
    let outside = tempfile::tempdir().unwrap();
    let root = outside.path().join("store");
    let worker = Worker::start("faults::processes::holds_a_lease", "", &root);
    let (store, _) = open_at(&root, start());
    for request in [CleanupRequest::expired(), CleanupRequest::everything()] {
        let report = sweep(&store, request).await;
        assert_eq!((report.removed, report.kept, report.leased), (0, 1, 1));
    }
    worker.kill();
    let report = sweep(&store, CleanupRequest::expired()).await;
    assert_eq!((report.removed, report.kept, report.leased), (1, 0, 0));
}

#[tokio::test]
#[ignore = "the process that another test starts"]
async fn holds_a_lease() {
    let Some(directory) = child_process::directory() else {
        return;
    };
    let (store, _) = open_at(&directory, start());
    let staged = store.stage_bytes("a", "a", EXPIRED).await.unwrap();
    print_line(READY);
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(staged);
}

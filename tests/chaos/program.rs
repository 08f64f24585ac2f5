//! The program: one life after another, on the same state.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    PATIENCE,
    callers::{self, MAX_BODY, MAX_UPLOAD},
    processes::{self, Process},
};

/// Where all lives of the program are, and what they share.
pub(crate) struct Setup {
    root: TempDir,
    endpoint: String,
    /// No other process has it in its environment.
    tag: String,
}

/// The program that runs.
pub(crate) struct Program {
    child: Child,
    tag: String,
    pub(crate) life: Life,
}

/// A life of the program, as its clients know it.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) number: usize,
    pub(crate) url: String,
    is_killed: Arc<AtomicBool>,
}

/// A program that was killed.
pub(crate) struct Killed {
    number: usize,
    below: Vec<Process>,
    tag: String,
}

// === impl Setup ===

impl Setup {
    pub(crate) fn new(endpoint: String) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let tag = format!("{}-{:x}", std::process::id(), fastrand::u64(..));
        let setup = Self {
            root,
            endpoint,
            tag,
        };
        fs::create_dir(setup.temporary()).expect("a new directory");
        setup
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    /// The directory for temporary files.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.root.path().join("tmp")
    }

    pub(crate) fn events(&self) -> PathBuf {
        self.state().join("events.jsonl")
    }

    /// Returns the size of the file of the events: where a life begins or ends.
    pub(crate) fn size_of_events(&self) -> u64 {
        fs::metadata(self.events()).map_or(0, |file| file.len())
    }

    /// What a life has written on standard error.
    fn log(&self, number: usize) -> PathBuf {
        self.root.path().join(format!("stderr-{number}"))
    }

    /// Returns what all lives have written on standard error.
    pub(crate) fn logs(&self, lives: usize) -> String {
        let logs = (0..lives).map(|number| {
            let text = fs::read(self.log(number)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            text.lines()
                .map(|line| format!("life {number}: {line}\n"))
                .collect::<String>()
        });
        logs.collect()
    }

    /// Starts the program on the state that the lives before have left.
    pub(crate) fn start(&self, number: usize) -> Program {
        let tag = format!("{}-{number}", self.tag);
        let log = File::create(self.log(number)).expect("a new file");
        let mut child = Command::new(service())
            .args(["--listen", "127.0.0.1:0", "--state"])
            .arg(self.state())
            .args(["--accept", "ls", "--max-turns", "6", "--queue", "6"])
            .args(["--approval-timeout", "1.5", "--turn-timeout", "120"])
            .args(["--max-body", &MAX_BODY.to_string()])
            .args(["--max-upload", &MAX_UPLOAD.to_string()])
            // Clients upload for as long as the load takes, and remove nothing.
            .args(["--max-uploads", "1000000"])
            // Longer than the test waits: it ends the grace by a second signal.
            .args(["--grace", "600"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TMPDIR", self.temporary())
            .env("SERVICE_TOKENS", callers::tokens())
            .env("CODEX_OTLP_ENDPOINT", &self.endpoint)
            .env("CODEX_OTLP_TIMEOUT", "500")
            .env("OTEL_BSP_SCHEDULE_DELAY", "50")
            .env("OTEL_BLRP_SCHEDULE_DELAY", "50")
            .env("OTEL_METRIC_EXPORT_INTERVAL", "500")
            .env(TAG, &tag)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let output = child.stdout.take().expect("a pipe");
        let (sender, lines) = mpsc::channel();
        // Ends with the program. Standard output has only one line.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let line = lines.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|error| {
            let _ = child.kill();
            let log = fs::read_to_string(self.log(number)).unwrap_or_default();
            panic!("life {number} does not listen: {error}\n{log}")
        });
        let url = line.strip_prefix("listening on ");
        Program {
            life: Life {
                number,
                url: url.expect("the address").to_owned(),
                is_killed: Arc::default(),
            },
            child,
            tag: format!("{TAG}={tag}"),
        }
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        // What a failed test needs to be understood.
        if thread::panicking() {
            self.root.disable_cleanup(true);
            eprintln!("the state is left in {}", self.root.path().display());
        }
    }
}

/// The variable with the tag of a life.
const TAG: &str = "CHAOS_LIFE";

/// Returns the path of the program, which `cargo test` builds together with the tests.
fn service() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    // From target/PROFILE/deps/chaos-HASH to target/PROFILE/examples/service.
    let profile = test.ancestors().nth(2).map(Path::to_owned);
    let path = profile.unwrap_or_default().join("examples/service");
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --examples` first",
        path.display()
    );
    path
}

// === impl Program ===

impl Program {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Kills it. What its clients lose from now on is no fault.
    pub(crate) fn kill(mut self) -> Killed {
        self.life.is_killed.store(true, SeqCst);
        let below = processes::below(self.pid());
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is a child process");
        Killed {
            number: self.life.number,
            below,
            tag: self.tag.clone(),
        }
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).expect("it runs");
    }

    /// Waits for its end, and until nothing of it is left.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        let below = processes::below(self.pid());
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is a child process") {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "the program has not ended within {PATIENCE:?} after SIGTERM"
            );
            thread::sleep(Duration::from_millis(10));
        };
        processes::assert_gone("the drained program", &below, &self.tag);
        status
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A test that fails leaves no program.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Life ===

impl Life {
    pub(crate) fn is_killed(&self) -> bool {
        self.is_killed.load(SeqCst)
    }
}

// === impl Killed ===

impl Killed {
    /// Waits until nothing of the program is left.
    #[track_caller]
    pub(crate) fn assert_gone(&self) {
        let what = format!("life {}, which was killed,", self.number);
        processes::assert_gone(&what, &self.below, &self.tag);
    }
}

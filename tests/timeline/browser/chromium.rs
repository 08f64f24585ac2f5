//! A headless Chromium, driven through a pipe in its remote debugging protocol.

use std::{
    env,
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::page::{COLLECT, Page};

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// How long a browser may take for all that a test asks of it. It takes a second or two.
const DEADLINE: Duration = Duration::from_secs(120);

pub(super) struct Chromium {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    last_id: u64,
    /// Messages that are no answers.
    events: Vec<Value>,
    session: Option<String>,
    _profile: TempDir,
    /// Ends the deadline when it is dropped.
    _watched: Sender<()>,
}

// === impl Chromium ===

impl Chromium {
    /// Starts the browser. Returns `None` if there is none, unless it is required.
    pub(super) fn start() -> Option<Self> {
        let Some(path) = find() else {
            assert!(
                env::var_os("CODEX_TELEMETRY_REQUIRE_BROWSER").is_none(),
                "there is no Chromium: install it, or set CODEX_TELEMETRY_TEST_BROWSER to its path"
            );
            eprintln!("skipped: there is no Chromium (scripts/browser)");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        // The pipe of the protocol is on the descriptors 3 and 4.
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>&2"#])
            .arg(path)
            .args([
                "--headless",
                "--remote-debugging-pipe",
                "--disable-gpu",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args([
                "--disable-dev-shm-usage",
                "--disable-extensions",
                "--hide-scrollbars",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()));
        if geteuid().is_root() {
            // It refuses to run as root otherwise.
            command.arg("--no-sandbox");
        }
        command
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
        let mut child = command.spawn().unwrap();
        let (watched, watch) = channel();
        kill_after_deadline(Pid::from_child(&child), watch);
        let mut chromium = Self {
            to: child.stdin.take().unwrap(),
            from: BufReader::new(child.stdout.take().unwrap()),
            child,
            last_id: 0,
            events: Vec::new(),
            session: None,
            _profile: profile,
            _watched: watched,
        };
        let target = chromium.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = chromium.call("Target.attachToTarget", &attach);
        chromium.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            chromium.call(&format!("{domain}.enable"), &json!({}));
        }
        Some(chromium)
    }

    /// Opens a file, in a scheme of colours, and returns what has become of it.
    pub(super) fn open(&mut self, file: &Path, scheme: &str) -> Page {
        let size = json!({"width": 1280, "height": 700, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", &scheme);
        self.events.clear();
        let url = format!("file://{}", file.display());
        self.call("Page.navigate", &json!({"url": url}));
        while !self
            .events
            .iter()
            .any(|event| event["method"] == "Page.loadEventFired")
        {
            let event = self.read();
            self.events.push(event);
        }
        let collect = json!({"expression": COLLECT, "returnByValue": true});
        let collected = self.call("Runtime.evaluate", &collect);
        assert!(collected["exceptionDetails"].is_null(), "{collected:#}");
        Page::new(
            &collected["result"]["value"],
            self.requests(),
            self.complaints(),
        )
    }

    /// Returns a PNG of what the browser shows.
    pub(super) fn screenshot(&mut self) -> Vec<u8> {
        let shot = self.call("Page.captureScreenshot", &json!({"format": "png"}));
        BASE64_STANDARD
            .decode(shot["data"].as_str().unwrap())
            .unwrap()
    }

    fn requests(&self) -> Vec<String> {
        let is_request = |event: &&Value| event["method"] == "Network.requestWillBeSent";
        let requests = self.events.iter().filter(is_request);
        let url = |event: &Value| {
            event["params"]["request"]["url"]
                .as_str()
                .map(str::to_owned)
        };
        requests.filter_map(url).collect()
    }

    fn complaints(&self) -> Vec<String> {
        let is_complaint = |event: &&Value| {
            [
                "Runtime.consoleAPICalled",
                "Runtime.exceptionThrown",
                "Log.entryAdded",
                "Page.javascriptDialogOpening",
                "Network.loadingFailed",
            ]
            .contains(&event["method"].as_str().unwrap_or_default())
        };
        self.events
            .iter()
            .filter(is_complaint)
            .map(Value::to_string)
            .collect()
    }

    /// Calls a method, and returns its result.
    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = session.clone().into();
        }
        self.to
            .write_all(format!("{message}\0").as_bytes())
            .unwrap();
        loop {
            let mut message = self.read();
            if message["id"] == self.last_id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    fn read(&mut self) -> Value {
        let mut message = Vec::new();
        self.from.read_until(0, &mut message).unwrap();
        assert_eq!(message.pop(), Some(0), "the browser has ended, or is late");
        serde_json::from_slice(&message).unwrap()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Kills a browser that hangs, so that the test that reads from it fails.
fn kill_after_deadline(group: Pid, watch: Receiver<()>) {
    thread::spawn(move || {
        if watch.recv_timeout(DEADLINE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    });
}

fn find() -> Option<PathBuf> {
    if let Some(path) = env::var_os("CODEX_TELEMETRY_TEST_BROWSER").filter(|path| !path.is_empty())
    {
        return Some(path.into());
    }
    let path: OsString = env::var_os("PATH")?;
    let files = env::split_paths(&path).flat_map(|it| NAMES.map(|name| it.join(name)));
    files.into_iter().find(|file| file.is_file())
}

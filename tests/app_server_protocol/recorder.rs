//! A client that keeps all lines.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    model::Model,
    transcript::{From, Line, Transcript},
};

/// Longer than any line takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// What is not recorded: the texts that Codex sends to the model, the name of the machine, and what it lacks.
const OPT_OUT: &[&str] = &[
    "rawResponseItem/completed",
    "remoteControl/status/changed",
    "configWarning",
];

/// The beginnings of the variables that Codex must not inherit from the machine.
const FOREIGN: &[&str] = &["CODEX_", "OTEL_", "OPENAI_", "RUST_", "XDG_"];

/// The model and the directories of a transcript.
pub(crate) struct Place {
    pub(crate) model: Model,
    pub(crate) home: TempDir,
    pub(crate) work: TempDir,
}

/// A running server and what was said so far.
pub(crate) struct Recorder {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    log: Vec<Line>,
    /// The lines before this one have been waited for.
    read: usize,
    next_id: u64,
    /// What to write instead of what.
    names: Vec<(String, &'static str)>,
}

// === impl Place ===

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self {
            model: Model::start([]),
            home: tempfile::tempdir().unwrap(),
            work: tempfile::tempdir().unwrap(),
        };
        fs::write(place.work.path().join("a.txt"), "one\n").unwrap();
        place
    }

    /// Starts a server with more of a configuration, as TOML.
    pub(crate) fn start(&self, codex: &Path, config: &[&str]) -> Recorder {
        let provider = "model_providers.mock";
        let mut command = Command::new(codex);
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if FOREIGN.iter().any(|start| text.starts_with(start)) {
                command.env_remove(&name);
            }
        }
        for pair in [
            "analytics.enabled=false",
            "otel.metrics_exporter=\"none\"",
            "model=\"gpt-5.5\"",
            "model_provider=\"mock\"",
            &format!("{provider}.name=\"mock\""),
            &format!("{provider}.base_url=\"{}\"", self.model.url("/v1")),
            &format!("{provider}.env_key=\"MOCK_KEY\""),
            &format!("{provider}.wire_api=\"responses\""),
            &format!("{provider}.request_max_retries=0"),
            &format!("{provider}.stream_max_retries=0"),
        ]
        .iter()
        .chain(config)
        {
            command.args(["-c", pair]);
        }
        let mut child = command
            .arg("app-server")
            .env("CODEX_HOME", self.home.path())
            .env("HOME", self.home.path())
            .env("MOCK_KEY", "k")
            .env("TERM", "dumb")
            .env("SHELL", "/bin/sh")
            .current_dir(self.work.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut lines = stdout.lines().map_while(Result::ok);
            while lines.next().is_some_and(|line| sender.send(line).is_ok()) {}
        });
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let names = vec![
            (path(self.home.path()), "/home/codex"),
            (path(self.work.path()), "/work"),
            (path(codex), "/usr/bin/codex"),
            (self.model.url(""), "http://127.0.0.1:1"),
        ];
        let mut recorder = Recorder {
            stdin: child.stdin.take().unwrap(),
            child,
            lines,
            log: Vec::new(),
            read: 0,
            next_id: 1,
            names,
        };
        recorder.request(
            "initialize",
            &json!({
                "clientInfo": {"name": "recorder", "version": "1"},
                "capabilities": {"experimentalApi": true, "optOutNotificationMethods": OPT_OUT},
            }),
        );
        recorder.write(&json!({"method": "initialized"}));
        recorder
    }
}

// === impl Recorder ===

impl Recorder {
    /// Sends a request, and returns its result or its error.
    pub(crate) fn request(&mut self, method: &str, params: &Value) -> Value {
        let id = self.send(method, params);
        let answer = self.wait("an answer", |line| {
            line["method"].is_null() && line["id"] == id
        });
        [&answer["result"], &answer["error"]]
            .into_iter()
            .find(|value| !value.is_null())
            .unwrap()
            .clone()
    }

    /// Sends a request, and returns its id.
    pub(crate) fn send(&mut self, method: &str, params: &Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.write(&json!({"id": id, "method": method, "params": params}));
        id
    }

    /// Starts a thread, and returns its id.
    pub(crate) fn start_thread(&mut self, params: &Value) -> String {
        let answer = self.request("thread/start", params);
        let id = answer["thread"]["id"].as_str();
        id.unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Starts a turn.
    pub(crate) fn start_turn(&mut self, thread: &str) {
        let input = json!([{"type": "text", "text": "Go"}]);
        let answer = self.request("turn/start", &json!({"threadId": thread, "input": input}));
        assert!(answer["turn"]["id"].is_string(), "{answer}");
    }

    /// Waits for the end of the turn, and for the thread to be idle.
    pub(crate) fn end_turn(&mut self) -> Value {
        let end = self.wait_for("turn/completed");
        end["params"]["turn"].clone()
    }

    /// Runs a turn in which the server asks nothing.
    pub(crate) fn turn(&mut self, thread: &str) -> Value {
        self.start_turn(thread);
        self.end_turn()
    }

    /// Waits for a request of the server, and answers it.
    pub(crate) fn answer(&mut self, method: &str, result: &Value) -> Value {
        let request = self.wait_for(method);
        self.write(&json!({"id": request["id"], "result": result}));
        request
    }

    /// Waits for a line with a method.
    pub(crate) fn wait_for(&mut self, method: &str) -> Value {
        self.wait(method, |line| line["method"] == method)
    }

    /// Waits for a line after those that were waited for.
    pub(crate) fn wait(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            while let Some(line) = self.log.get(self.read) {
                self.read += 1;
                if line.from == From::Server && is_it(&line.line) {
                    return line.line.clone();
                }
            }
            let text = self.lines.recv_timeout(DEADLINE);
            let text = text.unwrap_or_else(|error| panic!("{what}: {error}\n{}", self.text()));
            self.keep(From::Server, &text);
        }
    }

    /// Ends the server, and writes the transcript.
    pub(crate) fn save(self, name: &str) {
        let lines = self.end();
        let name = name.to_owned();
        Transcript { name, lines }.write();
    }

    /// Ends the server, and returns all lines.
    pub(crate) fn end(mut self) -> Vec<Line> {
        drop(self.stdin);
        while let Ok(text) = self.lines.recv_timeout(DEADLINE) {
            let line = hidden(&self.names, &text);
            self.log.push(Line {
                from: From::Server,
                line,
            });
        }
        self.child.wait().unwrap();
        self.log
    }

    fn write(&mut self, line: &Value) {
        let text = format!("{line}\n");
        self.stdin.write_all(text.as_bytes()).unwrap();
        self.keep(From::Client, &text);
    }

    fn keep(&mut self, from: From, text: &str) {
        let line = hidden(&self.names, text);
        self.log.push(Line { from, line });
    }

    fn text(&self) -> String {
        let lines = self
            .log
            .iter()
            .map(|line| format!("{:?} {}\n", line.from, line.line));
        lines.collect()
    }
}

/// Returns a line without what depends on the machine.
fn hidden(names: &[(String, &'static str)], text: &str) -> Value {
    let text = names.iter().fold(text.to_owned(), |text, (name, instead)| {
        text.replace(name, instead)
    });
    let mut line: Value = serde_json::from_str(&text).unwrap();
    if let Some(agent) = line.pointer_mut("/result/userAgent") {
        *agent = json!("recorder/0 (Linux)");
    }
    line
}

//! The recorded transcripts.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

/// The lines of both sides, in the order of a client that reads while it waits.
pub(crate) struct Transcript {
    /// The name of the file, without its extension.
    pub(crate) name: String,
    pub(crate) lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Client,
    Server,
}

pub(crate) struct Line {
    pub(crate) from: From,
    pub(crate) line: Value,
}

// === impl Transcript ===

impl Transcript {
    pub(crate) fn directory() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/app_server")
    }

    /// Returns all transcripts, by name.
    pub(crate) fn all() -> Vec<Self> {
        let entries = fs::read_dir(Self::directory()).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jsonl")
        });
        let read = |path: &PathBuf| {
            let text = fs::read_to_string(path).unwrap();
            Self {
                name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
                lines: text.lines().map(Line::read).collect(),
            }
        };
        paths.iter().map(read).collect()
    }

    /// Returns what the server wrote.
    pub(crate) fn of_server(&self) -> impl Iterator<Item = &Value> {
        let lines = self.lines.iter().filter(|line| line.from == From::Server);
        lines.map(|line| &line.line)
    }

    /// Writes the file.
    pub(crate) fn write(&self) {
        let text: String = self.lines.iter().map(Line::text).collect();
        let path = Self::directory().join(&self.name);
        fs::write(path.with_extension("jsonl"), text).unwrap();
    }
}

// === impl Line ===

impl Line {
    fn read(text: &str) -> Self {
        let mut line: Value = serde_json::from_str(text).unwrap();
        let from = match line["from"].as_str() {
            Some("client") => From::Client,
            Some("server") => From::Server,
            _ => panic!("a line from nobody: {text}"),
        };
        let line = line["line"].take();
        Self { from, line }
    }

    fn text(&self) -> String {
        let from = match self.from {
            From::Client => "client",
            From::Server => "server",
        };
        format!("{}\n", json!({"from": from, "line": self.line}))
    }
}

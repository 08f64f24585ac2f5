//! What `codex-codes` decodes from the recorded transcripts is what this crate decodes.

mod ours;
mod theirs;

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

/// The names and values of what a line tells, without what is missing.
type Facts = BTreeMap<&'static str, String>;

/// A line of a recorded server.
struct Recorded {
    /// The file and the number of the line in it.
    place: String,
    line: Value,
}

/// Returns what the servers wrote.
///
/// The package does not have the files, so they are not included at compile time.
fn recorded() -> Vec<Recorded> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/app_server");
    let mut lines = Vec::new();
    for entry in fs::read_dir(directory).expect("the transcripts") {
        let path = entry.expect("a file").path();
        let text = fs::read_to_string(&path).expect("a transcript");
        for (number, text) in text.lines().enumerate() {
            let mut line: Value = serde_json::from_str(text).expect("JSON");
            if line["from"] == "server" {
                let place = format!("{}:{}", path.display(), number + 1);
                let line = line["line"].take();
                lines.push(Recorded { place, line });
            }
        }
    }
    lines
}

fn put(facts: &mut Facts, name: &'static str, value: Option<impl ToString>) {
    facts.extend(value.map(|value| (name, value.to_string())));
}

#[test]
fn codex_codes_agrees_on_every_notification_of_a_turn() {
    let mut compared = BTreeMap::new();
    for Recorded { place, line } in recorded() {
        if line["id"].is_null() {
            let bytes = line.to_string();
            let Some(ours) = ours::notification(&bytes) else {
                continue;
            };
            let method = line["method"].as_str().unwrap_or_default().to_owned();
            if let Some(theirs) = theirs::notification(&line) {
                assert_eq!(ours, theirs, "{place}: {line}");
                *compared.entry(method).or_insert(0) += 1;
            } else {
                assert_eq!(method, "rawResponse/completed", "{place}: {line}");
            }
        }
    }
    let methods: Vec<_> = compared.keys().map(String::as_str).collect();
    assert_eq!(
        methods,
        [
            "account/rateLimits/updated",
            "error",
            "item/agentMessage/delta",
            "item/commandExecution/outputDelta",
            "item/completed",
            "item/reasoning/summaryTextDelta",
            "item/reasoning/textDelta",
            "item/started",
            "thread/tokenUsage/updated",
            "turn/completed",
            "turn/plan/updated",
            "turn/started",
        ],
        "{compared:?}"
    );
}

#[test]
fn codex_codes_agrees_on_every_question() {
    let mut methods = Vec::new();
    for Recorded { place, line } in recorded() {
        if line["id"].is_null() || line["method"].is_null() {
            continue;
        }
        let bytes = line.to_string();
        assert_eq!(
            ours::question(&bytes),
            theirs::question(&line),
            "{place}: {line}"
        );
        methods.extend(line["method"].as_str().map(str::to_owned));
    }
    methods.sort_unstable();
    methods.dedup();
    assert_eq!(
        methods,
        [
            "item/commandExecution/requestApproval",
            "item/fileChange/requestApproval",
            "item/tool/call",
            "mcpServer/elicitation/request",
        ]
    );
}

#[test]
fn codex_codes_agrees_on_every_answer() {
    for Recorded { place, line } in recorded() {
        if line["method"].is_null() {
            let bytes = line.to_string();
            assert_eq!(
                ours::answer(&bytes),
                theirs::answer(&line),
                "{place}: {line}"
            );
        }
    }
}

//! What `codex-codes` decodes from the recorded transcripts is what this crate decodes.

mod ours;
mod theirs;

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};

use super::{
    approvals::{self, Incoming},
    items, router, server,
};
use crate::turn::{ItemKind, ItemStatus, wire::Fields};

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

/// Returns the entries of a kind in the list of what the schema has, with what this crate does with each.
fn listed(kind: &str) -> BTreeMap<String, String> {
    let file = "tests/real_codex/app_server_schema.txt";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let list = fs::read_to_string(path).expect("the list");
    let entries = list.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(kind)).then_some(())?;
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    });
    entries.collect()
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

#[test]
fn no_recorded_notification_of_a_thread_is_unknown() {
    for Recorded { place, line } in recorded() {
        let (method, params) = (line["method"].as_str(), &line["params"]);
        if let Some(method) = method
            && line["id"].is_null()
            && !params["threadId"].is_null()
        {
            let is_known = router::IGNORED.contains(&method)
                || server::OPTED_OUT.contains(&method)
                || method == "thread/closed"
                || ours::notification(&line.to_string()).is_some();
            assert!(is_known, "{place}: {line}");
        }
    }
}

#[test]
fn the_list_of_the_schema_says_what_the_crate_does() {
    let notifications = listed("notification");
    let ignored = router::IGNORED.iter().chain(server::OPTED_OUT);
    // Only a warning without a message is ignored.
    for method in ignored.filter(|method| **method != "warning") {
        assert_eq!(notifications[*method], "ignored", "{method}");
    }
    for (method, does) in &listed("request") {
        let is_known = !matches!(
            approvals::decode(method, &Fields::default()),
            Incoming::Unknown
        );
        assert_eq!(is_known, does == "handled", "{method}");
    }
    let item = |fields: Value| {
        let text = fields.to_string();
        let fields = Fields::from_line(text.as_bytes()).expect("an object");
        (!items::is_of_user(&fields)).then(|| items::item(&fields))
    };
    for (kind, does) in &listed("item") {
        let decoded = match item(json!({"type": kind})) {
            None => "ignored",
            Some(Some(item)) if !matches!(item.kind, ItemKind::Other { .. }) => "handled",
            Some(_) => "unknown",
        };
        assert_eq!(decoded, does, "{kind}");
    }
    for (status, does) in &listed("status") {
        let (kind, name) = status.split_once('/').expect("a type and a status");
        let item = item(json!({"type": kind, "status": name}))
            .flatten()
            .expect("an item");
        let status = match item.kind {
            ItemKind::CommandExecution { status, .. }
            | ItemKind::FileChange { status, .. }
            | ItemKind::McpToolCall { status, .. }
            | ItemKind::DynamicToolCall { status, .. }
            | ItemKind::CollabToolCall { status, .. } => status,
            other => panic!("no status: {other:?}"),
        };
        let is_known = !matches!(status, ItemStatus::Other(_));
        assert_eq!(is_known, does == "handled", "{kind} {name}");
    }
}

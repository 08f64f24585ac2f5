//! The schema of the installed Codex has nothing that `app_server_schema.txt` does not have.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde_json::Value;

use crate::binary;

const LIST: &str = "tests/real_codex/app_server_schema.txt";

/// The reason of an entry that the server sends although the schema does not have it.
const LEFT_OUT: &str = "the schema leaves it out";

/// What an entry is (such as `item`), and its name.
type Entry = (String, String);

/// Returns the entries of the list, each with what the crate does with it.
fn listed(list: &str) -> BTreeMap<Entry, (String, String)> {
    let mut entries = BTreeMap::new();
    for line in list.lines() {
        let line = line.split('#').next().unwrap();
        let mut words = line.split_whitespace().map(str::to_owned);
        let Some(kind) = words.next() else {
            continue;
        };
        let (name, does) = (words.next().unwrap(), words.next().unwrap());
        let why = words.collect::<Vec<_>>().join(" ");
        assert!(
            ["handled", "ignored", "unknown"].contains(&&*does),
            "an unknown column: {line}"
        );
        assert!(does != "ignored" || !why.is_empty(), "no reason: {line}");
        let before = entries.insert((kind, name), (does, why));
        assert!(before.is_none(), "twice: {line}");
    }
    entries
}

/// Returns what the schema has that this crate could meet.
fn entries(codex: &Path) -> Vec<Entry> {
    let directory = tempfile::tempdir().unwrap();
    let schema = directory.path().join("schema");
    let output = Command::new(codex)
        .args([
            "app-server",
            "generate-json-schema",
            "--experimental",
            "--out",
        ])
        .arg(&schema)
        .env("CODEX_HOME", directory.path())
        .env("HOME", directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let read = |name: &str| -> Value {
        let text = fs::read(schema.join(name)).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    let all = read("codex_app_server_protocol.v2.schemas.json");
    let of = |name: &str| &all["definitions"][name];

    let mut entries = Vec::new();
    let mut add = |kind: &str, name: &str| entries.push((kind.to_owned(), name.to_owned()));
    for (kind, file) in [
        ("notification", "ServerNotification.json"),
        ("request", "ServerRequest.json"),
    ] {
        for variant in list(&read(file)["oneOf"]) {
            let methods = &variant["properties"]["method"]["enum"];
            list(methods).for_each(|method| add(kind, text(method)));
        }
    }
    for variant in list(&of("ThreadItem")["oneOf"]) {
        let properties = &variant["properties"];
        let item = text(&properties["type"]["enum"][0]);
        add("item", item);
        for status in list(&of(referenced(&properties["status"]))["enum"]) {
            add("status", &format!("{item}/{}", text(status)));
        }
    }
    list(&of("TurnStatus")["enum"]).for_each(|status| add("turn", text(status)));
    for variant in list(&of("CodexErrorInfo")["anyOf"]) {
        // Names, or an object whose only key is the name.
        let names = list(&variant["enum"]).chain(list(&variant["required"]));
        names.for_each(|name| add("error", text(name)));
    }
    entries
}

/// Returns the name of the definition to which a property refers, directly or in a list of one.
fn referenced(property: &Value) -> &str {
    let reference = [&property["$ref"], &property["allOf"][0]["$ref"]];
    let mut names = reference.iter().filter_map(|reference| reference.as_str());
    names
        .next()
        .map_or("", |path| path.rsplit('/').next().unwrap())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// Returns what a person has to do when the schema and the list differ.
fn news(schema: &[Entry], list: &str) -> String {
    let listed = listed(list);
    let is_new = |entry: &&Entry| !listed.contains_key(*entry);
    let new = schema.iter().filter(is_new);
    let mut news: String = new
        .map(|(kind, name)| format!("  new: {kind} {name}\n"))
        .collect();
    for ((kind, name), (_, why)) in &listed {
        let in_schema = schema.contains(&(kind.clone(), name.clone()));
        let is_left_out = why.starts_with(LEFT_OUT);
        if in_schema && is_left_out {
            news += &format!("  not left out any more: {kind} {name}\n");
        } else if !in_schema && !is_left_out {
            news += &format!("  gone: {kind} {name}\n");
        }
    }
    news
}

#[test]
fn the_schema_of_the_installed_codex_has_no_news() {
    let Some(codex) = binary::codex() else {
        return;
    };
    let list = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(LIST)).unwrap();
    let news = news(&entries(codex), &list);
    assert!(
        news.is_empty(),
        "\nThe app-server of this Codex differs from {LIST}:\n{news}\
         For what is new: decode it in src/turn/app_server (`decode.rs`, `items.rs`, `approvals.rs`; for an error \
         src/turn/failure/tables.rs) and list it as `handled`; or add it to `IGNORED` in `router.rs` if it has a \
         `threadId`, and list it as `ignored` with the reason; or list it as `unknown`. For what is gone: remove the \
         line, and the code if no supported Codex has it. If a transcript could have it, run \
         scripts/record-transcripts."
    );
}

#[test]
fn what_is_new_what_is_gone_and_what_is_not_left_out_any_more_is_news() {
    let entry = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
    let schema = [entry("item", "a"), entry("item", "b"), entry("turn", "c")];
    let list =
        "item a handled\nturn c handled the schema leaves it out\nerror d ignored a reason\n";
    assert_eq!(
        news(&schema, list),
        "  new: item b\n  gone: error d\n  not left out any more: turn c\n"
    );
}

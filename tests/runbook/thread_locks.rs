//! The real Codex locks the threads that it has loaded by the files that the page looks for.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary::codex;

#[test]
fn a_server_of_the_real_codex_keeps_the_lock_of_a_loaded_thread_open() {
    let Some(codex) = codex() else {
        return;
    };
    let home = TempDir::new().unwrap();
    let mut server = Command::new(codex)
        .arg("app-server")
        .env("CODEX_HOME", home.path())
        .env("HOME", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = server.stdin.take().unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let messages = lines.map_while(Result::ok);
    let mut messages = messages.map(|line| serde_json::from_str::<Value>(&line).unwrap());
    let mut ask = |method: &str, params: Value| {
        let request = json!({"id": method, "method": method, "params": params});
        writeln!(input, "{request}").unwrap();
        let answer =
            messages.find(|message| message["id"] == method && message["method"].is_null());
        answer.expect("the server answers")["result"].clone()
    };
    let client = json!({"name": "runbook", "title": null, "version": "1"});
    let capabilities = json!({"experimentalApi": true});
    ask(
        "initialize",
        json!({"clientInfo": client, "capabilities": capabilities}),
    );
    let ephemeral = ask("thread/start", json!({"ephemeral": true}));
    assert!(ephemeral["thread"]["id"].is_string(), "{ephemeral}");
    let kept = ask("thread/start", json!({}))["thread"]["id"].clone();

    let files = fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap();
    let paths = files.filter_map(|file| fs::read_link(file.unwrap().path()).ok());
    let locks: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == "lock"))
        .filter(|path| path.parent().unwrap().ends_with("thread-writer-locks"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    // It exits when its input ends.
    drop(input);
    server.wait().unwrap();
    assert_eq!(locks, [kept.as_str().unwrap()]);
}

use std::{
    io::Write,
    process::{Output, Stdio},
};

use serde_json::Value;

use crate::fake_server::host_tools;

/// Runs the example with a prompt and an input, and returns its output.
fn run(prompt: &str, input: &str) -> Output {
    let mut command = host_tools();
    command
        .arg(prompt)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Dropped, and so closed, at the end of the statement.
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

/// Returns whether a text has a line that begins and ends so.
fn has_line(text: &str, start: &str, end: &str) -> bool {
    text.lines()
        .any(|line| line.starts_with(start) && line.ends_with(end))
}

#[test]
fn the_same_approver_decides_about_a_tool_of_the_program_and_a_command_of_codex() {
    for (answers, said, end) in [
        ("y\ny\n", "ran it\n", "ok"),
        ("y\nn\n", "left it\n", "ok"),
        ("n\nyes\n", "ran it\n", "approval_denied"),
        // Nobody is there to ask.
        ("", "left it\n", "approval_denied"),
    ] {
        let output = run("tools", answers);
        assert!(output.status.success(), "{answers:?}: {output:?}");
        assert_eq!(str::from_utf8(&output.stdout).unwrap(), said, "{answers:?}");
        let shown = str::from_utf8(&output.stderr).unwrap();
        // Without what could disguise it.
        let question =
            "Call close_ticket with {\"comment\":\"It is\\u{202e} in 1.4.\",\"id\":7}? [y/n]\n";
        assert!(shown.contains(question), "{answers:?}: {shown}");
        assert!(
            shown.contains("Run rm notes? [y/n]\n"),
            "{answers:?}: {shown}"
        );
        for (start, end) in [
            ("  codex.turn tickets", "ok"),
            ("    codex.tool list_tickets", "ok"),
            ("    codex.tool read_ticket", "tool_failed"),
            ("    codex.tool close_ticket", end),
            ("      codex.approval close_ticket", "ok"),
            ("      codex.approval command_execution", "ok"),
            ("read_ticket: ", "0 succeeded, 1 failed"),
        ] {
            assert!(
                has_line(shown, start, end),
                "{answers:?}: no {start} … {end} in {shown}"
            );
        }
    }
}

#[test]
fn codex_is_told_of_the_tools_with_the_schemas_of_their_types() {
    let output = run("settings", "");
    let said = str::from_utf8(&output.stdout).unwrap().replace('\'', "\"");
    let request: Value = serde_json::from_str(&said).unwrap();
    let tools = request["params"]["dynamicTools"].as_array().unwrap();
    let names = tools.iter().map(|tool| tool["name"].as_str().unwrap());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["close_ticket", "list_tickets", "read_ticket"]
    );
    let schema = &tools[0]["inputSchema"];
    assert_eq!(schema["required"], serde_json::json!(["id", "comment"]));
    assert_eq!(
        schema["properties"]["id"]["description"],
        "The number of the ticket."
    );
}

#[test]
fn a_turn_that_fails_ends_the_program_with_its_error() {
    let output = run("fail", "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let shown = str::from_utf8(&output.stderr).unwrap();
    assert!(shown.contains("try again in 1.5s"), "{shown}");
    assert!(
        has_line(shown, "  codex.turn tickets", "rate_limit (model)"),
        "{shown}"
    );
}

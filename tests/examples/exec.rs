use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    fake_server::exec_by_app_server,
    processes::assert_gone,
    support::{events, exec, names},
    terminal::open_terminal,
};

const GOOD: &str = r#"
    echo '{"type":"thread.started","thread_id":"t"}'
    echo '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"all is well"}}'
    echo '{"type":"turn.completed","usage":{"input_tokens":1}}'
"#;

#[test]
fn a_completed_turn_exits_0_with_events_on_stdout_and_progress_on_stderr() {
    let output = exec(GOOD).arg("do it").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let events = events(&output.stdout);
    assert_eq!(names(&events), ["codex.turn.start", "codex.turn.stop"]);
    assert_eq!(events[1]["originator"], "cli");
    let progress = String::from_utf8(output.stderr).unwrap();
    assert!(progress.contains("all is well"), "{progress}");
}

#[test]
fn a_failed_turn_exits_1_with_its_class() {
    let failed =
        r#"echo '{"type":"turn.failed","error":{"message":"rate limit exceeded"}}'; exit 1"#;
    let output = exec(failed)
        .args(["--originator", "nightly", "do it"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let events = events(&output.stdout);
    assert_eq!(names(&events), ["codex.turn.start", "codex.turn.exception"]);
    assert_eq!(events[1]["error_class"], "rate_limit");
    assert_eq!(events[1]["originator"], "nightly");
}

/// A turn in which Codex runs a command that fails.
const WITH_A_TOOL: &str = r#"
    echo '{"type":"thread.started","thread_id":"t"}'
    echo '{"type":"item.started","item":{"id":"i","type":"command_execution","command":"false","aggregated_output":"","exit_code":null,"status":"in_progress"}}'
    echo '{"type":"item.completed","item":{"id":"i","type":"command_execution","command":"false","aggregated_output":"","exit_code":1,"status":"failed"}}'
    echo '{"type":"turn.completed","usage":{"input_tokens":1}}'
"#;

#[test]
fn the_option_timeline_prints_a_timeline_on_stderr() {
    let output = exec(WITH_A_TOOL).args(["--timeline", "do it"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(events(&output.stdout).len(), 4);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let timeline: Vec<_> = stderr
        .lines()
        .skip_while(|line| !line.starts_with("trace "))
        .collect();
    let [_, turn, legend, tool] = timeline[..] else {
        panic!("{stderr}")
    };
    assert!(
        legend.contains(" = ") && legend.ends_with(" ms"),
        "{stderr}"
    );
    assert!(turn.starts_with("  codex.turn ") && turn.ends_with("  ok"));
    assert!(tool.starts_with("    codex.tool ") && tool.ends_with("  tool_failed"));
    // Without colours, since it is a pipe.
    assert!(!stderr.contains('\u{1b}'), "{stderr:?}");

    let output = exec(WITH_A_TOOL).arg("do it").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains("trace "), "{stderr}");
}

#[test]
fn the_timeline_has_colours_on_a_terminal_that_supports_them() {
    let red = "\u{1b}[31mtool_failed\u{1b}[0m";
    for (variable, value, colored) in [
        ("NO_COLOR", "", true),
        ("NO_COLOR", "1", false),
        ("TERM", "dumb", false),
    ] {
        let (terminal, stderr) = open_terminal();
        let mut command = exec(WITH_A_TOOL);
        command
            .args(["--timeline", "do it"])
            .env_remove("NO_COLOR")
            .env("TERM", "xterm")
            .env(variable, value)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr);
        let child = command.spawn().unwrap();
        // Reading ends when no process has the terminal open for writing.
        drop(command);
        let mut shown = Vec::new();
        // On Linux, reading ends with an error.
        let _ = File::from(terminal).read_to_end(&mut shown);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(events(&output.stdout).len(), 4);
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.contains("tool_failed"), "{shown}");
        assert_eq!(
            shown.contains(red),
            colored,
            "{variable}={value}: {shown:?}"
        );
    }
}

#[test]
fn invalid_usage_exits_2_with_the_usage_and_no_event() {
    for arguments in [
        &[][..],
        &["--no-such-option", "x"],
        &["one prompt", "and another"],
        &["-c", "no equals sign", "x"],
        &["--sandbox", "sandpit", "x"],
        &["--log", "codex_telemetry=loud", "x"],
        &["--timeout", "soon", "x"],
        &["--originator", "two words", "x"],
    ] {
        let output = exec(GOOD).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("usage: exec"), "{arguments:?}: {text}");
    }
}

#[test]
fn a_setting_is_json_or_else_a_text() {
    let show_arguments = r#"
        shown=$(printf '[%s]' "$@" | tr '"' "'")
        printf '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"%s"}}\n' "$shown"
        echo '{"type":"turn.completed"}'
    "#;
    let settings = [
        "-c",
        "a=1",
        "-c",
        r#"b={"c":[true]}"#,
        "--config",
        "d.e=high",
    ];
    let output = exec(show_arguments).args(settings).arg("do it").output();
    let output = output.unwrap();
    let shown = String::from_utf8(output.stderr).unwrap();
    let expected = "[--config=a=1][--config=b={'c'=[true,]}][--config=d.e='high']";
    assert!(shown.contains(expected), "{shown}");
}

#[test]
fn a_turn_that_times_out_exits_124() {
    let output = exec("sleep 303.501")
        .args(["--timeout", "0.2", "do it"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(124), "{output:?}");
    let events = events(&output.stdout);
    assert_eq!(names(&events), ["codex.turn.start", "codex.turn.exception"]);
    assert_eq!(events[1]["error_class"], "timeout");
}

#[test]
fn a_signal_cancels_the_turn_prints_its_event_and_leaves_no_process() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let script = r#"
            trap '' INT TERM
            echo '{"type":"item.completed","item":{"id":"i","type":"error","message":"pid '$$'"}}'
            sleep 303.502
        "#;
        let mut child = exec(script)
            .arg("do it")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();

        // The fake reports its process id as progress.
        let mut line = String::new();
        let mut progress = BufReader::new(child.stderr.take().unwrap());
        progress.read_line(&mut line).unwrap();
        let pid = line
            .trim()
            .strip_prefix("pid ")
            .and_then(|pid| pid.parse().ok());
        let fake = Pid::from_raw(pid.unwrap_or_else(|| panic!("{line:?}"))).unwrap();

        kill_process(Pid::from_child(&child), signal).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(code));
        let mut stdout = Vec::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_end(&mut stdout)
            .unwrap();
        let events = events(&stdout);
        assert_eq!(names(&events), ["codex.turn.start", "codex.turn.exception"]);
        assert_eq!(events[1]["outcome"], "cancelled");

        assert_gone(fake);
    }
}

#[test]
fn a_user_signal_shows_what_the_turn_waits_for() {
    let script = r#"
        echo '{"type":"turn.started"}'
        echo '{"type":"item.started","item":{"id":"i","type":"command_execution","command":"make","status":"in_progress"}}'
        exec sleep 303.503
    "#;
    let mut child = exec(script)
        .arg("do it")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut progress = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut next = || progress.next().unwrap().unwrap();
    // It is shown when the command has started.
    assert_eq!(next(), "$ make");
    kill_process(Pid::from_child(&child), Signal::USR1).unwrap();
    let shown = [next(), next(), next()].join("\n");
    assert!(shown.contains("codex.turn"), "{shown}");
    assert!(shown.contains("tools"), "{shown}");
    assert!(shown.contains("codex.tool command_execution"), "{shown}");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn a_missing_codex_has_an_event_with_advice() {
    let output = exec(GOOD)
        .args(["--codex", "/no/such/codex", "do it"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let events = events(&output.stdout);
    assert_eq!(events[1]["error_class"], "spawn");
    assert!(
        events[1]["error_message"]
            .as_str()
            .unwrap()
            .contains("npm install")
    );
}

#[test]
fn the_option_app_server_changes_the_service_and_not_what_is_printed() {
    let output = exec_by_app_server().arg("say hi").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let events = events(&output.stdout);
    // A response of the model is known to this service alone.
    assert_eq!(
        names(&events),
        [
            "codex.turn.start",
            "codex.chat.start",
            "codex.chat.stop",
            "codex.turn.stop"
        ]
    );
    assert_eq!(events[3]["originator"], "cli");
    assert_eq!(events[3]["turn_id"], "turn-1");
    let progress = String::from_utf8(output.stderr).unwrap();
    assert!(progress.contains("hello"), "{progress}");
}

#[test]
fn a_turn_by_app_server_that_needs_an_approval_is_never_asked_about() {
    let output = exec_by_app_server().arg("settings").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let settings = String::from_utf8(output.stderr).unwrap();
    assert!(settings.contains("'approvalPolicy':'never'"), "{settings}");

    let output = exec_by_app_server().arg("run a command").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let events = events(&output.stdout);
    let tool = events
        .iter()
        .find(|event| event["event"] == "codex.tool.exception");
    assert_eq!(tool.unwrap()["error_class"], "approval_denied");
}

#[test]
fn a_turn_by_app_server_that_fails_or_is_late_has_the_exit_codes_of_exec() {
    for (arguments, code, class) in [
        (&["fail"][..], 1, "rate_limit"),
        (&["--timeout", "0.2", "hang"], 124, "timeout"),
        (&["--codex", "/no/such/codex", "say hi"], 1, "spawn"),
    ] {
        let output = exec_by_app_server().args(arguments).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        let events = events(&output.stdout);
        let last = events.last().unwrap();
        assert_eq!(last["event"], "codex.turn.exception");
        assert_eq!(last["error_class"], class);
    }
}

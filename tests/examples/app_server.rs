use std::{
    io::Write,
    process::{Output, Stdio},
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    fake_server::app_server,
    processes::assert_gone,
    support::{events, names},
    user::User,
};

/// Runs the example with an input, and returns its output.
fn converse(input: &str, arguments: &[&str]) -> Output {
    let mut command = app_server();
    command
        .args(arguments)
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

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// Returns a directory, and the path of a file in it for the events.
fn events_file() -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.jsonl");
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn each_line_of_the_input_is_a_turn_and_its_end_is_that_of_the_program() {
    let (_directory, path) = events_file();
    let output = converse("say hi\n\nsay it again\n", &["--events", &path]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stdout), "hello\nhello\n");
    let progress = text(&output.stderr);
    assert_eq!(progress.matches("thread 0000").count(), 1, "{progress}");
    let turns = events(&std::fs::read(&path).unwrap());
    let turns: Vec<_> = turns
        .iter()
        .filter(|event| event["event"] == "codex.turn.stop")
        .collect();
    assert_eq!(turns.len(), 2);
    // The thread goes on.
    assert_eq!(turns[0]["thread_id"], turns[1]["thread_id"]);
}

#[test]
fn a_program_without_a_turn_starts_no_server() {
    let output = converse("", &["--codex", "/no/such/codex"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_failed_turn_leaves_the_conversation_usable_and_the_last_turn_decides_the_exit_code() {
    let output = converse("fail\nsay hi\n", &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stdout), "hello\n");
    assert!(text(&output.stderr).contains("rate_limit: "), "{output:?}");

    for (input, arguments, code) in [
        ("fail\n", &[][..], 1),
        ("hang\n", &["--timeout", "0.2"], 124),
        ("say hi\n", &["--codex", "/no/such/codex"], 1),
    ] {
        let output = converse(input, arguments);
        assert_eq!(output.status.code(), Some(code), "{input}: {output:?}");
    }
}

#[test]
fn an_answer_on_standard_input_decides_about_a_command() {
    for (answer, said, class) in [
        ("y", "ran it\n", None),
        ("a", "ran it\n", None),
        ("n", "left it\n", Some("approval_denied")),
        ("c", "", Some("approval_denied")),
        // Asked again.
        ("perhaps\nyes", "ran it\n", None),
        // Nobody is there to ask.
        ("", "left it\n", Some("approval_denied")),
    ] {
        let (_directory, path) = events_file();
        let output = converse(&format!("run it\n{answer}"), &["--events", &path]);
        assert_eq!(text(&output.stdout), said, "{answer}: {output:?}");
        assert_eq!(
            output.status.code(),
            Some(i32::from(answer == "c")),
            "{answer}: {output:?}"
        );

        let events = events(&std::fs::read(&path).unwrap());
        let event = |name: &str| {
            let mut ends = events
                .iter()
                .filter(|event| event["event"].as_str().unwrap().starts_with(name));
            ends.next_back()
                .unwrap_or_else(|| panic!("{answer}: no {name} in {:?}", names(&events)))
        };
        let (tool, question) = (event("codex.tool."), event("codex.approval."));
        assert_eq!(question["parent_span_id"], tool["span_id"], "{answer}");
        assert_eq!(tool["error_class"].as_str(), class, "{answer}");
    }
}

#[test]
fn the_decisions_are_those_of_codex() {
    // The fake runs the command for every answer that begins with `accept`.
    for (answer, decision) in [
        ("y", "accept"),
        ("a", "accept_for_session"),
        ("n", "decline"),
        ("c", "cancel"),
    ] {
        let (_directory, path) = events_file();
        converse(&format!("run it\n{answer}\n"), &["--events", &path]);
        let events = events(&std::fs::read(&path).unwrap());
        let decisions = events
            .iter()
            .filter_map(|event| event["attributes"]["codex.approval.decision"].as_str());
        assert_eq!(decisions.collect::<Vec<_>>(), [decision], "{answer}");
    }
}

#[test]
fn a_question_shows_what_would_be_done_without_what_could_disguise_it() {
    let output = converse("run it\nn\nedit it\ny\n", &[]);
    let asked = text(&output.stderr);
    for part in [
        "$ rm notes\nCodex would run a command in /srv:\n    rm notes\nbecause: they are old\n",
        "Codex would change files:\n    update /srv/a.txt\n      -old\n      +new \\u{1b}[2J\n",
    ] {
        assert!(asked.contains(part), "no {part:?} in {asked}");
    }
    assert!(!asked.contains('\u{1b}'), "{asked:?}");
}

#[test]
fn a_question_that_nobody_answers_is_declined_after_its_time() {
    let mut user = User::start(&["--approval-timeout", "0.2"]);
    user.sees("> ");
    user.types("run it\n");
    user.sees("cancel the turn: ");
    user.sees("not answered");
    user.sees("left it");
    user.sees("> ");
    // Ctrl-D.
    user.types("\u{4}");
    assert_eq!(user.leaves(), Some(0));
}

#[test]
fn a_question_on_a_terminal_is_answered_there_and_the_conversation_goes_on() {
    let mut user = User::start(&[]);
    user.sees("> ");
    for (answer, said) in [("y", "ran it"), ("n", "left it")] {
        user.types("run it\n");
        user.sees("cancel the turn: ");
        user.types(&format!("{answer}\n"));
        user.sees(said);
        user.sees("> ");
    }
    user.types("\u{4}");
    assert_eq!(user.leaves(), Some(0));
}

#[test]
fn ctrl_c_cancels_the_turn_and_a_second_one_at_the_prompt_ends_the_program() {
    let mut user = User::start(&[]);
    user.sees("> ");
    user.types("hang\n");
    let server = user.server();
    user.interrupts();
    user.sees("cancelled");
    user.sees("> ");
    user.types("say hi\n");
    user.sees("hello");
    user.sees("> ");
    user.interrupts();
    user.sees("Ctrl-C again");
    user.sees("> ");
    user.interrupts();
    assert_eq!(user.leaves(), Some(130));
    assert_gone(server);
}

#[test]
fn ctrl_c_while_a_question_is_open_cancels_the_turn() {
    let mut user = User::start(&["--timeline"]);
    user.sees("> ");
    user.types("run it\n");
    user.sees("cancel the turn: ");
    user.interrupts();
    user.sees("not answered");
    user.sees("codex.approval");
    user.sees("cancelled");
    user.sees("> ");
    user.types("say hi\n");
    user.sees("hello");
    user.sees("> ");
    user.types("\u{4}");
    assert_eq!(user.leaves(), Some(0));
}

#[test]
fn a_sigterm_ends_the_program_and_its_server_at_any_time() {
    let mut user = User::start(&[]);
    user.sees("> ");
    user.types("hang\n");
    let running = user.server();
    user.signals(Signal::TERM);
    assert_eq!(user.leaves(), Some(143));
    assert_gone(running);

    let mut user = User::start(&[]);
    user.sees("> ");
    user.signals(Signal::TERM);
    assert_eq!(user.leaves(), Some(143));
}

#[test]
fn the_option_timeline_draws_the_calls_after_each_turn() {
    let output = converse("say hi\nrun it\ny\n", &["--timeline"]);
    let shown = text(&output.stderr);
    let drawn: Vec<_> = shown.split("trace ").skip(1).collect();
    assert_eq!(drawn.len(), 2, "{shown}");
    assert!(!drawn[0].contains("codex.tool"), "{shown}");
    assert!(
        drawn[1].contains("    codex.tool command_execution"),
        "{shown}"
    );
    assert!(
        drawn[1].contains("      codex.approval command_execution"),
        "{shown}"
    );
    // Without colours, since it is a pipe.
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn a_terminal_that_supports_colours_has_them() {
    for (variable, value, shown) in [
        ("NO_COLOR", "", "\u{1b}[1m$ rm notes\u{1b}[0m"),
        ("NO_COLOR", "1", "$ rm notes"),
        ("TERM", "dumb", "$ rm notes"),
    ] {
        let mut command = app_server();
        command
            .env_remove("NO_COLOR")
            .env("TERM", "xterm")
            .env(variable, value);
        let mut user = User::runs(&mut command);
        user.sees("> ");
        user.types("run it\n");
        let before = user.sees("cancel the turn: ");
        assert!(before.contains(shown), "{variable}={value}: {before:?}");
        assert_eq!(before.contains('\u{1b}'), shown.contains('\u{1b}'));
        user.types("n\n");
        user.sees("> ");
        user.types("\u{4}");
        assert_eq!(user.leaves(), Some(0));
    }
}

#[test]
fn what_codex_leaves_out_of_a_streamed_output_is_shown_at_its_end() {
    let output = converse("output\n", &[]);
    let shown = text(&output.stderr);
    assert!(
        shown.contains("$ rm notes\nsecond\nand before that:\nfirst\nexited with 3\n"),
        "{shown}"
    );
}

#[test]
fn the_options_are_settings_of_every_thread() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    let output = converse(
        "settings\n",
        &[
            "--model",
            "gpt-x",
            "--sandbox",
            "read-only",
            "--approval-policy",
            "untrusted",
            "--cd",
            directory,
        ],
    );
    let settings = text(&output.stdout);
    for part in [
        "'method':'thread/start'",
        "'model':'gpt-x'",
        "'sandbox':'read-only'",
        "'approvalPolicy':'untrusted'",
        "'ephemeral':false",
        &format!("'cwd':'{directory}'"),
    ] {
        assert!(settings.contains(part), "no {part} in {settings}");
    }

    let resumed = converse(
        "settings\n",
        &["--resume", "00000000-0000-7000-8000-000000000001"],
    );
    assert!(
        text(&resumed.stdout).contains("'method':'thread/resume'"),
        "{resumed:?}"
    );

    let ephemeral = converse("settings\nsettings\n", &["--ephemeral"]);
    let settings = text(&ephemeral.stdout);
    assert_eq!(
        settings.matches("'method':'thread/start'").count(),
        2,
        "{settings}"
    );
    assert_eq!(
        settings.matches("'ephemeral':true").count(),
        2,
        "{settings}"
    );
}

#[test]
fn invalid_usage_exits_2_with_the_usage() {
    for arguments in [
        &["a prompt"][..],
        &["--no-such-option"],
        &["-c", "no equals sign"],
        &["--sandbox", "sandpit"],
        &["--approval-policy", "sometimes"],
        &["--approval-timeout", "-1"],
        &["--events", "/no/such/directory/events"],
        &["--originator", "two words"],
    ] {
        let output = converse("", arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        let text = text(&output.stderr);
        assert!(text.contains("usage: app_server"), "{arguments:?}: {text}");
    }
}

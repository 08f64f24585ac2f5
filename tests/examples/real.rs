//! The examples with the real Codex and a model on loopback, if the binary is there.

use std::process::Command;

use tempfile::TempDir;

use crate::{
    binary,
    fake_server::{app_server, exec_by_app_server},
    gate::Gate,
    isolated::{foreign_variables, settings},
    model::Model,
    reply::{Reply, Tokens},
    support::{events, names},
    user::User,
};

/// A model, and the directories of Codex.
struct Bench {
    model: Model,
    home: TempDir,
    work: TempDir,
}

impl Bench {
    fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            model: Model::start(script),
            home: tempfile::tempdir().unwrap(),
            work: tempfile::tempdir().unwrap(),
        }
    }

    /// Has an example run the real Codex with this model, isolated from the Codex of the machine; `None` without a
    /// Codex.
    fn isolate(&self, command: Command) -> Option<Command> {
        let mut command = self.isolate_environment(command)?;
        command
            .args(["--model", "gpt-5.5", "--sandbox", "danger-full-access"])
            .arg("--cd")
            .arg(self.work.path());
        for (key, value) in settings(&self.model.url("/v1")) {
            command.arg("-c").arg(format!("{key}={value}"));
        }
        Some(command)
    }

    /// The same for an example without options: Codex reads the settings from its file.
    #[cfg(all(feature = "mcp", feature = "schemars"))]
    fn isolate_by_file(&self, command: Command) -> Option<Command> {
        let mut command = self.isolate_environment(command)?;
        command.current_dir(self.work.path());
        let mut file = "model = \"gpt-5.5\"\n".to_owned();
        for (key, value) in settings(&self.model.url("/v1")) {
            match value {
                serde_json::Value::Object(table) => {
                    for (of, value) in table {
                        file += &format!("{key}.{of} = {value}\n");
                    }
                }
                value => file += &format!("{key} = {value}\n"),
            }
        }
        std::fs::write(self.home.path().join("config.toml"), file).unwrap();
        Some(command)
    }

    fn isolate_environment(&self, mut command: Command) -> Option<Command> {
        command.env("CODEX_PATH", binary::codex()?);
        for name in foreign_variables().filter(|name| name != "CODEX_PATH") {
            command.env_remove(name);
        }
        command
            .env("NO_COLOR", "1")
            .env("CODEX_HOME", self.home.path())
            .env("HOME", self.home.path())
            .env("MOCK_KEY", "k");
        Some(command)
    }

    fn has(&self, name: &str) -> bool {
        self.work.path().join(name).exists()
    }
}

#[test]
fn a_conversation_with_the_real_codex_asks_cancels_and_goes_on() {
    let gate = Gate::new();
    let bench = Bench::start([
        Reply::shell("touch accepted"),
        Reply::done(),
        Reply::shell("touch declined"),
        Reply::done(),
        Reply::streamed(&["part ", "of it"], Tokens::FEW).held_after(4, &gate),
        Reply::streamed(&["well, ", "hello"], Tokens::FEW),
    ]);
    let Some(mut command) = bench.isolate(app_server()) else {
        return;
    };
    command.args(["--approval-policy", "untrusted", "--timeline"]);
    let mut user = User::runs(&mut command);
    user.sees("> ");
    for (answer, drawn) in [("y", "codex.approval"), ("n", "approval_denied")] {
        user.types("touch a file\n");
        user.sees("$ ");
        user.sees("cancel the turn: ");
        user.types(&format!("{answer}\n"));
        user.sees("done");
        user.sees(drawn);
        user.sees("> ");
    }
    assert!(bench.has("accepted") && !bench.has("declined"));

    user.types("take your time\n");
    user.sees("part ");
    user.interrupts();
    user.sees("cancelled");
    user.sees("> ");
    user.types("say hello\n");
    user.sees("well, hello");
    user.sees("> ");
    user.types("\u{4}");
    assert_eq!(user.leaves(), Some(0));
    // All in one thread: the last request to the model has the first prompt.
    let last = bench.model.asked().pop().unwrap();
    assert!(last.is_about("touch a file") && last.is_about("take your time"));
}

#[test]
fn exec_runs_a_turn_of_the_real_codex_by_the_app_server() {
    let bench = Bench::start([Reply::shell("touch made"), Reply::done()]);
    let Some(mut command) = bench.isolate(exec_by_app_server()) else {
        return;
    };
    let output = command.arg("touch a file").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(bench.has("made"));
    let events = events(&output.stdout);
    let ends: Vec<_> = names(&events)
        .into_iter()
        .filter(|name| name.ends_with(".stop"))
        .collect();
    assert_eq!(
        ends,
        [
            "codex.chat.stop",
            "codex.tool.stop",
            "codex.chat.stop",
            "codex.turn.stop"
        ]
    );
}

#[cfg(all(feature = "mcp", feature = "schemars"))]
#[test]
fn host_tools_has_the_real_codex_call_its_tools_and_asks_before_it_closes_a_ticket() {
    use serde_json::json;

    let accepted = ("y\n", r#"\"state\":\"closed\""#, "  ok");
    let declined = (
        "n\n",
        "tool `close_ticket` was declined: the user said no; continue without it",
        "approval_denied",
    );
    for (options, namespace) in [(&[][..], ""), (&["--exec"], "mcp__codex_telemetry.")] {
        for (answer, told, drawn) in [accepted, declined] {
            let call = |tool: &str, arguments| {
                Reply::calls([(format!("{namespace}{tool}").as_str(), arguments)])
            };
            let bench = Bench::start([
                call("list_tickets", json!({"state": "open"})),
                call("close_ticket", json!({"id": 7, "comment": "It is in 1.4."})),
                Reply::done(),
            ]);
            let Some(mut command) = bench.isolate_by_file(crate::fake_server::host_tools()) else {
                return;
            };
            let mut user = User::runs(command.args(options));
            user.sees("Call close_ticket with {\"comment\":\"It is in 1.4.\",\"id\":7}? [y/n]");
            user.types(answer);
            user.sees("done");
            user.sees("codex.turn tickets");
            user.sees("    codex.tool list_tickets");
            user.sees("    codex.tool close_ticket");
            user.sees(drawn);
            user.sees("      codex.approval close_ticket");
            assert_eq!(user.leaves(), Some(0));

            let calls = bench.model.asked().pop().unwrap().calls();
            let outputs: Vec<_> = calls
                .iter()
                .map(|call| call.output.as_ref().unwrap().to_string())
                .collect();
            let context = format!("{options:?}, {answer:?}: {outputs:?}");
            assert_eq!(outputs.len(), 2, "{context}");
            assert!(
                outputs[0].contains("The export stops at midnight"),
                "{context}"
            );
            assert!(outputs[1].contains(told), "{context}");
        }
    }
}

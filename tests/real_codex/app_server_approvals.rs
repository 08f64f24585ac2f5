//! What Codex asks before it runs commands and edits files, and each answer of the approver.

use std::{
    convert::Infallible,
    fmt,
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use codex_telemetry::{
    ErrorClass, Event, Outcome,
    approval::{Action, ApprovalRequest, Decision},
    event::names,
    turn::{ApprovalPolicy, Sandbox, TurnError},
};
use opentelemetry::Value;
use serde_json::json;
use tower::{Service, service_fn};

use crate::{
    app_server::AppServer,
    bench::{Bench, DEADLINE},
    calls::assert_ok,
    reply::Reply,
};

/// An approver that decides at once, and keeps what it was asked. Clones are the same approver.
#[derive(Clone)]
pub(crate) struct Approver {
    asked: Arc<Mutex<Vec<Asked>>>,
    decide: Arc<dyn Fn(&ApprovalRequest) -> Decision + Send + Sync>,
}

/// What an approver was asked.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) tool: String,
    pub(crate) action: Action,
}

/// Shows what is asked about in one line.
impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} {:?}", self.tool, self.action, self.command())
    }
}

impl Asked {
    /// Returns the command line.
    pub(crate) fn command(&self) -> Option<&str> {
        match &self.action {
            Action::Command { command, .. } => Some(command),
            _ => None,
        }
    }
}

impl Approver {
    /// Returns an approver that always decides the same.
    pub(crate) fn always(decision: Decision) -> Self {
        Self::new(move |_| decision.clone())
    }

    pub(crate) fn new(
        decide: impl Fn(&ApprovalRequest) -> Decision + Send + Sync + 'static,
    ) -> Self {
        Self {
            asked: Arc::default(),
            decide: Arc::new(decide),
        }
    }

    /// Returns the approver as a service.
    pub(crate) fn service(
        &self,
    ) -> impl Service<ApprovalRequest, Response = Decision, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + use<> {
        let approver = self.clone();
        service_fn(move |request| ready(Ok(approver.decide(&request))))
    }

    /// Returns what it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn decide(&self, request: &ApprovalRequest) -> Decision {
        self.asked.lock().unwrap().push(Asked {
            tool: request.tool.to_string(),
            action: request.action.clone(),
        });
        (self.decide)(request)
    }
}

impl Bench {
    /// Returns a service that asks an approver about every command and edit.
    pub(crate) fn asking(&self, approver: &Approver) -> AppServer<'_> {
        self.app_server(|builder| {
            builder
                .approval_policy(ApprovalPolicy::Untrusted)
                .approver(approver.service(), DEADLINE)
        })
    }

    /// Returns whether a file of the working directory exists.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.work.path().join(name).exists()
    }
}

/// Returns the attribute with the decision.
pub(crate) fn decision(tool: &Event) -> Option<String> {
    tool.attribute(names::APPROVAL_DECISION)
        .map(Value::to_string)
}

#[track_caller]
pub(crate) fn assert_denied(event: &Event, message: &str) {
    assert_eq!(event.outcome(), Some(Outcome::Error), "{event:?}");
    assert_eq!(event.error_class(), Some(ErrorClass::ApprovalDenied));
    assert_eq!(event.error_message(), Some(message));
}

/// A patch that adds a file.
pub(crate) fn adds(name: &str) -> Reply {
    Reply::patch(&format!(
        "*** Begin Patch\n*** Add File: {name}\n+hello\n*** End Patch"
    ))
}

// === commands ===

#[tokio::test]
async fn a_command_that_is_accepted_runs_once_and_is_asked_about_again() {
    let touch = Reply::shell("touch one");
    let Some(bench) = Bench::start([touch.clone(), Reply::shell("touch one"), Reply::done()])
    else {
        return;
    };
    let approver = Approver::always(Decision::Accept);
    let server = bench.asking(&approver);
    server.complete(bench.ask("Go")).await;
    assert!(bench.has("one"));
    let asked = approver.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    for asked in &asked {
        assert_eq!(asked.tool, "command_execution");
        let Action::Command {
            command,
            cwd,
            reason,
            execpolicy_amendment,
            permissions,
            ..
        } = &asked.action
        else {
            panic!("{asked:?}");
        };
        assert!(command.ends_with("-lc 'touch one'"), "{command}");
        assert_eq!(cwd.as_deref(), Some(bench.work.path()));
        // The model has not asked for more than the sandbox allows.
        assert_eq!(*reason, None);
        assert_eq!(execpolicy_amendment, &["touch", "one"]);
        assert_eq!(*permissions, None);
    }
    let calls = bench.calls(1);
    assert_ok(calls.turn());
    assert_eq!(calls.tools.len(), 2);
    for tool in &calls.tools {
        assert_ok(tool);
        assert_eq!(decision(tool).as_deref(), Some("accept"));
    }
    server.end().await;
}

#[tokio::test]
async fn a_command_that_is_accepted_for_the_session_is_not_asked_about_again_in_its_thread() {
    let one = || Reply::shell("touch one");
    let script = [one(), one(), Reply::shell("touch two"), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let approver = Approver::always(Decision::AcceptForSession);
    let server = bench.asking(&approver);
    let first = server.complete(bench.ask("Go")).await;
    let about = || {
        let asked = approver.asked();
        let commands = asked
            .iter()
            .map(|asked| asked.command().unwrap().to_owned());
        commands
            .map(|command| command.rsplit_once("touch ").unwrap().1.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(about(), ["one'", "two'"]);
    let calls = bench.calls(1);
    let decisions: Vec<_> = calls.tools.iter().map(decision).collect();
    let session = || Some("accept_for_session".to_owned());
    assert_eq!(decisions, [session(), None, session()]);

    // A later turn of the thread is of the same session.
    bench.model.then([one(), Reply::done()]);
    server.complete(bench.ask_on(&first, "Again")).await;
    assert_eq!(approver.asked().len(), 2);
    // Another thread is not.
    bench.model.then([one(), Reply::done()]);
    server.complete(bench.ask("New")).await;
    assert_eq!(about(), ["one'", "two'", "one'"]);
    assert!(!bench.home.path().join("rules").exists());
    server.end().await;
}

#[tokio::test]
async fn a_command_that_is_declined_does_not_run_and_the_turn_goes_on() {
    let Some(bench) = Bench::start([Reply::shell("touch one"), Reply::done()]) else {
        return;
    };
    let approver = Approver::always(Decision::decline("not today"));
    let server = bench.asking(&approver);
    let turn = server.complete(bench.ask("Go")).await;
    assert_eq!(turn.final_message.as_deref(), Some("done"));
    assert!(!bench.has("one"));
    let calls = bench.calls(1);
    assert_ok(calls.turn());
    assert_denied(
        calls.tool(),
        "the approver declined command_execution: not today",
    );
    assert_eq!(decision(calls.tool()).as_deref(), Some("decline"));
    server.end().await;
}

#[tokio::test]
async fn a_command_whose_approver_cancels_does_not_run_and_ends_the_turn() {
    let Some(bench) = Bench::start([Reply::shell("touch one")]) else {
        return;
    };
    let approver = Approver::new(|request| match &request.action {
        Action::Command { command, .. } if command.contains("touch one") => Decision::Cancel,
        _ => Decision::Accept,
    });
    let server = bench.asking(&approver);
    let error = server.run(bench.ask("Go")).await.unwrap_err();
    let TurnError::CancelledByApprover { tool } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(tool, "command_execution");
    assert!(!bench.has("one"));
    let calls = bench.calls(1);
    let message = "the approver of command_execution cancelled the turn";
    for event in [calls.turn(), calls.tool()] {
        assert_denied(event, message);
    }
    assert_eq!(decision(calls.tool()).as_deref(), Some("cancel"));

    // The thread is free.
    bench.model.then([Reply::shell("touch two"), Reply::done()]);
    let thread = calls.turn().thread_id().unwrap();
    let next = server
        .complete(bench.ask("Go on").with_resume(thread))
        .await;
    assert!(bench.has("two"), "{next:?}");
    server.end().await;
}

#[tokio::test]
async fn a_rule_is_written_by_the_decision_that_names_it_and_by_no_other() {
    for (accept, writes) in [
        (Decision::Accept, false),
        (Decision::AcceptForSession, false),
        (Decision::AcceptWithExecpolicyAmendment, true),
    ] {
        let one = || Reply::shell("touch one");
        let Some(bench) = Bench::start([one(), Reply::done(), one(), Reply::done()]) else {
            return;
        };
        let approver = Approver::always(accept.clone());
        let server = bench.asking(&approver);
        server.complete(bench.ask("Go")).await;
        assert!(bench.has("one"));
        let calls = bench.calls(1);
        assert_ok(calls.tool());
        assert_eq!(decision(calls.tool()).as_deref(), Some(accept.as_str()));
        let rules = bench.home.path().join("rules/default.rules");
        assert_eq!(rules.exists(), writes, "{accept:?}");
        if writes {
            let rule = std::fs::read_to_string(&rules).unwrap();
            assert!(rule.contains(r#"["touch", "one"]"#), "{rule}");
        }
        // The rule is of all threads.
        server.complete(bench.ask("Go")).await;
        assert_eq!(approver.asked().len(), if writes { 1 } else { 2 });
        server.end().await;
    }
}

/// A command that the model wants to run outside of the sandbox.
fn escalated(command: &str) -> Reply {
    let arguments = json!({
        "cmd": command, "sandbox_permissions": "require_escalated", "justification": "May I?",
        "prefix_rule": ["touch"],
    });
    Reply::call("exec_command", &arguments.to_string())
}

#[tokio::test]
async fn a_command_outside_of_the_sandbox_is_asked_about_with_the_models_reason_and_rule() {
    let Some(bench) = Bench::start([escalated("touch one"), Reply::done()]) else {
        return;
    };
    let approver = Approver::always(Decision::Accept);
    let server = bench.app_server(|builder| {
        builder
            .approval_policy(ApprovalPolicy::OnRequest)
            .approver(approver.service(), DEADLINE)
    });
    let request = bench.ask("Go").with_sandbox(Sandbox::ReadOnly);
    server.complete(request).await;
    assert!(bench.has("one"));
    let asked = approver.asked();
    let [
        Asked {
            action:
                Action::Command {
                    reason,
                    execpolicy_amendment,
                    ..
                },
            ..
        },
    ] = &asked[..]
    else {
        panic!("{asked:?}");
    };
    assert_eq!(reason.as_deref(), Some("May I?"));
    // The rule is the one that the model proposes, and allows more than the command.
    assert_eq!(execpolicy_amendment, &["touch"]);
    server.end().await;
}

#[tokio::test]
async fn a_command_with_more_permissions_is_asked_about_with_them() {
    let arguments = json!({
        "cmd": "touch one",
        "sandbox_permissions": "with_additional_permissions",
        "additional_permissions": {"network": {"enabled": true}},
        "justification": "May I?",
    });
    let script = [
        Reply::call("exec_command", &arguments.to_string()),
        Reply::done(),
    ];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let approver = Approver::always(Decision::decline("no network"));
    let server = bench.app_server(|builder| {
        builder
            .config("features.exec_permission_approvals", true)
            .approval_policy(ApprovalPolicy::OnRequest)
            .approver(approver.service(), DEADLINE)
    });
    let request = bench.ask("Go").with_sandbox(Sandbox::ReadOnly);
    server.complete(request).await;
    let asked = approver.asked();
    let [
        Asked {
            action:
                Action::Command {
                    permissions: Some(permissions),
                    ..
                },
            ..
        },
    ] = &asked[..]
    else {
        panic!("{asked:?}");
    };
    assert_eq!(
        permissions["additionalPermissions"]["network"]["enabled"],
        true
    );
    assert_denied(
        bench.calls(1).tool(),
        "the approver declined command_execution: no network",
    );
    server.end().await;
}

#[tokio::test]
async fn the_approver_is_asked_also_if_the_configuration_of_codex_has_a_model_decide() {
    let Some(bench) = Bench::start([escalated("touch one"), Reply::done()]) else {
        return;
    };
    // With it, Codex asks the model, which may allow it.
    let config = "approvals_reviewer = \"auto_review\"\n";
    std::fs::write(bench.home.path().join("config.toml"), config).unwrap();
    let approver = Approver::always(Decision::decline("a person has to"));
    let ask = |server: &AppServer<'_>, request: codex_telemetry::turn::TurnRequest| {
        let request = request.with_sandbox(Sandbox::ReadOnly);
        let turns = server.turns.clone();
        async move { tower::ServiceExt::oneshot(turns, request).await.unwrap() }
    };
    let on_request = || {
        bench.app_server(|builder| {
            builder
                .approval_policy(ApprovalPolicy::OnRequest)
                .approver(approver.service(), DEADLINE)
        })
    };
    let server = on_request();
    let first = ask(&server, bench.ask("Go")).await;
    assert_eq!(approver.asked().len(), 1);
    server.end().await;

    // The same in a thread that is resumed.
    bench.model.then([escalated("touch one"), Reply::done()]);
    let server = on_request();
    ask(&server, bench.ask_on(&first, "Go on")).await;
    assert_eq!(approver.asked().len(), 2);
    assert!(!bench.has("one"));
    assert_eq!(
        bench.model.asked().len(),
        4,
        "the model was asked to decide"
    );
    server.end().await;
}

#[tokio::test]
async fn nothing_is_asked_and_nothing_escalates_when_the_policy_is_never() {
    let Some(bench) = Bench::start([escalated("touch one"), Reply::done()]) else {
        return;
    };
    let approver = Approver::always(Decision::Accept);
    let server = bench.app_server(|builder| {
        builder
            .approval_policy(ApprovalPolicy::Never)
            .approver(approver.service(), DEADLINE)
    });
    let request = bench.ask("Go").with_sandbox(Sandbox::ReadOnly);
    server.complete(request).await;
    assert!(!bench.has("one"));
    assert!(approver.asked().is_empty());
    // Codex reports no item.
    assert!(bench.calls(1).tools.is_empty());
    server.end().await;
}

#[tokio::test]
async fn two_commands_at_once_are_asked_about_at_once() {
    let script = [Reply::shells(["touch one", "touch two"]), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    // Each question waits for the other.
    let both = Arc::new(tokio::sync::Barrier::new(2));
    let approver = service_fn(move |request: ApprovalRequest| {
        let both = Arc::clone(&both);
        async move {
            both.wait().await;
            let is_one = matches!(&request.action, Action::Command { command, .. } if command.contains("one"));
            Ok::<_, Infallible>(if is_one {
                Decision::Accept
            } else {
                Decision::decline("one is enough")
            })
        }
    });
    let server = bench.app_server(|builder| {
        builder
            .approval_policy(ApprovalPolicy::Untrusted)
            .approver(approver, DEADLINE)
    });
    server.complete(bench.ask("Go")).await;
    assert!(bench.has("one") && !bench.has("two"));
    let calls = bench.calls(1);
    let classes: Vec<_> = calls.tools.iter().map(Event::error_class).collect();
    assert_eq!(classes.len(), 2);
    assert!(classes.contains(&None));
    assert!(classes.contains(&Some(ErrorClass::ApprovalDenied)));
    server.end().await;
}

/// An interactive command that runs outside of the sandbox.
fn terminal(command: &str) -> Reply {
    let arguments = json!({
        "cmd": command, "sandbox_permissions": "require_escalated", "justification": "May I?",
        "tty": true, "yield_time_ms": 250,
    });
    Reply::call("exec_command", &arguments.to_string())
}

#[tokio::test]
async fn input_for_a_terminal_outside_of_the_sandbox_is_asked_about() {
    for (answer, is_written) in [
        (Decision::Accept, true),
        (Decision::decline("no input"), false),
    ] {
        // What it has read can be seen by the file.
        let script = [terminal("read line; touch \"$line\""), Reply::done()];
        let Some(bench) = Bench::start(script) else {
            return;
        };
        let of_stdin = answer.clone();
        let approver = Approver::new(move |request| match &*request.tool {
            "write_stdin" => of_stdin.clone(),
            _ => Decision::Accept,
        });
        let server = bench.app_server(|builder| {
            builder
                .approval_policy(ApprovalPolicy::OnRequest)
                .approver(approver.service(), DEADLINE)
        });
        let ask = |turn| match turn {
            None => bench.ask("Go").with_sandbox(Sandbox::ReadOnly),
            Some(turn) => bench.ask_on(turn, "Go on").with_sandbox(Sandbox::ReadOnly),
        };
        let first = server.complete(ask(None)).await;
        let asked = bench.model.asked().pop().unwrap().json().to_string();
        let (_, id) = asked.rsplit_once("running with session ID ").unwrap();
        let id: String = id.chars().take_while(char::is_ascii_digit).collect();
        let id: u64 = id.parse().unwrap();
        let arguments = json!({"session_id": id, "chars": "one\n"}).to_string();
        bench
            .model
            .then([Reply::call("write_stdin", &arguments), Reply::done()]);
        server.complete(ask(Some(&first))).await;
        let asked = approver.asked();
        let [_, stdin] = &asked[..] else {
            panic!("{asked:?}");
        };
        assert_eq!(stdin.tool, "write_stdin");
        let command = stdin.command().unwrap();
        assert!(command.starts_with("write_stdin --session-id"), "{command}");
        assert!(command.contains("one"), "{command}");
        assert_eq!(bench.has("one"), is_written);
        server.end().await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_approver_that_cancels_ends_the_commands_that_run_in_the_background() {
    use crate::processes::{odd_duration, running};

    let marker = odd_duration();
    let script = [
        Reply::shell_in_background(&format!("sleep {marker}")),
        Reply::shell("touch one"),
    ];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let approver = Approver::new({
        let marker = marker.clone();
        move |request| match &request.action {
            Action::Command { command, .. } if command.contains(&marker) => Decision::Accept,
            _ => {
                assert!(!running(&marker).is_empty(), "the first command has ended");
                Decision::Cancel
            }
        }
    });
    let server = bench.asking(&approver);
    let error = server.run(bench.ask("Go")).await.unwrap_err();
    assert!(
        matches!(error, TurnError::CancelledByApprover { .. }),
        "{error:?}"
    );
    crate::bench::until("the command is gone", || running(&marker).is_empty()).await;
    server.end().await;
}

// === edits ===

/// Returns the files of an edit that was asked about.
fn edited(asked: &Asked) -> Vec<String> {
    let Action::FileChange { changes, .. } = &asked.action else {
        panic!("{asked:?}");
    };
    assert_eq!(asked.tool, "file_change");
    let name = |path: &std::path::Path| path.file_name().unwrap().to_string_lossy().into_owned();
    changes.iter().map(|change| name(&change.path)).collect()
}

#[tokio::test]
async fn an_edit_is_asked_about_with_its_changes_and_their_differences() {
    let patch = "*** Begin Patch\n*** Add File: new\n+hello\n*** Update File: old\n*** Move to: moved\n@@\n-was\n+is\n*** End Patch";
    let Some(bench) = Bench::start([Reply::patch(patch), Reply::done()]) else {
        return;
    };
    std::fs::write(bench.work.path().join("old"), "was\n").unwrap();
    let approver = Approver::always(Decision::Accept);
    let server = bench.asking(&approver);
    server.complete(bench.ask("Go")).await;
    assert!(bench.has("new") && bench.has("moved") && !bench.has("old"));
    let asked = approver.asked();
    let [asked] = &asked[..] else {
        panic!("{asked:?}");
    };
    let Action::FileChange {
        changes,
        grant_root: None,
        ..
    } = &asked.action
    else {
        panic!("{asked:?}");
    };
    let find = |name: &str| {
        let path = bench.work.path().join(name);
        changes.iter().find(|change| change.path == path).unwrap()
    };
    let (new, old) = (find("new"), find("old"));
    assert_eq!((&*new.kind, new.diff()), ("add", Some("hello\n")));
    assert_eq!(&*old.kind, "update");
    let moved = bench.work.path().join("moved");
    assert_eq!(old.move_path(), Some(&*moved));
    let diff = old.diff().unwrap();
    assert!(diff.contains("-was\n+is"), "{diff}");
    let calls = bench.calls(1);
    assert_ok(calls.tool());
    assert_eq!(decision(calls.tool()).as_deref(), Some("accept"));
    server.end().await;
}

#[tokio::test]
async fn an_edit_that_is_accepted_for_the_session_lets_the_same_file_be_edited_and_no_other() {
    let update = |to: &str| {
        Reply::patch(&format!(
            "*** Begin Patch\n*** Update File: one\n@@\n-hello\n+{to}\n*** End Patch"
        ))
    };
    let script = [adds("one"), update("you"), adds("two"), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let approver = Approver::always(Decision::AcceptForSession);
    let server = bench.asking(&approver);
    server.complete(bench.ask("Go")).await;
    assert!(bench.has("one") && bench.has("two"));
    let asked: Vec<_> = approver.asked().iter().map(edited).collect();
    assert_eq!(asked, [["one"], ["two"]]);
    server.end().await;
}

#[tokio::test]
async fn an_edit_that_is_not_accepted_is_not_done_and_the_turn_goes_on() {
    for (answer, message) in [
        (
            Decision::decline("not here"),
            "the approver declined file_change: not here",
        ),
        // A rule is about commands.
        (
            Decision::AcceptWithExecpolicyAmendment,
            "the approver accepted file_change with a rule, but Codex proposed none",
        ),
    ] {
        let Some(bench) = Bench::start([adds("one"), Reply::done()]) else {
            return;
        };
        let approver = Approver::always(answer);
        let server = bench.asking(&approver);
        server.complete(bench.ask("Go")).await;
        assert!(!bench.has("one"));
        let calls = bench.calls(1);
        assert_ok(calls.turn());
        assert_denied(calls.tool(), message);
        assert!(!bench.home.path().join("rules").exists());
        server.end().await;
    }
}

#[tokio::test]
async fn an_edit_whose_approver_cancels_is_not_done_and_ends_the_turn() {
    let Some(bench) = Bench::start([adds("one")]) else {
        return;
    };
    let approver = Approver::always(Decision::Cancel);
    let server = bench.asking(&approver);
    let error = server.run(bench.ask("Go")).await.unwrap_err();
    assert!(
        matches!(&error, TurnError::CancelledByApprover { tool } if tool == "file_change"),
        "{error:?}"
    );
    assert!(!bench.has("one"));
    let calls = bench.calls(1);
    for event in [calls.turn(), calls.tool()] {
        assert_denied(event, "the approver of file_change cancelled the turn");
    }
    server.end().await;
}

// === the wait ===

#[tokio::test]
async fn the_wait_for_the_approver_is_a_call_inside_of_the_tools_and_no_part_of_its_duration() {
    use codex_telemetry::ServiceBuilderExt;
    use tower::ServiceBuilder;

    let Some(bench) = Bench::start([Reply::shell("touch one"), Reply::done()]) else {
        return;
    };
    let wait = Duration::from_millis(300);
    let approver = ServiceBuilder::new()
        .timing(bench.sink.clone())
        .service(service_fn(move |_: ApprovalRequest| async move {
            tokio::time::sleep(wait).await;
            Ok::<_, Infallible>(Decision::Accept)
        }));
    let server = bench.app_server(|builder| {
        builder
            .approval_policy(ApprovalPolicy::Untrusted)
            .approver(approver, DEADLINE)
    });
    server.complete(bench.ask("Go")).await;
    let calls = bench.calls(1);
    let (turn, tool) = (calls.turn(), calls.tool());
    let [approval] = &calls.approvals[..] else {
        panic!("{:?}", calls.approvals);
    };
    assert_ok(approval);
    assert_eq!(approval.call_name(), Some("command_execution"));
    assert_eq!(approval.parent_span_id(), Some(tool.span_id()));
    assert_eq!(approval.trace_id(), turn.trace_id());
    assert_eq!(approval.originator(), turn.originator());
    assert_eq!(approval.thread_id(), turn.thread_id());
    assert_eq!(approval.attribute(names::APPROVAL_DECISION), None);

    assert_eq!(decision(tool).as_deref(), Some("accept"));
    let millis = |event: &Event, key| match event.attribute(key) {
        Some(Value::F64(millis)) => *millis,
        other => panic!("{key} is {other:?}"),
    };
    let waited = millis(tool, names::APPROVAL_WAIT);
    assert!(waited >= 300.0, "{waited}");
    // Codex's own duration is of the command alone, so both are in that of the call.
    let ran = millis(tool, names::ITEM_DURATION);
    let whole = tool.duration().unwrap().as_secs_f64() * 1000.0;
    assert!(waited + ran <= whole + 1.0, "{waited} + {ran} > {whole}");
    server.end().await;
}

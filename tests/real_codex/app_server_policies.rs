//! What Codex asks about by the policy and the sandbox of a turn: the table of `docs/approvals.md`.

use std::path::Path;

use codex_telemetry::{
    approval::{Action, Decision},
    turn::{ApprovalPolicy, Sandbox},
};
use serde_json::json;

use crate::{
    app_server_approvals::{Approver, adds},
    bench::{Bench, DEADLINE},
    reply::Reply,
};

const SANDBOXES: [Sandbox; 3] = [
    Sandbox::ReadOnly,
    Sandbox::WorkspaceWrite,
    Sandbox::DangerFullAccess,
];

/// What the model does, in the words of the page, each with a file of its own, in the working directory or elsewhere.
const ACTS: [(&str, &str, Place); 6] = [
    ("reads, by a command", "notes", Place::Work),
    ("writes in its directory, by a command", "made", Place::Work),
    ("writes elsewhere, by a command", "put", Place::Elsewhere),
    (
        "asks for a command outside of the sandbox",
        "escaped",
        Place::Work,
    ),
    ("edits a file in its directory", "added", Place::Work),
    ("edits a file elsewhere", "moved", Place::Elsewhere),
];

#[derive(Clone, Copy)]
enum Place {
    Work,
    Elsewhere,
}

/// What becomes of an act.
#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Done,
    Asked,
    Refused,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Asked => "asks",
            Self::Refused => "refused",
        }
    }
}

/// Returns the replies by which the model does all of it.
fn script(elsewhere: &Path) -> Vec<Reply> {
    let elsewhere = elsewhere.display();
    let escaped = json!({
        "cmd": "touch escaped", "sandbox_permissions": "require_escalated", "justification": "May I?",
    });
    vec![
        Reply::shell("cat notes"),
        Reply::shell("touch made"),
        Reply::shell(&format!("touch {elsewhere}/put")),
        Reply::call("exec_command", &escaped.to_string()),
        adds("added"),
        adds(&format!("{elsewhere}/moved")),
        Reply::done(),
    ]
}

/// Returns whether a question is about a file.
fn is_about(action: &Action, file: &str) -> bool {
    match action {
        Action::Command { command, .. } => command.trim_end_matches('\'').ends_with(file),
        Action::FileChange { changes, .. } => {
            changes.iter().all(|change| change.path.ends_with(file))
        }
        other => panic!("{other:?}"),
    }
}

/// Runs one turn in which the model does all of it, with an approver that accepts.
async fn outcomes(policy: ApprovalPolicy, sandbox: Sandbox) -> Option<Vec<Outcome>> {
    let bench = Bench::start([])?;
    let elsewhere = tempfile::tempdir().unwrap();
    bench.model.then(script(elsewhere.path()));
    std::fs::write(bench.work.path().join("notes"), "").unwrap();
    let approver = Approver::always(Decision::Accept);
    let server = bench.app_server(|builder| builder.approver(approver.service(), DEADLINE));
    let request = bench.ask("Go");
    // By default directories for temporary files, such as those of this test, are writable in the sandbox of the workspace.
    let request = request
        .with_sandbox(sandbox)
        .with_approval_policy(policy)
        .with_config("sandbox_workspace_write.exclude_slash_tmp", true)
        .with_config("sandbox_workspace_write.exclude_tmpdir_env_var", true);
    server.complete(request).await;
    server.end().await;
    let asked = approver.asked();
    let outcome = |(_, file, place): &(&str, &str, Place)| {
        let directory = match place {
            Place::Work => bench.work.path(),
            Place::Elsewhere => elsewhere.path(),
        };
        if asked.iter().any(|asked| is_about(&asked.action, file)) {
            Outcome::Asked
        } else if directory.join(file).exists() {
            Outcome::Done
        } else {
            Outcome::Refused
        }
    };
    Some(ACTS.iter().map(outcome).collect())
}

/// Returns the rows of the page. Sandboxes with the same outcomes share a row.
fn rows(of: [&[Vec<Outcome>]; 3]) -> String {
    let mut rows = String::new();
    for (act, (words, ..)) in ACTS.iter().enumerate() {
        let outcomes = |sandbox: usize| of.map(|by_sandbox| by_sandbox[sandbox][act]);
        let mut sandbox = 0;
        while sandbox < SANDBOXES.len() {
            let same =
                (sandbox..SANDBOXES.len()).take_while(|&next| outcomes(next) == outcomes(sandbox));
            let names: Vec<_> = same
                .map(|same| format!("`{:?}`", SANDBOXES[same]))
                .collect();
            let first = match sandbox {
                0 => format!(" {words} "),
                _ => " ".to_owned(),
            };
            let cells = outcomes(sandbox).map(Outcome::as_str).join(" | ");
            let names_of_row = match names.len() {
                3 => "any".to_owned(),
                _ => names.join(", "),
            };
            rows.push_str(&format!("|{first}| {names_of_row} | {cells} |\n"));
            sandbox += names.len();
        }
    }
    rows
}

#[tokio::test]
async fn what_is_asked_by_policy_and_sandbox_is_what_the_guide_says() {
    let mut by_policy = Vec::new();
    for policy in [
        ApprovalPolicy::Never,
        ApprovalPolicy::OnRequest,
        ApprovalPolicy::Untrusted,
    ] {
        let mut by_sandbox = Vec::new();
        for sandbox in SANDBOXES {
            let Some(outcomes) = outcomes(policy, sandbox).await else {
                return;
            };
            by_sandbox.push(outcomes);
        }
        by_policy.push(by_sandbox);
    }
    let [never, on_request, untrusted] = &by_policy[..] else {
        unreachable!("three policies");
    };
    let rows = rows([never, on_request, untrusted]);
    let page = include_str!("../../docs/approvals.md");
    assert!(
        page.contains(&rows),
        "docs/approvals.md has other rows than\n{rows}"
    );
}

#[tokio::test]
async fn a_command_may_leave_the_sandbox_by_a_question_without_a_reason() {
    let escaped = json!({"cmd": "touch escaped", "sandbox_permissions": "require_escalated"});
    let escaped = Reply::call("exec_command", &escaped.to_string());
    let Some(bench) = Bench::start([escaped, Reply::done()]) else {
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
    let asked = approver.asked();
    let [asked] = &asked[..] else {
        panic!("{asked:?}");
    };
    let is_told = matches!(
        &asked.action,
        Action::Command {
            reason: Some(_),
            ..
        }
    );
    assert!(!is_told, "{asked:?}");
    assert!(bench.has("escaped"));
    server.end().await;
}

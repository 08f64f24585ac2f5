//! What Codex asks, as a question on the terminal.

use std::path::Path;

use codex_telemetry::{
    ApprovalRequest, Decision,
    approval::{Action, FileUpdateChange},
};

use crate::{
    input::Input,
    screen::{Screen, Style, printable},
};

const CHOICES: &str = "y = yes, a = yes for this session, n = no, c = no, and cancel the turn: ";

/// Asks the user. What this program does not know is declined.
pub(crate) async fn ask(input: &Input, request: &ApprovalRequest) -> Decision {
    let Some(question) = question(input.screen(), request) else {
        return Decision::decline("this program does not know what that is");
    };
    let decision = input.ask(&question, CHOICES, |answer| match answer {
        "y" | "yes" => Some(Decision::Accept),
        "a" => Some(Decision::AcceptForSession),
        "n" | "no" => Some(Decision::decline("the user said no")),
        "c" => Some(Decision::Cancel),
        _ => None,
    });
    let decision = decision.await;
    decision.unwrap_or_else(|| Decision::decline("nobody is there to ask"))
}

/// Returns the question: all of what would be done.
fn question(screen: &Screen, request: &ApprovalRequest) -> Option<String> {
    let mut lines = Vec::new();
    match &request.action {
        Action::Command {
            command,
            cwd,
            reason,
            permissions,
            ..
        } => {
            lines.push(heading(screen, "Codex would run a command", cwd.as_deref()));
            lines.push(indented(command));
            lines.extend(permissions.as_ref().map(|all| format!("with {all}")));
            lines.extend(because(reason.as_deref()));
        }
        Action::FileChange {
            changes,
            reason,
            grant_root,
        } => {
            lines.push(heading(screen, "Codex would change files", None));
            lines.extend(changes.iter().map(|change| changed(screen, change)));
            lines.extend(grant_root.as_ref().map(|root| {
                format!(
                    "and write to {} for the rest of the session",
                    root.display()
                )
            }));
            lines.extend(because(reason.as_deref()));
        }
        Action::McpToolCall {
            server,
            arguments,
            message,
        } => {
            lines.push(heading(screen, "Codex would call a tool", None));
            lines.push(indented(&format!("{server}/{} {arguments}", request.tool)));
            lines.push(printable(message));
        }
        Action::Permissions {
            permissions,
            reason,
        } => {
            lines.push(heading(screen, "Codex would like permissions", None));
            lines.push(indented(&permissions.to_string()));
            lines.extend(because(reason.as_deref()));
        }
        _ => return None,
    }
    lines.push(String::new());
    Some(lines.join("\n"))
}

fn heading(screen: &Screen, text: &str, directory: Option<&Path>) -> String {
    let text = match directory {
        Some(directory) => format!("{text} in {}:", directory.display()),
        None => format!("{text}:"),
    };
    screen.styled(&printable(&text), Style::Bold)
}

fn because(reason: Option<&str>) -> Option<String> {
    Some(format!("because: {}", printable(reason?)))
}

fn indented(text: &str) -> String {
    let text = printable(text);
    let lines = text.lines().map(|line| format!("    {line}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns a changed file with its differences.
fn changed(screen: &Screen, change: &FileUpdateChange) -> String {
    let mut lines = vec![format!("    {}", summary(change))];
    for line in printable(change.diff().unwrap_or_default()).lines() {
        let indented = format!("      {line}");
        lines.push(match line.chars().next() {
            Some('+') => screen.styled(&indented, Style::Green),
            Some('-') => screen.styled(&indented, Style::Red),
            _ => indented,
        });
    }
    lines.join("\n")
}

/// Returns the kind of a change and the path.
pub(crate) fn summary(change: &FileUpdateChange) -> String {
    let path = change.path.display();
    let text = match change.move_path() {
        Some(to) => format!("{} {path}, moved to {}", change.kind, to.display()),
        None => format!("{} {path}", change.kind),
    };
    printable(&text)
}

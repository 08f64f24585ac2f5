//! The approver: a person at the terminal. `examples/app_server` has one that knows more kinds of questions.

use std::{
    io::{self, IsTerminal},
    sync::Arc,
    thread,
};

use codex_telemetry::approval::{Action, ApprovalRequest, Decision};
use tokio::sync::{Mutex, mpsc};

/// Standard input, line by line. Whoever holds the lock is asked; the other questions wait.
#[derive(Clone)]
pub(crate) struct Terminal(Arc<Mutex<mpsc::Receiver<String>>>);

impl Terminal {
    /// Starts a thread that reads. It does not hold up the program's end, as tokio's own would.
    pub(crate) fn start() -> io::Result<Self> {
        let (sender, lines) = mpsc::channel(64);
        let read = move || {
            for line in io::stdin().lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("input".to_owned())
            .spawn(read)?;
        Ok(Self(Arc::new(Mutex::new(lines))))
    }

    /// Asks whether something may be done. What this program does not know is declined.
    pub(crate) async fn decide(&self, request: &ApprovalRequest) -> Decision {
        let question = match &request.action {
            Action::ToolCall { arguments } => format!("Call {} with {arguments}?", request.tool),
            Action::Command {
                command,
                permissions: None,
                ..
            } => format!("Run {command}?"),
            _ => return Decision::decline("this program does not ask about that"),
        };
        let mut lines = self.0.lock().await;
        if io::stdin().is_terminal() {
            // What was typed before anybody asked cannot be the answer.
            while lines.try_recv().is_ok() {}
        }
        eprintln!("{} [y/n]", printable(&question));
        match lines.recv().await.as_deref() {
            Some("y" | "yes") => Decision::Accept,
            Some(_) => Decision::decline("the user said no"),
            None => Decision::decline("nobody is there to ask"),
        }
    }
}

/// Returns a text of the model on one line, without what could disguise it.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_alphanumeric() || matches!(character, ' '..='~') {
            printable.push(character);
        } else {
            printable.extend(character.escape_default());
        }
    }
    printable
}

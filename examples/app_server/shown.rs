//! How a turn looks.

use std::collections::HashMap;

use codex_telemetry::turn::{Item, ItemKind, ItemStatus, Progress};

use crate::{
    question::summary,
    screen::{Screen, Style, printable},
};

/// What is shown of a turn.
pub(crate) struct Shown<'a> {
    screen: &'a Screen,
    /// The parts that were shown of each item: what is complete repeats them.
    streamed: HashMap<String, String>,
    /// The item whose part was shown last.
    last: Option<String>,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(screen: &'a Screen) -> Self {
        Self {
            screen,
            streamed: HashMap::new(),
            last: None,
        }
    }

    pub(crate) fn show(&mut self, progress: &Progress) {
        match progress {
            Progress::MessageDelta { item_id, delta } => {
                self.part(item_id, delta);
                self.screen.message(&printable(delta));
            }
            Progress::ReasoningDelta { item_id, delta }
            | Progress::OutputDelta { item_id, delta } => {
                self.part(item_id, delta);
                self.screen.aside(&printable(delta));
            }
            Progress::ItemStarted(item) => self.started(item),
            Progress::ItemCompleted(item) => self.completed(item),
            Progress::PlanUpdated { items } => {
                for step in items {
                    let mark = if step.completed { 'x' } else { ' ' };
                    self.line(&format!("[{mark}] {}", step.text));
                }
            }
            Progress::Compacted => self.line("the conversation was replaced by a summary"),
            Progress::Retrying { message } | Progress::Warning { message } => self.line(message),
            _ => {}
        }
    }

    fn started(&mut self, item: &Item) {
        let text = match &item.kind {
            ItemKind::CommandExecution { command, .. } => format!("$ {command}"),
            ItemKind::McpToolCall { server, tool, .. } => format!("{server}/{tool}"),
            ItemKind::CollabToolCall { tool, .. } => tool.clone(),
            _ => return,
        };
        let text = self.screen.styled(&printable(&text), Style::Bold);
        self.screen.line(&text);
    }

    fn completed(&mut self, item: &Item) {
        let streamed = self.streamed.remove(&item.id);
        let was_streamed = streamed.is_some();
        if was_streamed {
            self.screen.end_line();
        }
        match &item.kind {
            ItemKind::AgentMessage { text } if !was_streamed => {
                self.screen.end_line();
                self.screen.message(&format!("{}\n", printable(text)));
            }
            ItemKind::Reasoning { text } if !was_streamed => self.aside(text),
            ItemKind::CommandExecution {
                output,
                exit_code,
                status,
                ..
            } => {
                self.rest_of_output(&streamed.unwrap_or_default(), output);
                match (status, exit_code) {
                    (ItemStatus::Declined, _) => self.line("declined"),
                    (ItemStatus::Failed, Some(code)) => self.line(&format!("exited with {code}")),
                    (ItemStatus::Failed, None) => self.line("did not start"),
                    _ => {}
                }
            }
            ItemKind::FileChange { changes, status } => {
                for change in changes {
                    self.screen.line(&summary(change));
                }
                match status {
                    ItemStatus::Declined => self.line("declined"),
                    ItemStatus::Failed => self.line("failed"),
                    _ => {}
                }
            }
            ItemKind::McpToolCall {
                error: Some(error), ..
            } => self.line(error),
            ItemKind::WebSearch { query } => self.line(&format!("searched for {query}")),
            ItemKind::Plan { text } => self.line(text),
            ItemKind::Warning { message } => self.line(message),
            _ => {}
        }
    }

    /// Notes a part of an item, which gets a line of its own if the last part was of another item.
    fn part(&mut self, item_id: &str, delta: &str) {
        if self.last.as_deref() != Some(item_id) {
            self.screen.end_line();
            self.last = Some(item_id.to_owned());
        }
        match self.streamed.get_mut(item_id) {
            Some(shown) => shown.push_str(delta),
            None => {
                self.streamed.insert(item_id.to_owned(), delta.to_owned());
            }
        }
    }

    /// Shows what was not shown of a command's output: Codex may leave out the first parts.
    fn rest_of_output(&self, shown: &str, output: &str) {
        match output.strip_suffix(shown) {
            Some(output) if shown.is_empty() => self.aside(output),
            Some("") => {}
            Some(before) => {
                self.line("and before that:");
                self.aside(before);
            }
            None => {
                self.line("in all:");
                self.aside(output);
            }
        }
    }

    fn aside(&self, text: &str) {
        if !text.is_empty() {
            self.screen.end_line();
            self.screen.aside(&printable(text));
            self.screen.end_line();
        }
    }

    fn line(&self, text: &str) {
        self.screen.line(&printable(text));
    }
}

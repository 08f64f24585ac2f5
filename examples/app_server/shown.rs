//! How a turn looks.

use std::collections::HashSet;

use codex_telemetry::turn::{Item, ItemKind, ItemStatus, Progress};

use crate::{
    question::summary,
    screen::{Screen, Style, printable},
};

/// What is shown of a turn.
pub(crate) struct Shown<'a> {
    screen: &'a Screen,
    /// The items of which parts were shown: what is complete repeats them.
    streamed: HashSet<String>,
    /// The item whose part was shown last.
    last: Option<String>,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(screen: &'a Screen) -> Self {
        Self {
            screen,
            streamed: HashSet::new(),
            last: None,
        }
    }

    pub(crate) fn show(&mut self, progress: &Progress) {
        match progress {
            Progress::MessageDelta { item_id, delta } => {
                self.part(item_id);
                self.screen.message(&printable(delta));
            }
            Progress::ReasoningDelta { item_id, delta }
            | Progress::OutputDelta { item_id, delta } => {
                self.part(item_id);
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
        let was_streamed = self.streamed.remove(&item.id);
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
                if !was_streamed {
                    self.aside(output);
                }
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

    /// Begins a part of an item, on a line of its own if the last part was of another item.
    fn part(&mut self, item_id: &str) {
        if self.last.as_deref() != Some(item_id) {
            self.screen.end_line();
            self.last = Some(item_id.to_owned());
        }
        if !self.streamed.contains(item_id) {
            self.streamed.insert(item_id.to_owned());
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

use std::{collections::HashMap, io, process::ExitStatus};

use tokio::time::Instant;

use super::{
    decode::{self, Line, Stage},
    facts::Facts,
    redact::Redactor,
    tools,
};
use crate::{
    call::{CallContext, CallGuard},
    event::ErrorClass,
    turn::{Item, ItemKind, Progress, Sandbox, Turn, TurnError, Usage},
};

#[cfg(any(test, fuzzing))]
pub(super) mod checks;

/// Folds the lines of a turn into what came of it.
pub(super) struct Transcript {
    // Declared before the facts: the tools' calls end before the turn's facts are recorded.
    open_tools: HashMap<String, CallGuard>,
    pub(super) facts: Facts,
    context: CallContext,
    expected: Expected,
    turn: Turn,
    ending: Option<Ending>,
    last_error: Option<String>,
    lines: u64,
}

/// What the request says that the lines are held against.
pub(super) struct Expected {
    /// The thread to go on with, and what it had used before, when that is known.
    pub(super) resumed: Option<(String, Option<Usage>)>,
    pub(super) sandbox: Option<Sandbox>,
}

enum Ending {
    Completed,
    Failed(String),
}

impl Transcript {
    pub(super) fn new(context: CallContext, expected: Expected, redactor: Redactor) -> Self {
        Self {
            open_tools: HashMap::new(),
            facts: Facts::new(context.clone(), redactor),
            context,
            expected,
            turn: Turn::default(),
            ending: None,
            last_error: None,
            lines: 0,
        }
    }

    /// Whether Codex has said how the turn ended.
    pub(super) const fn is_over(&self) -> bool {
        self.ending.is_some()
    }

    pub(super) const fn lines(&self) -> u64 {
        self.lines
    }

    /// Takes the next line, and gives what a reader of progress should know of it.
    pub(super) fn take(&mut self, line: &[u8]) -> Result<Option<Progress>, TurnError> {
        self.lines += 1;
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        self.facts.first_event.get_or_insert_with(Instant::now);
        let line = match decode::line(line) {
            Ok(line) => line,
            // What comes after the end of the turn does not undo it.
            Err(_) if self.is_over() => Line::Unknown,
            Err(reason) => {
                let line = self.lines;
                return Err(TurnError::Protocol { line, reason });
            }
        };
        Ok(match line {
            Line::ThreadStarted { thread_id } => {
                self.thread_started(&thread_id)?;
                Some(Progress::ThreadStarted { thread_id })
            }
            Line::TurnStarted => Some(Progress::TurnStarted),
            Line::TurnCompleted { usage } => {
                self.completed(usage);
                None
            }
            Line::TurnFailed { message } => {
                let message = self.facts.redactor.apply(message);
                self.end(Ending::Failed(message), ErrorClass::Interrupted);
                None
            }
            Line::Error { message } => Some(self.error(message)),
            Line::Item { stage, item } => Some(self.item(stage, item)),
            Line::Unknown => {
                self.facts.unknown += 1;
                None
            }
        })
    }

    /// What came of the turn, once the process has ended; how it has may not be known.
    pub(super) fn finish(mut self, status: io::Result<ExitStatus>) -> Result<Turn, TurnError> {
        match (self.ending.take(), status) {
            (Some(ending), _) => self.result(ending),
            (None, Ok(status)) => Err(TurnError::Exited {
                status,
                begun: self.turn.thread_id.is_some(),
                message: self.last_error.take(),
                stderr: self.facts.stderr_text(),
            }),
            (None, Err(source)) => Err(TurnError::Io {
                action: "learning how Codex ended, which had not ended the turn,",
                source,
            }),
        }
    }

    /// What came of a turn whose process did not end.
    pub(super) fn give_up(mut self, hung: TurnError) -> Result<Turn, TurnError> {
        match self.ending.take() {
            Some(ending) => {
                self.context
                    .add_event("killed, having not exited after the turn");
                self.result(ending)
            }
            None => Err(hung),
        }
    }

    fn result(mut self, ending: Ending) -> Result<Turn, TurnError> {
        match ending {
            Ending::Completed => {
                self.facts.completed = true;
                self.turn.retries = self.facts.retries;
                self.turn.unknown_events = self.facts.unknown;
                Ok(std::mem::take(&mut self.turn))
            }
            Ending::Failed(message) => Err(TurnError::Failed { message }),
        }
    }

    fn thread_started(&mut self, thread_id: &str) -> Result<(), TurnError> {
        self.context.record_thread_id(tools::short(thread_id));
        self.turn.thread_id = Some(thread_id.to_owned());
        // Codex starts a new thread, without a word, when it takes the id for something else.
        match &self.expected.resumed {
            Some((asked, _)) if asked != thread_id => Err(TurnError::InvalidRequest {
                reason: format!(
                    "thread {asked} was to be resumed, but Codex started {thread_id}: give the id \
                     of a thread that this CODEX_HOME knows"
                ),
            }),
            _ => Ok(()),
        }
    }

    fn completed(&mut self, usage: Option<Usage>) {
        self.turn.thread_usage = usage;
        self.turn.usage = match (usage, &self.expected.resumed) {
            (Some(total), None) => Some(total),
            (Some(total), Some((_, Some(before)))) => Some(total.since(before)),
            (_, Some((_, None))) | (None, _) => None,
        };
        self.facts.usage = self.turn.usage;
        self.end(Ending::Completed, ErrorClass::Incomplete);
    }

    /// Ends the turn, by the first word on it; a tool that is still open was left unfinished.
    fn end(&mut self, ending: Ending, unfinished: ErrorClass) {
        self.ending.get_or_insert(ending);
        for (_, call) in self.open_tools.drain() {
            call.fail(unfinished);
        }
    }

    fn error(&mut self, message: String) -> Progress {
        if message.starts_with("Reconnecting") {
            self.facts.retries += 1;
            let told = self.facts.redactor.apply(message.clone());
            self.context.add_event(told);
            Progress::Retrying { message }
        } else {
            self.last_error = Some(self.facts.redactor.apply(message.clone()));
            Progress::Warning { message }
        }
    }

    fn item(&mut self, stage: Stage, item: Item) -> Progress {
        match stage {
            Stage::Started | Stage::Updated => {
                if !self.is_over()
                    && !self.open_tools.contains_key(&item.id)
                    && let Some(call) = tools::open(&self.context, &item)
                {
                    self.open_tools.insert(item.id.clone(), call);
                }
                match stage {
                    Stage::Started => Progress::ItemStarted(item),
                    _ => Progress::ItemUpdated(item),
                }
            }
            Stage::Completed => {
                // Some kinds are only told of once they are done.
                let open = self.open_tools.remove(&item.id);
                let late = self.is_over();
                let at_once = || (!late).then(|| tools::open(&self.context, &item))?;
                if let Some(call) = open.or_else(at_once) {
                    tools::close(call, &item, self.expected.sandbox);
                }
                if let ItemKind::AgentMessage { text } = &item.kind {
                    self.turn.final_message = Some(text.clone());
                }
                self.turn.items.push(item.clone());
                Progress::ItemCompleted(item)
            }
        }
    }
}

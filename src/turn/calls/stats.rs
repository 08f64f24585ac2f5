use std::{ffi::OsStr, os::unix::process::ExitStatusExt, process::ExitStatus};

use serde_json::Value;
use tokio::time::Instant;

use crate::{
    call::CodexRequest,
    event::{millis, names},
    turn::{
        TurnRequest, Usage, prompt,
        redact::{Redactor, without_log_messages},
        wire::Tail,
    },
};

/// How much of standard error is kept, in bytes.
const STDERR_LIMIT: usize = 4 * 1024;

/// The stats of a turn, and the drop guard that records them on the open call: a turn that fails or is
/// cancelled has the same attributes as one that completes.
pub(in crate::turn) struct TurnStats {
    request: TurnRequest,
    spawned: Instant,
    pub(in crate::turn) first_event: Option<Instant>,
    pub(in crate::turn) usage: Option<Usage>,
    pub(in crate::turn) tool_calls: u32,
    pub(in crate::turn) retries: u32,
    pub(in crate::turn) unknown_events: u32,
    /// How much progress the reader did not take in time.
    pub(in crate::turn) dropped_progress: u32,
    pub(in crate::turn) status: Option<ExitStatus>,
    pub(in crate::turn) stderr: Tail,
    /// Whether the turn completed; standard error is recorded otherwise.
    pub(in crate::turn) completed: bool,
}

// === impl TurnStats ===

impl TurnStats {
    pub(in crate::turn) fn new(request: TurnRequest) -> Self {
        Self {
            request,
            spawned: Instant::now(),
            first_event: None,
            usage: None,
            tool_calls: 0,
            retries: 0,
            unknown_events: 0,
            dropped_progress: 0,
            status: None,
            stderr: Tail::new(STDERR_LIMIT),
            completed: false,
        }
    }

    /// Returns the end of standard error.
    pub(in crate::turn) fn stderr_text(&self) -> String {
        self.stderr.text()
    }

    /// Returns what is recorded of standard error: Codex repeats an invalid setting there, may repeat the
    /// prompt, and logs the commands that it rejects.
    fn recorded_stderr(&self) -> String {
        let text = self.stderr.text();
        if text.is_empty() {
            return text;
        }
        let mut redactor = Redactor::default();
        redactor.add_text(self.request.prompt().trim());
        redactor.add_text(&prompt::with_files(&self.request));
        for (_, value) in self.request.config() {
            add_texts(&mut redactor, value);
        }
        for (_, value) in self.request.environment() {
            redactor.add_value(value.and_then(OsStr::to_str).unwrap_or_default());
        }
        redactor.apply(&without_log_messages(&text, self.stderr.is_cut()))
    }
}

/// Records token counts.
pub(in crate::turn) fn record_usage(usage: &Usage, mut record: impl FnMut(&'static str, i64)) {
    for (name, count) in [
        (names::INPUT_TOKENS, usage.input_tokens),
        (names::OUTPUT_TOKENS, usage.output_tokens),
        (names::CACHE_READ_TOKENS, usage.cached_input_tokens),
        (names::CACHE_WRITE_TOKENS, usage.cache_write_input_tokens),
        (names::REASONING_TOKENS, usage.reasoning_output_tokens),
    ] {
        record(name, i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// Has each text of a setting hidden: Codex may name one of a list or a table. A key counts if TOML has it in quotes,
/// such as a path: the others are Codex's own names.
fn add_texts(redactor: &mut Redactor, value: &Value) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => redactor.add_value(&number.to_string()),
        Value::String(text) => redactor.add_value(text),
        Value::Array(list) => list.iter().for_each(|value| add_texts(redactor, value)),
        Value::Object(table) => {
            for (key, value) in table {
                let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                if !key.chars().all(is_bare) {
                    redactor.add_value(key);
                }
                add_texts(redactor, value);
            }
        }
    }
}

impl Drop for TurnStats {
    fn drop(&mut self) {
        let context = self.request.context();
        if !context.is_recording() {
            return;
        }
        if let Some(first) = self.first_event {
            let after = millis(first.duration_since(self.spawned));
            context.record(names::TIME_TO_FIRST_EVENT, after);
        }
        if let Some(usage) = &self.usage {
            record_usage(usage, |name, count| context.record(name, count));
        }
        let positive = |count: u32| (count > 0).then_some(i64::from(count));
        let code = self.status.and_then(|status| status.code());
        let signal = self.status.and_then(|status| status.signal());
        // Without an event, Codex may not have begun the turn.
        let tool_calls = self.first_event.map(|_| i64::from(self.tool_calls));
        for (name, number) in [
            (names::TOOL_CALLS, tool_calls),
            (names::EXIT_CODE, code.map(i64::from)),
            (names::EXIT_SIGNAL, signal.map(i64::from)),
            (names::RETRIES, positive(self.retries)),
            (names::UNKNOWN_EVENTS, positive(self.unknown_events)),
            (names::DROPPED_PROGRESS, positive(self.dropped_progress)),
        ] {
            if let Some(number) = number {
                context.record(name, number);
            }
        }
        if !self.completed {
            let stderr = self.recorded_stderr();
            if !stderr.is_empty() {
                context.record(names::STDERR_TAIL, stderr);
            }
        }
    }
}

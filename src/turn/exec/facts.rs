use std::process::ExitStatus;

use tokio::time::Instant;

use super::{redact::Redactor, tail::Tail};
use crate::{
    call::CallContext,
    event::{millis, names},
    turn::Usage,
};

/// How much of standard error is kept.
const STDERR_KEPT: usize = 4 * 1024;

/// What becomes known of a run, whichever way it ends.
///
/// It is recorded on the open call when this is dropped, so that a turn that fails or is cancelled
/// tells as much as one that completes.
pub(super) struct Facts {
    context: CallContext,
    spawned: Instant,
    pub(super) first_event: Option<Instant>,
    pub(super) usage: Option<Usage>,
    pub(super) retries: u32,
    pub(super) unknown: u32,
    pub(super) status: Option<ExitStatus>,
    pub(super) stderr: Tail,
    pub(super) redactor: Redactor,
    /// A turn that completed has nothing to explain.
    pub(super) completed: bool,
}

impl Facts {
    pub(super) fn new(context: CallContext, redactor: Redactor) -> Self {
        Self {
            context,
            spawned: Instant::now(),
            first_event: None,
            usage: None,
            retries: 0,
            unknown: 0,
            status: None,
            stderr: Tail::new(STDERR_KEPT),
            redactor,
            completed: false,
        }
    }

    /// The end of standard error, without the request's own content.
    pub(super) fn stderr_text(&self) -> String {
        self.redactor.apply(self.stderr.text())
    }

    fn record_exit(&self) {
        let Some(status) = self.status else { return };
        if let Some(code) = status.code() {
            self.context.record(names::EXIT_CODE, i64::from(code));
        }
        #[cfg(unix)]
        if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
            self.context.record(names::EXIT_SIGNAL, i64::from(signal));
        }
    }

    fn record_usage(&self) {
        let Some(usage) = &self.usage else { return };
        for (name, tokens) in [
            (names::INPUT_TOKENS, usage.input_tokens),
            (names::OUTPUT_TOKENS, usage.output_tokens),
            (names::CACHE_READ_TOKENS, usage.cached_input_tokens),
            (names::CACHE_WRITE_TOKENS, usage.cache_write_input_tokens),
            (names::REASONING_TOKENS, usage.reasoning_output_tokens),
        ] {
            self.context
                .record(name, i64::try_from(tokens).unwrap_or(i64::MAX));
        }
    }
}

impl Drop for Facts {
    fn drop(&mut self) {
        if !self.context.is_recording() {
            return;
        }
        if let Some(first) = self.first_event {
            let after = millis(first.duration_since(self.spawned));
            self.context.record(names::TIME_TO_FIRST_EVENT, after);
        }
        self.record_usage();
        self.record_exit();
        for (name, count) in [
            (names::RETRIES, self.retries),
            (names::UNKNOWN_EVENTS, self.unknown),
        ] {
            if count > 0 {
                self.context.record(name, i64::from(count));
            }
        }
        if !self.completed {
            let tail = self.stderr_text();
            if !tail.is_empty() {
                self.context.record(names::STDERR_TAIL, tail);
            }
        }
    }
}

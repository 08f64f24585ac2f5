use std::sync::{Mutex, PoisonError};

use super::tool;
use crate::{call::CallGuard, event::Classification};

/// Keeps the call of a tool open while an approver is asked about it: the call `codex.approval` is a part of it.
///
/// Codex can end the tool before, when its server dies or the turn is interrupted. The call ends when all who have a
/// handle to this have dropped it.
pub(in crate::turn) struct AskedTool(Mutex<Option<Ended>>);

/// A tool that has ended.
struct Ended {
    call: CallGuard,
    failure: Option<Classification>,
}

// === impl AskedTool ===

impl AskedTool {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Takes the call of a tool that has ended.
    pub(super) fn end(&self, call: CallGuard, failure: Option<Classification>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Ended { call, failure });
    }
}

impl Drop for AskedTool {
    fn drop(&mut self) {
        let ended = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(Ended { call, failure }) = ended.take() {
            tool::end(call, failure);
        }
    }
}

use opentelemetry::{KeyValue, Value};
use tokio::time::Instant;

use super::Answer;
#[cfg(all(feature = "turn", unix))]
use crate::event::WaitForApproval;
use crate::{
    call::CallContext,
    event::{millis, names},
};

/// A wait of a tool call for an approval. It is no part of the time that the tool takes.
///
/// The call gets two attributes, when the wait [ends](Self::end) or when this is dropped before: how long all of the
/// call's waits took together, and how the last one ended.
pub(crate) struct Wait {
    tool: CallContext,
    began: Instant,
    has_ended: bool,
    /// That of the turn whose tool waits.
    #[cfg(all(feature = "turn", unix))]
    phase: Option<WaitForApproval>,
}

// === impl Wait ===

impl Wait {
    /// Starts the time now.
    pub(crate) fn begin(tool: &CallContext) -> Self {
        Self {
            tool: tool.clone(),
            began: Instant::now(),
            has_ended: false,
            #[cfg(all(feature = "turn", unix))]
            phase: tool.wait_for_approval(),
        }
    }

    /// Ends the wait now. Does nothing if it has ended before.
    pub(crate) fn end(&mut self, answer: &Answer) {
        self.end_as(answer.as_str());
    }

    fn end_as(&mut self, decision: &'static str) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        #[cfg(all(feature = "turn", unix))]
        {
            self.phase = None;
        }
        let Some(record) = self.tool.open_record() else {
            return;
        };
        let waited = millis(self.began.elapsed());
        record.annotate(|annotations| {
            let attributes = &mut annotations.attributes;
            // A call has waited before if it has two approvals, or if a layer below its timing tries again.
            let before = waited_before(attributes.as_slice());
            attributes.set(KeyValue::new(names::APPROVAL_WAIT, before + waited));
            attributes.set(KeyValue::new(names::APPROVAL_DECISION, decision));
        });
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.end_as("unanswered");
    }
}

/// Returns how many milliseconds a call has waited for its approvals until now.
fn waited_before(attributes: &[KeyValue]) -> f64 {
    let wait = attributes
        .iter()
        .find(|attribute| attribute.key.as_str() == names::APPROVAL_WAIT);
    match wait.map(|attribute| &attribute.value) {
        Some(Value::F64(millis)) => *millis,
        _ => 0.0,
    }
}

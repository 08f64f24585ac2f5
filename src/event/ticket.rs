use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry::KeyValue;

#[cfg(all(feature = "turn", unix))]
use super::Record;
use super::RecordHandle;

/// What a request carries for its maker: by it the maker knows the call that a layer opens for the request.
///
/// A service that passes a request on to a stack of the program does not know whether the stack opens a call. With a
/// ticket it does, and it can say more of the call. If several calls are opened for clones of the request, as when a
/// layer tries again, it is the last one.
#[derive(Clone, Debug)]
pub(crate) struct Ticket(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    agent: Option<Arc<Box<str>>>,
    attributes: Vec<KeyValue>,
    /// Those of the turn that makes the request.
    #[cfg(all(feature = "turn", unix))]
    phases: Option<Arc<super::PhaseClock>>,
    opened: Mutex<Option<RecordHandle>>,
}

impl Ticket {
    /// Returns a ticket for a call within another one. The call gets the attributes when it is opened.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) fn new(within: Option<&Record>, attributes: Vec<KeyValue>) -> Self {
        Self(Arc::new(Inner {
            agent: within.and_then(|call| call.agent.clone()),
            attributes,
            phases: within.and_then(Record::own_phases),
            opened: Mutex::default(),
        }))
    }

    /// Returns whether a call was opened.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) fn is_used(&self) -> bool {
        self.lock().is_some()
    }

    /// Has the call fail when it is dropped, unless it has ended or none was opened.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) fn fail_when_dropped(&self, classification: super::Classification) {
        if let Some(record) = &*self.lock() {
            record.classify(classification);
            record.fail_when_dropped();
        }
    }

    /// Ends the call as failed, unless it has ended or none was opened.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) fn fail(&self) {
        let Some(record) = self.lock().clone() else {
            return;
        };
        Record::end(record, super::Ending::Now(super::Outcome::Error));
    }

    /// Notes that the turn that makes the request waits for an approval.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) fn wait_for_approval(&self) -> Option<super::WaitForApproval> {
        Some(self.0.phases.as_ref()?.approval())
    }

    pub(crate) fn agent(&self) -> Option<&Arc<Box<str>>> {
        self.0.agent.as_ref()
    }

    /// Notes the call that was opened.
    pub(crate) fn opened(&self, record: &RecordHandle) {
        for KeyValue { key, value, .. } in &self.0.attributes {
            record.set_attribute(key.clone(), value.clone());
        }
        #[cfg(all(feature = "turn", unix))]
        if let Some(phases) = &self.0.phases {
            record.set_turn_phases(Arc::clone(phases));
        }
        *self.lock() = Some(record.clone());
    }

    fn lock(&self) -> MutexGuard<'_, Option<RecordHandle>> {
        self.0.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same ticket, and not one like it.
impl PartialEq for Ticket {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

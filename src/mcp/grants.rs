use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{mpsc, oneshot};

use super::{
    incoming_call::IncomingCall,
    pending_call::{CallResult, PendingCall},
    secret::Secret,
};

/// The tokens that are valid, and what the holder of each may do.
///
/// A token is found by the hash of its text, with a key that is random: how long that takes says nothing of the others.
#[derive(Default)]
pub(super) struct Grants(Mutex<HashMap<Secret, Arc<Grant>>>);

/// What the holder of a token may do. Anybody with one may ask for the list of the tools.
pub(super) enum Grant {
    /// A client of the program calls tools at any time.
    Client,
    /// Codex calls them while a turn runs that takes the calls.
    Turn(Mutex<Option<mpsc::UnboundedSender<PendingCall>>>),
}

/// A token that is valid until this is dropped.
pub(super) struct Issued {
    secret: Secret,
    grant: Arc<Grant>,
    grants: Arc<Grants>,
}

// === impl Grants ===

impl Grants {
    /// Makes a token valid.
    pub(super) fn issue(self: &Arc<Self>, grant: Grant) -> io::Result<Issued> {
        let issued = Issued {
            secret: Secret::new()?,
            grant: Arc::new(grant),
            grants: Arc::clone(self),
        };
        let grant = Arc::clone(&issued.grant);
        self.lock().insert(issued.secret.clone(), grant);
        Ok(issued)
    }

    /// Returns what the holder of a token may do; `None` if it is not valid.
    pub(super) fn find(&self, token: &str) -> Option<Arc<Grant>> {
        self.lock().get(token).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Secret, Arc<Grant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Grant ===

impl Grant {
    /// Returns a grant for Codex, without a turn.
    pub(super) fn of_turn() -> Self {
        Self::Turn(Mutex::new(None))
    }

    /// Lets a turn take the calls.
    pub(super) fn bind(&self, turn: mpsc::UnboundedSender<PendingCall>) {
        if let Self::Turn(bound) = self {
            *bound.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
        }
    }

    /// Forgets a turn that takes no more calls, and not the next one.
    pub(super) fn unbind_closed(&self) {
        if let Self::Turn(bound) = self {
            let mut bound = bound.lock().unwrap_or_else(PoisonError::into_inner);
            bound.take_if(|turn| turn.is_closed());
        }
    }

    /// Gives a call to the turn, which answers it or drops it; `None` if no turn takes it.
    pub(super) fn send(&self, call: IncomingCall) -> Option<oneshot::Receiver<CallResult>> {
        let Self::Turn(bound) = self else { return None };
        let bound = bound.lock().unwrap_or_else(PoisonError::into_inner);
        let (pending, answer) = PendingCall::new(call);
        bound.as_ref()?.send(pending).ok()?;
        Some(answer)
    }
}

// === impl Issued ===

impl Issued {
    pub(super) fn secret(&self) -> &str {
        self.secret.as_str()
    }

    pub(super) fn grant(&self) -> &Arc<Grant> {
        &self.grant
    }
}

impl Drop for Issued {
    fn drop(&mut self) {
        self.grants.lock().remove(&self.secret);
    }
}

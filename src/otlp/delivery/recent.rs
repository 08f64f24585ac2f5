use std::collections::{HashSet, VecDeque};

use opentelemetry::TraceId;

/// A set of the latest ids.
#[derive(Default)]
pub(super) struct Recent {
    set: HashSet<TraceId>,
    order: VecDeque<TraceId>,
}

// === impl Recent ===

impl Recent {
    pub(super) fn contains(&self, id: TraceId) -> bool {
        self.set.contains(&id)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.set.len(), self.order.len());
        self.order.len()
    }

    /// Adds an id. Over the capacity, removes the oldest one.
    pub(super) fn insert(&mut self, id: TraceId, capacity: usize) {
        if self.set.insert(id) {
            self.order.push_back(id);
        }
        if self.order.len() > capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }
}

use std::collections::VecDeque;

use crate::event::Event;

/// The events of one signal that wait for their export. It is bounded in events and in bytes.
pub(super) struct Buffer {
    events: VecDeque<Event>,
    bytes: usize,
    /// The number of events at the front that are to be exported now. The others wait for a full batch.
    due: usize,
    limits: BufferLimits,
}

/// The limits of a buffer and of the batches that are taken out of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct BufferLimits {
    pub(super) capacity: usize,
    pub(super) bytes: usize,
    pub(super) batch_size: usize,
    pub(super) batch_bytes: usize,
}

// === impl Buffer ===

impl Buffer {
    pub(super) fn new(limits: BufferLimits) -> Self {
        Self {
            events: VecDeque::new(),
            bytes: 0,
            due: 0,
            limits,
        }
    }

    /// Adds an event. Returns `false` if the buffer is full.
    pub(super) fn push(&mut self, event: Event) -> bool {
        let size = event.estimated_size();
        // An empty buffer takes any event: what a call keeps is bounded.
        let has_bytes = self.events.is_empty() || self.bytes + size <= self.limits.bytes;
        let has_room = self.events.len() < self.limits.capacity && has_bytes;
        if has_room {
            self.bytes += size;
            self.events.push_back(event);
        }
        has_room
    }

    /// Makes all events due.
    pub(super) fn make_due(&mut self) {
        self.due = self.events.len();
    }

    /// Returns whether all events are due.
    pub(super) fn is_due(&self) -> bool {
        self.due == self.events.len()
    }

    /// Returns whether the events that are not due are a batch.
    pub(super) fn has_batch(&self) -> bool {
        self.events.len() - self.due >= self.limits.batch_size
            || self.bytes >= self.limits.batch_bytes
    }

    /// Takes the next batch of due events; an empty one if nothing is due.
    pub(super) fn take_batch(&mut self) -> Vec<Event> {
        let (mut count, mut bytes) = (0, 0);
        for event in self
            .events
            .iter()
            .take(self.due.min(self.limits.batch_size))
        {
            let size = event.estimated_size();
            // The first event goes out whatever its size.
            if count > 0 && bytes + size > self.limits.batch_bytes {
                break;
            }
            count += 1;
            bytes += size;
        }
        self.due -= count;
        self.bytes -= bytes;
        self.events.drain(..count).collect()
    }
}

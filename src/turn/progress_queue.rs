use std::{collections::VecDeque, time::Duration};

use tokio::{
    sync::mpsc::{Sender, error::TrySendError},
    time::{Instant, timeout_at},
};

use super::Progress;

/// How much progress waits at most.
const CAPACITY: usize = 1024;

/// The maximum that a turn which has ended waits for a slow reader of its progress.
pub(super) const MAX_DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// Progress that waits for room in the request's channel. What finds no place is dropped and counted: a turn
/// does not wait for whoever observes it.
pub(super) struct ProgressQueue {
    /// `None` without a channel, and after its receiver was dropped.
    channel: Option<Sender<Progress>>,
    waiting: VecDeque<Progress>,
    dropped: u32,
}

impl ProgressQueue {
    pub(super) const fn new(channel: Option<Sender<Progress>>) -> Self {
        Self {
            channel,
            waiting: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Returns whether somebody reads the progress.
    pub(super) const fn has_reader(&self) -> bool {
        self.channel.is_some()
    }

    /// Returns whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the channel if something waits for room in it.
    pub(super) fn blocked_on(&self) -> Option<&Sender<Progress>> {
        self.channel.as_ref().filter(|_| !self.is_empty())
    }

    /// Sends progress, or has it wait for room, or drops it.
    pub(super) fn push(&mut self, progress: Progress) {
        let Some(channel) = &self.channel else {
            return;
        };
        let unsent = match self.waiting.is_empty() {
            true => channel.try_send(progress),
            false => Err(TrySendError::Full(progress)),
        };
        match unsent {
            Ok(()) => {}
            Err(TrySendError::Closed(_)) => self.close(),
            Err(TrySendError::Full(_)) if self.waiting.len() == CAPACITY => {
                self.dropped = self.dropped.saturating_add(1);
            }
            Err(TrySendError::Full(progress)) => self.waiting.push_back(progress),
        }
    }

    /// Takes what has waited longest.
    pub(super) fn pop(&mut self) -> Option<Progress> {
        self.waiting.pop_front()
    }

    /// Drops what waits, since nobody reads it.
    pub(super) fn close(&mut self) {
        self.channel = None;
        self.waiting.clear();
    }

    /// Waits for room, and sends what has waited longest.
    ///
    /// # Cancel safety
    ///
    /// It can be called again after its future was dropped.
    pub(super) async fn deliver(&mut self) {
        if let Some(channel) = &self.channel
            && let Ok(permit) = channel.reserve().await
        {
            if let Some(progress) = self.waiting.pop_front() {
                permit.send(progress);
            }
        } else {
            self.close();
        }
    }

    /// Sends all that waits, until the deadline. Returns how much was dropped in all.
    pub(super) async fn deliver_all(mut self, deadline: Instant) -> u32 {
        let all = async {
            while !self.is_empty() {
                self.deliver().await;
            }
        };
        // An error means that the rest stays.
        let _ = timeout_at(deadline, all).await;
        self.dropped()
    }

    /// Returns how much was dropped, with what still waits.
    pub(super) fn dropped(&self) -> u32 {
        let unsent = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        self.dropped.saturating_add(unsent)
    }
}

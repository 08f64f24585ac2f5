use std::collections::VecDeque;

use tokio::{
    sync::mpsc::{Sender, error::TrySendError},
    time::{Instant, timeout_at},
};

use super::Progress;

/// How much progress waits at most.
const CAPACITY: usize = 1024;

/// Progress that waits for room in the request's channel. What finds no place is dropped and counted: a turn
/// does not wait for whoever observes it.
pub(super) struct ProgressQueue<'a> {
    /// `None` without a channel, and after its receiver was dropped.
    channel: Option<&'a Sender<Progress>>,
    waiting: VecDeque<Progress>,
    dropped: u32,
}

impl<'a> ProgressQueue<'a> {
    pub(super) const fn new(channel: Option<&'a Sender<Progress>>) -> Self {
        Self {
            channel,
            waiting: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Returns whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends progress, or has it wait for room, or drops it.
    pub(super) fn push(&mut self, progress: Progress) {
        let Some(channel) = self.channel else {
            return;
        };
        let unsent = match self.is_empty() {
            true => channel.try_send(progress),
            false => Err(TrySendError::Full(progress)),
        };
        match unsent {
            Ok(()) => {}
            Err(TrySendError::Closed(_)) => self.channel = None,
            Err(TrySendError::Full(_)) if self.waiting.len() == CAPACITY => {
                self.dropped = self.dropped.saturating_add(1);
            }
            Err(TrySendError::Full(progress)) => self.waiting.push_back(progress),
        }
    }

    /// Waits for room, and sends what has waited longest.
    ///
    /// # Cancel safety
    ///
    /// It can be called again after its future was dropped.
    pub(super) async fn deliver(&mut self) {
        let permit = match self.channel {
            Some(channel) => channel.reserve().await.ok(),
            None => None,
        };
        match permit {
            Some(permit) => {
                if let Some(progress) = self.waiting.pop_front() {
                    permit.send(progress);
                }
            }
            None => {
                self.channel = None;
                self.waiting.clear();
            }
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
        let unsent = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        self.dropped.saturating_add(unsent)
    }
}

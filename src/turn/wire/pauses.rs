use tokio::task::yield_now;

/// How many rounds come between two pauses: few enough for a round that spends several units of tokio's budget of
/// 128 for a poll.
const ROUNDS: u8 = 16;

/// Lets a loop over input that never ends pause before it has spent its task's budget.
///
/// Without a budget every timer of the task is pending. A caller's timeout, which is polled after the loop, would
/// never end it: `tower`'s has no budget of its own.
#[derive(Debug, Default)]
pub(in crate::turn) struct Pauses {
    rounds: u8,
}

impl Pauses {
    /// Ends a round, and pauses after every sixteenth.
    pub(in crate::turn) async fn pause_sometimes(&mut self) {
        self.rounds = (self.rounds + 1) % ROUNDS;
        if self.rounds == 0 {
            yield_now().await;
        }
    }
}

use tokio::task::yield_now;

/// How many rounds of a loop come between two pauses. tokio lets a task do 128 operations each time it is polled, its
/// budget; a round does several.
const ROUNDS: u8 = 16;

/// Lets a loop that always finds more to read pause before it has spent its task's budget.
///
/// Once the budget is spent, every timer of the task is pending, and it is full again only when the task is polled
/// again. So a `tower` timeout around such a loop, which looks at its timer after the loop, would never fire.
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

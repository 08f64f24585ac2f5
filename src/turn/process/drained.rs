/// What is left after a service was drained.
///
/// ```
/// use codex_telemetry::turn::{CodexExec, Drained};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let turns = CodexExec::new();
/// // … turns run and end …
/// let Drained { orphans, .. } = turns.drain().await;
/// assert!(orphans.is_empty(), "still running: {orphans:?}");
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// The ids of the orphaned processes that were spared and still run, up to 1,024 of them. Each was
    /// reported by a warning. Daemons are not among them.
    pub orphans: Vec<u32>,
}

impl Drained {
    pub(super) const fn new(orphans: Vec<u32>) -> Self {
        Self { orphans }
    }
}

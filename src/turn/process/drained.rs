/// What is left after a service was drained.
///
/// ```no_run
/// use codex_telemetry::turn::CodexExec;
///
/// # async fn run() {
/// let turns = CodexExec::new();
/// // … turns run and end …
/// let drained = turns.drain().await;
/// if !drained.orphans.is_empty() {
///     eprintln!("still running: {:?}", drained.orphans);
/// }
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

use std::{fmt, time::Duration};

use super::Phase;

/// Where the time of a turn went.
///
/// The phases exclude each other, so their durations add up to that of the turn. [`Phase`] says what each of them is,
/// and which service can tell it.
///
/// With the feature `json` it implements `serde::Serialize`: an object with the milliseconds of each phase that can be
/// told (`wait_ms`), `last` and `time_to_first_token_ms`. An unknown value is absent.
///
/// ```
/// use codex_telemetry::{Phase, Phases};
/// use std::time::Duration;
///
/// // What a fake of a turn service returns.
/// let secs = Duration::from_secs;
/// let phases = Phases::new()
///     .with(Phase::Startup, secs(1))
///     .with(Phase::Model, secs(4))
///     .with(Phase::Tools, secs(2))
///     .with(Phase::Model, secs(3))
///     .with_time_to_first_token(secs(2));
/// assert_eq!(phases.get(Phase::Model), Some(secs(7)));
/// assert_eq!(phases.get(Phase::Approval), None);
/// assert_eq!(phases.total(), secs(10));
/// assert_eq!(phases.last(), Some(Phase::Model));
/// assert_eq!(phases.time_to_first_token(), Some(secs(2)));
///
/// // The sums, and when each stretch began.
/// let longest = phases.iter().max_by_key(|(_, duration)| *duration);
/// assert_eq!(longest, Some((Phase::Model, secs(7))));
/// assert_eq!(phases.changes()[2], (secs(5), Phase::Tools));
/// assert!(phases.changes().len() < Phases::MAX_CHANGES);
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Phases {
    pub(super) durations: [Option<Duration>; Phase::ALL.len()],
    pub(super) changes: Vec<(Duration, Phase)>,
    pub(super) last: Option<Phase>,
    pub(super) time_to_first_token: Option<Duration>,
}

impl Phases {
    /// The most changes that are kept. The last of so many is to [`Phase::Other`], and stands for all later ones.
    pub const MAX_CHANGES: usize = 256;

    /// Returns an empty value, in which no phase is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds time in a phase, after all that was added before.
    #[must_use]
    pub fn with(mut self, phase: Phase, duration: Duration) -> Self {
        self.change(self.total(), phase);
        self.add(phase, duration);
        self.last = Some(phase);
        self
    }

    /// Sets how long the turn ran until the first part of the model's first text.
    #[must_use]
    pub fn with_time_to_first_token(mut self, time: Duration) -> Self {
        self.time_to_first_token = Some(time);
        self
    }

    /// Returns how long the turn was in a phase: zero if it never was, and `None` if nobody can tell.
    #[must_use]
    pub fn get(&self, phase: Phase) -> Option<Duration> {
        self.durations[phase as usize]
    }

    /// Returns the phases that can be told, with their durations, in the order of [`Phase::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Phase, Duration)> {
        let all = Phase::ALL.iter().copied();
        all.filter_map(|phase| Some((phase, self.get(phase)?)))
    }

    /// Returns the sum of all phases: the duration of the turn.
    #[must_use]
    pub fn total(&self) -> Duration {
        let durations = self.durations.iter().flatten();
        durations.fold(Duration::ZERO, |sum, next| sum.saturating_add(*next))
    }

    /// Returns the phase in which the turn was when it ended: what a turn that failed or was cancelled waited for.
    ///
    /// `None` if no phase is known.
    #[must_use]
    pub fn last(&self) -> Option<Phase> {
        self.last
    }

    /// Returns when the turn entered its phases: the time since its start, in ascending order.
    ///
    /// There are at most [`MAX_CHANGES`](Self::MAX_CHANGES).
    #[must_use]
    pub fn changes(&self) -> &[(Duration, Phase)] {
        &self.changes
    }

    /// Returns how long the turn ran, from its start by Codex, until the first part of the model's first text.
    ///
    /// `None` if there was none, or if Codex did not tell it: `codex exec` tells whole texts only, and so does the
    /// app-server for a provider that does not stream.
    #[must_use]
    pub fn time_to_first_token(&self) -> Option<Duration> {
        self.time_to_first_token
    }

    /// Returns about how many bytes the value holds.
    #[cfg(feature = "otlp")]
    pub(super) fn estimated_size(&self) -> usize {
        size_of::<Self>() + self.changes.capacity() * size_of::<(Duration, Phase)>()
    }

    pub(super) fn add(&mut self, phase: Phase, duration: Duration) {
        let known = self.durations[phase as usize].unwrap_or_default();
        self.durations[phase as usize] = Some(known.saturating_add(duration));
    }

    /// Moves time from a phase to another one.
    #[cfg(all(feature = "turn", unix))]
    pub(super) fn move_time(&mut self, from: Phase, to: Phase, duration: Duration) {
        let left = &mut self.durations[from as usize];
        *left = left.map(|left| left.saturating_sub(duration));
        self.add(to, duration);
    }

    /// Notes that a phase begins some time after the start.
    pub(super) fn change(&mut self, after: Duration, phase: Phase) {
        // A phase without a duration is no part of the picture.
        while self.changes.last().is_some_and(|(at, _)| *at >= after) {
            self.changes.pop();
        }
        let is_news = self.changes.last().is_none_or(|(_, last)| *last != phase);
        let left = Self::MAX_CHANGES - self.changes.len();
        if is_news && left > 0 {
            let kept = if left == 1 { Phase::Other } else { phase };
            self.changes.push((after, kept));
        }
    }
}

/// The phases that can be told, with their durations, and the last one.
impl fmt::Debug for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut phases = f.debug_struct("Phases");
        for (phase, duration) in self.iter() {
            phases.field(phase.as_str(), &duration);
        }
        if let Some(last) = self.last {
            phases.field("last", &last);
        }
        if let Some(time) = self.time_to_first_token {
            phases.field("time_to_first_token", &time);
        }
        phases.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_added_follows_what_was_added_before() {
        let phases = Phases::new()
            .with(Phase::Wait, SECOND)
            .with(Phase::Model, 2 * SECOND)
            .with(Phase::Model, 4 * SECOND)
            .with(Phase::Tools, Duration::ZERO)
            .with(Phase::Wait, 8 * SECOND);
        let changes = [
            (Duration::ZERO, Phase::Wait),
            (SECOND, Phase::Model),
            (7 * SECOND, Phase::Wait),
        ];
        assert_eq!(phases.changes(), changes);
        let times = [
            (Phase::Wait, 9 * SECOND),
            (Phase::Model, 6 * SECOND),
            (Phase::Tools, Duration::ZERO),
        ];
        assert_eq!(phases.iter().collect::<Vec<_>>(), times);
        assert_eq!(phases.total(), 15 * SECOND);
        assert_eq!(phases.last(), Some(Phase::Wait));
    }

    #[test]
    fn a_phase_without_a_time_is_the_last_one_all_the_same() {
        let phases = Phases::new().with(Phase::Model, SECOND);
        let phases = phases.with(Phase::Approval, Duration::ZERO);
        assert_eq!(phases.last(), Some(Phase::Approval));
        assert_eq!(phases.get(Phase::Approval), Some(Duration::ZERO));
    }

    #[test]
    fn an_empty_value_knows_nothing() {
        let phases = Phases::new();
        assert_eq!(phases.iter().count(), 0);
        assert_eq!(phases.total(), Duration::ZERO);
        assert_eq!((phases.last(), phases.time_to_first_token()), (None, None));
        assert!(phases.changes().is_empty());
    }

    #[test]
    fn too_long_a_time_is_the_longest() {
        let phases = Phases::new()
            .with(Phase::Model, Duration::MAX)
            .with(Phase::Model, SECOND)
            .with(Phase::Tools, SECOND);
        assert_eq!(phases.get(Phase::Model), Some(Duration::MAX));
        assert_eq!(phases.total(), Duration::MAX);
    }

    #[test]
    fn each_phase_has_an_attribute_and_a_name_of_its_own() {
        for phase in Phase::ALL {
            let name = phase.as_str();
            let attribute = format!("codex.turn.phase.{name}_ms");
            assert_eq!(phase.attribute(), attribute);
        }
    }
}

//! What the phases of a turn have to be: computed at once, from the intervals of all that goes on in it.

use std::time::Duration;

use crate::event::{Event, Outcome, Phase, Phases, names};

/// What is told of a turn. The ids are those of items and questions.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::turn) enum Sign {
    /// The service is called once more, for another attempt.
    Called,
    /// An attempt has failed, and there will be another one.
    Paused,
    /// The turn is begun: its thread is loaded, or its process starts.
    Startup,
    /// Codex asks the model.
    Started,
    ToolStarted(String),
    ToolEnded(String),
    /// A tool of which only the end is told.
    ToolWhole,
    /// A text, or a part of one, that is being written.
    Writes,
    /// A text that is complete.
    Text,
    /// A response of the model is complete.
    ResponseEnded,
    /// What a response has used.
    Used,
    /// Codex tries again.
    Retries,
    Asked(usize),
    Answered(usize),
    /// An approver cancels the turn. What comes later changes nothing.
    Cancels,
    /// Something that says nothing of the phases.
    Noise,
}

/// All that is told of a turn, with the milliseconds since its start.
#[derive(Clone, Debug, Default)]
pub(in crate::turn) struct Story {
    pub(in crate::turn) signs: Vec<(u64, Sign)>,
    /// Whether Codex has completed the turn, when it ended, and when its call did.
    pub(in crate::turn) is_completed: bool,
    pub(in crate::turn) ended: u64,
    pub(in crate::turn) call_ended: u64,
}

impl Story {
    /// Returns the milliseconds in each phase until the end of the turn, and the phase in which it ended.
    fn phases_of_turn(&self) -> ([u64; Phase::ALL.len()], Phase) {
        let mut times = [0; Phase::ALL.len()];
        let cancels = self
            .signs
            .iter()
            .position(|(_, sign)| *sign == Sign::Cancels);
        let places = 0..cancels.unwrap_or(self.signs.len());
        let first = self.signs.first().map_or(self.ended, |(at, _)| *at);
        times[Phase::Wait as usize] += first;
        let mut last = Phase::Wait;
        for place in places {
            let (from, until) = (self.signs[place].0, self.end_of(place));
            last = self.phase_after(place);
            times[self.known_later(place).unwrap_or(last) as usize] += until - from;
        }
        if let Some(place) = cancels {
            times[Phase::Other as usize] += self.ended - self.signs[place].0;
        }
        (times, last)
    }

    /// Returns when the sign after a place comes, or the end of the turn.
    fn end_of(&self, place: usize) -> u64 {
        self.signs.get(place + 1).map_or(self.ended, |(at, _)| *at)
    }

    /// Returns the phase after a sign that shows by what comes next, if there is one: between a response and the tool that
    /// it asked for, or the end of the turn, the model does not work.
    fn known_later(&self, place: usize) -> Option<Phase> {
        let is_model = |place: &usize| self.phase_after(*place) == Phase::Model;
        let ended = (0..=place).rfind(|at| self.signs[*at].1 == Sign::ResponseEnded)?;
        for at in ended..self.signs.len() {
            let is_heard = matches!(
                self.signs[at].1,
                Sign::Writes
                    | Sign::Text
                    | Sign::Retries
                    | Sign::ToolWhole
                    | Sign::Used
                    | Sign::ResponseEnded
                    | Sign::Cancels
            );
            if at > place && matches!(self.signs[at].1, Sign::ToolStarted(_)) {
                return Some(Phase::Tools);
            }
            if at > ended && is_heard || !is_model(&at) {
                return None;
            }
        }
        self.is_completed.then_some(Phase::Other)
    }

    /// Returns the phase after a sign.
    fn phase_after(&self, place: usize) -> Phase {
        // Nothing of an attempt goes on in the next one.
        let is_bound = |(_, sign): &(u64, Sign)| matches!(sign, Sign::Called | Sign::Paused);
        let bound = self.signs[..=place].iter().rposition(is_bound);
        let so_far = &self.signs[bound.unwrap_or(0)..=place];
        let goes_on = |begin: &dyn Fn(&Sign) -> bool, end: &dyn Fn(usize, &Sign, &Sign) -> bool| {
            so_far.iter().enumerate().any(|(from, (_, first))| {
                let mut later = so_far.iter().enumerate().skip(from + 1);
                begin(first) && !later.any(|(at, (_, sign))| end(at, first, sign))
            })
        };
        let is_asking = goes_on(
            &|sign| matches!(sign, Sign::Asked(_)),
            &|_, first, sign| matches!((first, sign), (Sign::Asked(asked), Sign::Answered(id)) if asked == id),
        );
        let retries = goes_on(&|sign| *sign == Sign::Retries, &|_, _, sign| {
            matches!(
                sign,
                Sign::ToolStarted(_)
                    | Sign::ToolWhole
                    | Sign::Writes
                    | Sign::Text
                    | Sign::ResponseEnded
                    | Sign::Used
            )
        });
        let writes = goes_on(&|sign| *sign == Sign::Writes, &|at, _, sign| match sign {
            Sign::ResponseEnded | Sign::Retries => true,
            // Where nobody tells the ends of responses, a tool tells that the one that asked for it has ended.
            Sign::ToolStarted(_) | Sign::Used => {
                let before = &so_far[..at];
                !before.iter().any(|(_, sign)| *sign == Sign::ResponseEnded)
            }
            _ => false,
        });
        let has_tools = goes_on(
            &|sign| matches!(sign, Sign::ToolStarted(_)),
            &|_, first, sign| matches!((first, sign), (Sign::ToolStarted(tool), Sign::ToolEnded(id)) if tool == id),
        );
        let is_told = |sign| so_far.iter().any(|(_, told)| *told == sign);
        match () {
            () if is_told(Sign::Paused) => Phase::Retry,
            () if is_asking => Phase::Approval,
            () if retries => Phase::Retry,
            () if writes => Phase::Model,
            () if has_tools => Phase::Tools,
            () if is_told(Sign::Started) => Phase::Model,
            () if is_told(Sign::Startup) => Phase::Startup,
            () => Phase::Wait,
        }
    }

    /// Checks the phases of the terminal event.
    pub(in crate::turn) fn check_event(&self, event: &Event, tells_approvals: bool) {
        let (mut times, last) = self.phases_of_turn();
        times[Phase::Other as usize] += self.call_ended - self.ended;
        let phases = event.phases().expect("it is a turn");
        let duration = event.duration().expect("it has ended");
        assert_eq!(
            duration,
            Duration::from_millis(self.call_ended),
            "{self:#?}"
        );
        self.check(phases, &times, duration, tells_approvals);
        for phase in Phase::ALL {
            let millis = event.attribute(phase.attribute());
            let known = phases.get(*phase).map(|time| time.as_nanos() as f64 / 1e6);
            assert_eq!(millis, known.map(Into::into).as_ref(), "{phase}");
        }
        let told = event.attribute(names::PHASE);
        let told = told.map(|phase| phase.as_str().into_owned());
        if event.outcome() == Some(Outcome::Ok) {
            assert_eq!(told, None);
        } else {
            // One that Codex has completed, and that was dropped after that, waited for nothing of Codex.
            let is_cancelled = self.signs.iter().any(|(_, sign)| *sign == Sign::Cancels);
            let last = if self.is_completed && !is_cancelled {
                Phase::Other
            } else {
                last
            };
            assert_eq!(told.as_deref(), Some(last.as_str()), "{self:#?}");
        }
    }

    /// Checks the phases of the result, which the service has returned after some milliseconds.
    pub(in crate::turn) fn check_result(
        &self,
        phases: &Phases,
        returned: u64,
        tells_approvals: bool,
    ) {
        let (mut times, _) = self.phases_of_turn();
        times[Phase::Other as usize] += returned - self.ended;
        let duration = Duration::from_millis(returned);
        self.check(phases, &times, duration, tells_approvals);
    }

    fn check(
        &self,
        phases: &Phases,
        times: &[u64; Phase::ALL.len()],
        duration: Duration,
        tells_approvals: bool,
    ) {
        assert_eq!(phases.total(), duration, "{self:#?}");
        let known = |phase: &Phase| phases.get(*phase).unwrap_or_default().as_millis();
        let all: Vec<_> = Phase::ALL.iter().map(known).collect();
        let expected: Vec<_> = times.iter().map(|time| u128::from(*time)).collect();
        assert_eq!(all, expected, "{self:#?}");
        let is_asked = |(_, sign): &(u64, Sign)| matches!(sign, Sign::Asked(_));
        let can_tell = tells_approvals || self.signs.iter().any(is_asked);
        assert_eq!(phases.get(Phase::Approval).is_some(), can_tell);
        // The changes say the same.
        let ends = phases.changes()[1..].iter().map(|(at, _)| *at);
        let ends = ends.chain([duration]);
        let mut rebuilt = [Duration::ZERO; Phase::ALL.len()];
        for ((at, phase), end) in phases.changes().iter().zip(ends) {
            assert!(*at <= end);
            rebuilt[*phase as usize] += end - *at;
        }
        let rebuilt: Vec<_> = rebuilt.iter().map(Duration::as_millis).collect();
        assert_eq!(rebuilt, expected, "{:?}", phases.changes());
    }
}

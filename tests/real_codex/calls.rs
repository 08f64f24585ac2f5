//! The calls of a sink's events.

use std::time::{Duration, SystemTime};

use codex_telemetry::{
    Event, EventKind, Operation, Originator, Outcome, Phase, Phases, event::names, turn::Turn,
};
use opentelemetry::Value;

/// The calls of one turn, in the order of their starts.
pub(crate) struct OfTurn<'a> {
    pub(crate) turn: &'a Event,
    pub(crate) tools: Vec<&'a Event>,
    pub(crate) chats: Vec<&'a Event>,
}

/// The terminal events of calls, in the order of their starts.
pub(crate) struct Calls {
    pub(crate) turns: Vec<Event>,
    pub(crate) tools: Vec<Event>,
    /// The responses of the model. `codex exec` does not tell of them.
    pub(crate) chats: Vec<Event>,
    pub(crate) approvals: Vec<Event>,
}

impl Calls {
    /// Checks that each tool call is inside of its turn's call, and that the phases of each turn add up. The checked
    /// sink has the checks of starts and ends.
    pub(crate) fn new(events: &[Event]) -> Self {
        let ends = |operation| {
            let starts = events
                .iter()
                .filter(|event| event.kind() == EventKind::Start && event.operation() == operation);
            let end = |start: &Event| {
                let mut ends = events.iter().filter(|event| event.kind().is_terminal());
                ends.find(|end| end.span_id() == start.span_id()).cloned()
            };
            starts.filter_map(end).collect::<Vec<_>>()
        };
        let calls = Self {
            turns: ends(Operation::Turn),
            tools: ends(Operation::Tool),
            chats: ends(Operation::Chat),
            approvals: ends(Operation::Approval),
        };
        let inner = calls.tools.len() + calls.chats.len() + calls.approvals.len();
        let count = 2 * (calls.turns.len() + inner);
        assert_eq!(
            events.len(),
            count,
            "a call of another operation, or an open one"
        );
        for inner in calls.tools.iter().chain(&calls.chats) {
            calls.check_inner(inner);
        }
        calls.turns.iter().for_each(check_phases);
        calls
    }

    /// Returns the calls of a turn: itself, its tools and its model responses.
    pub(crate) fn of(&self, turn: &Turn) -> OfTurn<'_> {
        let is_turn = |event: &&Event| {
            event.turn_id() == turn.turn_id.as_deref()
                && event.thread_id() == turn.thread_id.as_deref()
        };
        let event = self.turns.iter().find(is_turn);
        let event = event.unwrap_or_else(|| panic!("no call of {turn:?}"));
        self.inside(event)
    }

    /// Returns the calls inside of a turn's.
    pub(crate) fn inside<'a>(&'a self, turn: &'a Event) -> OfTurn<'a> {
        let inside = |events: &'a [Event]| {
            let is_inside = |event: &&Event| event.parent_span_id() == Some(turn.span_id());
            events.iter().filter(is_inside).collect()
        };
        OfTurn {
            turn,
            tools: inside(&self.tools),
            chats: inside(&self.chats),
        }
    }

    fn check_inner(&self, tool: &Event) {
        let turn = self
            .turns
            .iter()
            .find(|turn| Some(turn.span_id()) == tool.parent_span_id())
            .unwrap_or_else(|| panic!("{tool:?} is in no turn"));
        assert_eq!(tool.trace_id(), turn.trace_id());
        assert_eq!(tool.originator(), turn.originator());
        assert_eq!(tool.thread_id(), turn.thread_id());
        assert_eq!(tool.turn_id(), turn.turn_id());
        let within =
            |event: &Event| -> (SystemTime, SystemTime) { (event.start_time(), event.time()) };
        let ((tool_start, tool_end), (turn_start, turn_end)) = (within(tool), within(turn));
        assert!(turn_start <= tool_start, "{tool:?} started before its turn");
        assert!(tool_end <= turn_end, "{tool:?} ended after its turn");
    }

    /// Returns the only turn.
    pub(crate) fn turn(&self) -> &Event {
        let [turn] = &self.turns[..] else {
            panic!("{} turns", self.turns.len());
        };
        assert_eq!(turn.originator(), Some(&Originator::Sdk));
        turn
    }

    /// Returns the only tool call.
    pub(crate) fn tool(&self) -> &Event {
        let [tool] = &self.tools[..] else {
            panic!("{} tool calls", self.tools.len());
        };
        tool
    }
}

/// Checks that the phases of a turn add up to its duration, and that the event tells them everywhere alike.
fn check_phases(turn: &Event) {
    let phases = turn.phases().expect("a turn has phases");
    let duration = turn.duration().unwrap();
    assert_eq!(phases.total(), duration, "{phases:?}");

    let changes = phases.changes();
    assert_eq!(changes[0].0, Duration::ZERO, "{phases:?}");
    let is_ascending = changes.is_sorted_by(|one, next| one.0 < next.0 && one.1 != next.1);
    assert!(is_ascending, "{phases:?}");
    let ends = changes[1..].iter().map(|(at, _)| *at).chain([duration]);
    let drawn = changes.iter().zip(ends);
    let drawn = drawn.fold(Phases::new(), |drawn, ((at, phase), end)| {
        drawn.with(*phase, end.checked_sub(*at).unwrap())
    });
    for phase in Phase::ALL.iter().copied() {
        let known = phases.get(phase);
        assert_eq!(
            drawn.get(phase).unwrap_or_default(),
            known.unwrap_or_default(),
            "{phase:?} in {phases:?}"
        );
        assert_eq!(millis(turn, phase.attribute()), known.map(as_millis));
    }
    let waited_for = (turn.outcome() != Some(Outcome::Ok)).then(|| phases.last().unwrap());
    let told = turn.attribute(names::PHASE).map(Value::as_str);
    assert_eq!(told.as_deref(), waited_for.map(Phase::as_str));
    let first_token = phases.time_to_first_token();
    assert!(first_token <= Some(duration));
    assert_eq!(
        millis(turn, names::TIME_TO_FIRST_TOKEN),
        first_token.map(as_millis)
    );
}

fn as_millis(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}

/// Returns an attribute of a call that is a number of milliseconds.
fn millis(event: &Event, key: &str) -> Option<f64> {
    match event.attribute(key)? {
        Value::F64(millis) => Some(*millis),
        other => panic!("{key} is {other:?}"),
    }
}

/// Asserts that a call succeeded, without an error class and without standard error.
pub(crate) fn assert_ok(event: &Event) {
    assert_eq!(event.outcome(), Some(Outcome::Ok), "{event:?}");
    assert_eq!(event.kind(), EventKind::Stop);
    assert_eq!(event.error_class(), None);
    assert_eq!(event.attribute(names::STDERR_TAIL), None);
}

/// Returns a numeric attribute of a call.
pub(crate) fn number(event: &Event, key: &str) -> Option<i64> {
    match event.attribute(key)? {
        Value::I64(number) => Some(*number),
        other => panic!("{key} is {other:?}"),
    }
}

use std::sync::Arc;

use opentelemetry::StringValue;

use crate::event::{
    Beginning, CallIds, CallStart, Clock, Emitter, Ending, Event, Interest, Operation, Parent,
    Record, RecordHandle,
};

/// A call that has begun.
#[derive(Clone, Debug)]
pub(crate) struct OpenCall(RecordHandle);

impl OpenCall {
    /// Opens a call and emits its start, if that is wanted. The parent is the open call if there is one, or else the span that
    /// the request names, on behalf of `agent`.
    #[inline]
    pub(crate) fn open(
        emitter: &Arc<Emitter>,
        interest: Interest,
        start: CallStart,
        parent: Option<&Record>,
        agent: Option<&Arc<Box<str>>>,
    ) -> Self {
        Self::open_at(Beginning::now, emitter, interest, start, parent, agent)
    }

    #[inline]
    fn open_at(
        begins: impl FnOnce(&Clock) -> Beginning,
        emitter: &Arc<Emitter>,
        interest: Interest,
        start: CallStart,
        parent: Option<&Record>,
        agent: Option<&Arc<Box<str>>>,
    ) -> Self {
        let named = || start.ids.as_ref()?.parent.as_ref();
        #[cfg(all(feature = "turn", unix))]
        let parent = parent.or(start.outer.as_deref());
        let parent = match parent {
            Some(call) => Some(Parent {
                trace_id: call.trace_id,
                span_id: call.span_id,
                flags: call.flags,
                agent: call.agent.clone(),
            }),
            None => named().map(|span| Parent {
                trace_id: span.trace_id(),
                span_id: span.span_id(),
                flags: span.trace_flags(),
                agent: agent.cloned(),
            }),
        };
        let record = Record::begin(start, parent, Arc::clone(emitter), interest, begins);
        if !interest.in_starts() {
            return Self(record);
        }
        let start = Event::start(record);
        emitter.emit_start(&start);
        Self(start.into_record())
    }

    /// Opens a child call with the same sink. Returns `None` if this call has ended or the sink is off.
    pub(crate) fn open_child(
        &self,
        operation: Operation,
        name: Option<StringValue>,
        call_id: Option<StringValue>,
    ) -> Option<Self> {
        self.open_child_at(Beginning::now, operation, name, call_id)
    }

    /// Like [`open_child`](Self::open_child), but the call began some time ago, or with its parent if that began
    /// later.
    ///
    /// If the machine was suspended since, the call begins after that: nobody knows whether it had begun before.
    #[cfg(any(test, all(feature = "turn", unix)))]
    pub(crate) fn open_child_since(
        &self,
        ago: std::time::Duration,
        operation: Operation,
        name: Option<StringValue>,
        call_id: Option<StringValue>,
    ) -> Option<Self> {
        let begins = |clock: &Clock| self.0.beginning_of_child(clock, ago);
        self.open_child_at(begins, operation, name, call_id)
    }

    fn open_child_at(
        &self,
        begins: impl FnOnce(&Clock) -> Beginning,
        operation: Operation,
        name: Option<StringValue>,
        call_id: Option<StringValue>,
    ) -> Option<Self> {
        let emitter = self.0.emitter()?;
        let interest = emitter.interest();
        if interest.is_none() {
            return None;
        }
        let inherited = self.0.current_ids();
        let ids = CallIds {
            call_id,
            ..inherited.as_deref().cloned().unwrap_or_default()
        };
        let start = CallStart {
            operation,
            name,
            originator: self.0.current_originator(),
            ids: Some(Arc::new(ids)),
            attempt: 1,
            #[cfg(all(feature = "turn", unix))]
            outer: None,
            #[cfg(all(feature = "turn", unix))]
            has_phases: false,
        };
        let parent = Some(&*self.0);
        Some(Self::open_at(
            begins, &emitter, interest, start, parent, None,
        ))
    }

    #[inline]
    pub(crate) fn record(&self) -> &RecordHandle {
        &self.0
    }

    #[cfg(all(feature = "turn", unix))]
    #[inline]
    pub(crate) fn into_record(self) -> RecordHandle {
        self.0
    }

    /// Ends the call, unless it has ended before.
    #[inline]
    pub(crate) fn end(self, ending: Ending) {
        Record::end(self.0, ending);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Mutex,
        time::{Duration, SystemTime, UNIX_EPOCH},
    };

    use opentelemetry::TraceId;

    use super::*;
    use crate::event::{Emit, ManualClock, Outcome};

    /// Keeps the events.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Event>>>);

    impl Emit for Kept {
        fn interest(&self) -> Interest {
            Interest::ALL
        }

        fn emit_start(&self, event: &Event) {
            self.emit(event.clone());
        }

        fn sample(&self, _: TraceId, _: Option<bool>) -> Option<bool> {
            None
        }

        fn captures_content(&self, _: bool) -> bool {
            false
        }

        fn emit(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    /// Returns when the turn begins.
    fn begin() -> SystemTime {
        UNIX_EPOCH + 24 * HOUR
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// Opens a turn, lets `before` pass, opens a chat call that began `ago`, lets `after` pass and ends both.
    /// Returns the start and the end of the chat, and the end of the turn.
    fn chat(
        ago: Duration,
        before: impl FnOnce(&ManualClock),
        after: impl FnOnce(&ManualClock),
    ) -> [Event; 3] {
        chat_that_ends(Duration::ZERO, ago, before, after)
    }

    /// Like [`chat`], but the chat call ended some time before it is ended.
    fn chat_that_ends(
        earlier: Duration,
        ago: Duration,
        before: impl FnOnce(&ManualClock),
        after: impl FnOnce(&ManualClock),
    ) -> [Event; 3] {
        let kept = Kept::default();
        let (clock, manual) = Clock::manual(begin());
        let emitter: Arc<Emitter> = Arc::new(Emitter::new(clock, kept.clone()));
        let start = CallStart {
            operation: Operation::Turn,
            name: None,
            originator: None,
            ids: None,
            attempt: 1,
            #[cfg(all(feature = "turn", unix))]
            outer: None,
            #[cfg(all(feature = "turn", unix))]
            has_phases: false,
        };
        let turn = OpenCall::open(&emitter, Interest::ALL, start, None, None);
        before(&manual);
        let chat = turn
            .open_child_since(ago, Operation::Chat, None, None)
            .unwrap();
        after(&manual);
        chat.end(Ending::Since(earlier, Outcome::Ok));
        turn.end(Ending::Now(Outcome::Ok));
        let events = kept.0.lock().unwrap();
        [1, 2, 3].map(|index| events[index].clone())
    }

    #[test]
    fn a_child_that_is_opened_late_began_some_time_ago() {
        let advance = |clock: &ManualClock| clock.advance(secs(5));
        let [start, end, _] = chat(secs(3), advance, advance);
        assert_eq!(start.time(), begin() + secs(2));
        assert_eq!(end.start_time(), begin() + secs(2));
        assert_eq!(end.duration(), Some(secs(8)));
        assert_eq!(end.time(), begin() + secs(10));
    }

    #[test]
    fn a_child_that_is_opened_late_does_not_begin_before_its_parent() {
        for ago in [secs(5), secs(6), HOUR, Duration::MAX] {
            let advance = |clock: &ManualClock| clock.advance(secs(5));
            let [_, end, turn] = chat(ago, advance, advance);
            assert_eq!(end.start_time(), turn.start_time());
            assert_eq!(end.duration(), Some(secs(10)));
            assert_eq!(end.time(), turn.time());
        }
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_put_a_late_child_before_its_parent() {
        let before = |clock: &ManualClock| {
            clock.advance(secs(5));
            clock.set_wall(begin() - HOUR);
        };
        let [start, end, turn] = chat(secs(3), before, |clock| clock.advance(secs(1)));
        assert_eq!(start.time(), turn.start_time());
        assert_eq!(end.duration(), Some(secs(4)));
        assert_eq!(end.time(), turn.start_time() + secs(4));
        assert!(end.time() <= turn.time());
    }

    #[test]
    fn a_late_child_begins_after_a_suspension_before_it_was_opened() {
        let before = |clock: &ManualClock| {
            clock.advance(secs(5));
            clock.suspend(HOUR);
        };
        let [_, end, turn] = chat(secs(3), before, |clock| clock.advance(secs(1)));
        assert_eq!(end.start_time(), begin() + HOUR + secs(2));
        assert_eq!(end.duration(), Some(secs(4)));
        assert_eq!(end.time(), begin() + HOUR + secs(6));
        assert_eq!(end.time(), turn.time());
    }

    #[test]
    fn a_late_child_that_is_open_over_a_suspension_ends_at_the_right_time() {
        let advance = |clock: &ManualClock| clock.advance(secs(5));
        let [_, end, turn] = chat(secs(3), advance, |clock| {
            clock.advance(secs(1));
            clock.suspend(HOUR);
        });
        assert_eq!(end.start_time(), begin() + secs(2));
        assert_eq!(end.duration(), Some(secs(4)));
        assert_eq!(end.time(), begin() + HOUR + secs(6));
        assert_eq!(end.time(), turn.time());
    }

    #[test]
    fn a_call_whose_end_is_learned_of_late_ended_some_time_ago() {
        let advance = |clock: &ManualClock| clock.advance(secs(5));
        let [_, end, turn] = chat_that_ends(secs(2), secs(3), advance, advance);
        assert_eq!(end.start_time(), begin() + secs(2));
        assert_eq!(end.duration(), Some(secs(6)));
        assert_eq!(end.time(), begin() + secs(8));
        assert_eq!(turn.time(), begin() + secs(10));
    }

    #[test]
    fn a_call_does_not_end_before_it_begins() {
        for earlier in [secs(8), secs(9), HOUR, Duration::MAX] {
            let advance = |clock: &ManualClock| clock.advance(secs(5));
            let [_, end, _] = chat_that_ends(earlier, secs(3), advance, advance);
            assert_eq!(end.duration(), Some(Duration::ZERO));
            assert_eq!(end.time(), end.start_time());
        }
    }

    #[test]
    fn a_call_that_ended_before_it_is_ended_has_the_suspension_that_it_was_open_over() {
        let advance = |clock: &ManualClock| clock.advance(secs(5));
        let [_, end, turn] = chat_that_ends(secs(1), secs(3), advance, |clock| {
            clock.suspend(HOUR);
            clock.advance(secs(4));
        });
        assert_eq!(end.duration(), Some(secs(6)));
        assert_eq!(end.time(), begin() + HOUR + secs(8));
        assert_eq!(turn.time(), begin() + HOUR + secs(9));
    }
}

//! Keeps the spans of failed traces that were not sampled: a tail decision.

use std::collections::{BTreeMap, HashMap, HashSet};

use opentelemetry::TraceId;

use super::{recent::Recent, shard::DroppedCall};
use crate::event::{Event, Outcome};

/// Holds the ended calls of traces that were not sampled, until none of a trace's calls is open.
///
/// If one of them failed, all become spans. It is bounded: over a limit, the oldest trace is decided on what
/// it has.
pub(crate) struct Tail {
    limits: TailLimits,
    traces: HashMap<TraceId, Trace>,
    /// The ids of `traces`, in the order in which they came.
    by_age: BTreeMap<u64, TraceId>,
    next: u64,
    held: usize,
    held_bytes: usize,
    /// Failed traces that were decided before their end. What follows is exported as well.
    exported: Recent,
}

/// The limits of what a [`Tail`] holds.
#[derive(Clone, Copy)]
pub(crate) struct TailLimits {
    pub(crate) traces: usize,
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

#[derive(Default)]
struct Trace {
    number: u64,
    open_calls: usize,
    has_failed: bool,
    ended: Vec<Event>,
    bytes: usize,
}

// === impl Tail ===

impl Tail {
    pub(crate) fn new(limits: TailLimits) -> Self {
        Self {
            limits,
            traces: HashMap::new(),
            by_age: BTreeMap::new(),
            next: 0,
            held: 0,
            held_bytes: 0,
            exported: Recent::default(),
        }
    }

    /// Takes the events that came since the last time, and returns those that become spans.
    ///
    /// The events may be in any order. But an event has to be among them if one is that came after it, such
    /// as the end of its parent. The queue has dropped those of `dropped`.
    pub(crate) fn decide(&mut self, events: &[Event], dropped: &[DroppedCall]) -> Vec<Event> {
        let mut spans = Vec::new();
        let mut touched = HashSet::new();
        let is_unsampled = |event: &&Event| !event.is_sampled();
        let (ends, starts): (Vec<_>, Vec<_>) = events
            .iter()
            .filter(is_unsampled)
            .partition(|event| event.kind().is_terminal());
        // All starts first: a call may have begun on another thread than the one before it ended on.
        let starts = starts.into_iter().map(|event| (event.trace_id(), None));
        for (id, outcome) in starts.chain(dropped.iter().copied()) {
            if outcome.is_none() && !self.exported.contains(id) {
                self.trace(id).open_calls += 1;
            }
        }
        for (id, outcome) in dropped {
            if let (Some(outcome), Some(trace)) = (outcome, self.traces.get_mut(id)) {
                trace.end_call(*outcome);
                touched.insert(*id);
            }
        }
        for event in ends {
            if self.exported.contains(event.trace_id()) {
                spans.push(event.clone());
                continue;
            }
            self.hold(event);
            touched.insert(event.trace_id());
        }
        for id in touched {
            let trace = self.traces.get(&id);
            if trace.is_some_and(|trace| trace.open_calls == 0) {
                spans.extend(self.remove(id));
            }
        }
        while self.is_over_limit()
            && let Some((_, oldest)) = self.by_age.first_key_value()
        {
            let oldest = *oldest;
            if self
                .traces
                .get(&oldest)
                .is_some_and(|trace| trace.has_failed)
            {
                self.exported.insert(oldest, self.limits.traces);
            }
            spans.extend(self.remove(oldest));
        }
        spans
    }

    /// Decides all traces on what they have, and returns the events that become spans.
    pub(crate) fn decide_all(&mut self) -> Vec<Event> {
        let ids: Vec<_> = self.by_age.values().copied().collect();
        ids.into_iter().flat_map(|id| self.remove(id)).collect()
    }

    fn is_over_limit(&self) -> bool {
        self.traces.len() > self.limits.traces
            || self.held > self.limits.events
            || self.held_bytes > self.limits.bytes
    }

    fn trace(&mut self, id: TraceId) -> &mut Trace {
        self.traces.entry(id).or_insert_with(|| {
            let number = self.next;
            self.next += 1;
            self.by_age.insert(number, id);
            Trace {
                number,
                ..Trace::default()
            }
        })
    }

    fn hold(&mut self, event: &Event) {
        let size = event.estimated_size();
        self.held += 1;
        self.held_bytes += size;
        let trace = self.trace(event.trace_id());
        trace.bytes += size;
        trace.ended.push(event.clone());
        if let Some(outcome) = event.outcome() {
            trace.end_call(outcome);
        }
    }

    /// Removes a trace, and returns its events if one of its calls failed.
    fn remove(&mut self, id: TraceId) -> Vec<Event> {
        let Some(trace) = self.traces.remove(&id) else {
            return Vec::new();
        };
        self.by_age.remove(&trace.number);
        self.held -= trace.ended.len();
        self.held_bytes -= trace.bytes;
        if trace.has_failed {
            trace.ended
        } else {
            Vec::new()
        }
    }
}

// === impl Trace ===

impl Trace {
    fn end_call(&mut self, outcome: Outcome) {
        // Its start may have been decided before.
        self.open_calls = self.open_calls.saturating_sub(1);
        self.has_failed |= matches!(outcome, Outcome::Error | Outcome::Panic);
    }
}

#[cfg(test)]
mod tests {
    use tower::{Layer, Service, service_fn};

    use super::{
        super::queue::{Cut, Queue},
        *,
    };
    use crate::{Call, CallContext, ErrorClass, MemorySink, Operation, Sink, TimingLayer};

    const LIMITS: TailLimits = TailLimits {
        traces: 10,
        events: 100,
        bytes: 1 << 20,
    };

    struct Unsampled(MemorySink);

    impl Sink for Unsampled {
        fn emit(&self, event: Event) {
            self.0.emit(event);
        }

        fn sample(&self, _: TraceId, _: Option<bool>) -> Option<bool> {
            Some(false)
        }

        fn captures_content(&self, is_sampled: bool) -> bool {
            self.0.captures_content(is_sampled)
        }
    }

    /// Returns the events of a turn in which `work` runs.
    fn turn(work: impl FnMut(&CallContext)) -> Vec<Event> {
        let sink = MemorySink::capturing_content();
        let work = std::cell::RefCell::new(work);
        let mut service =
            TimingLayer::new(Unsampled(sink.clone())).layer(service_fn(|call: Call<()>| {
                (work.borrow_mut())(&call.context);
                std::future::ready(Ok::<_, ()>(()))
            }));
        let call = std::pin::pin!(service.call(Call::new(Operation::Turn, ())));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(call.poll(&mut context).is_ready());
        sink.take()
    }

    /// Returns the events of a turn with this many good tool calls, and a last one that may fail.
    fn turn_of(good: usize, fails: bool) -> Vec<Event> {
        turn(|context| {
            for _ in 0..good {
                context.open_child(Operation::Tool, None, None).finish();
            }
            if fails {
                let tool = context.open_child(Operation::Tool, None, None);
                tool.fail(ErrorClass::ToolFailed);
            }
        })
    }

    #[test]
    fn a_trace_with_a_failure_is_kept_whole_once_no_call_is_open() {
        let mut tail = Tail::new(LIMITS);
        let events = turn_of(2, true);
        let (root_end, before) = events.split_last().unwrap();
        for event in before {
            assert!(tail.decide(std::slice::from_ref(event), &[]).is_empty());
        }
        assert_eq!(tail.decide(std::slice::from_ref(root_end), &[]).len(), 4);
        assert!(tail.traces.is_empty() && tail.by_age.is_empty());
        assert_eq!((tail.held, tail.held_bytes), (0, 0));
    }

    #[test]
    fn a_trace_without_a_failure_is_forgotten() {
        let mut tail = Tail::new(LIMITS);
        assert!(tail.decide(&turn_of(3, false), &[]).is_empty());
        assert!(tail.traces.is_empty() && tail.decide_all().is_empty());
    }

    #[test]
    fn the_order_of_the_events_within_a_cut_does_not_matter() {
        let mut events = turn_of(3, true);
        for round in 0..50 {
            fastrand::Rng::with_seed(round).shuffle(&mut events);
            assert_eq!(Tail::new(LIMITS).decide(&events, &[]).len(), 5);
        }
    }

    #[test]
    fn an_end_whose_start_was_dropped_is_decided() {
        let mut tail = Tail::new(LIMITS);
        let events = turn_of(0, true);
        assert_eq!(tail.decide(&events[2..], &[]).len(), 2);
        assert!(tail.traces.is_empty());
    }

    #[test]
    fn calls_of_which_a_full_queue_dropped_an_event_neither_hold_a_trace_nor_decide_it_early() {
        for dropped in 0..4 {
            let (mut tail, mut cut) = (Tail::new(LIMITS), Cut::default());
            let queue = Queue::new(1, 1 << 20, 1);
            let mut spans = Vec::new();
            for (number, event) in turn_of(0, true).into_iter().enumerate() {
                if number == dropped {
                    queue.push(event.clone());
                }
                queue.push(event);
                queue.take(&mut cut);
                if number == dropped {
                    cut.events.clear();
                }
                spans.extend(tail.decide(&cut.events, &cut.dropped_calls));
                cut.events.clear();
                assert!(number == 3 || spans.is_empty(), "decided early");
            }
            // The start of the turn, of the tool, the end of the tool, which has failed, of the turn.
            assert_eq!(spans.len(), [2, 2, 1, 1][dropped], "{dropped}");
            assert!(tail.traces.is_empty(), "{dropped}");
        }
    }

    #[test]
    fn over_a_limit_the_oldest_trace_is_decided_on_what_it_has() {
        let limits = TailLimits {
            traces: 2,
            ..LIMITS
        };
        let mut tail = Tail::new(limits);
        let traces = [
            turn_of(0, true),
            turn_of(1, false),
            turn_of(0, true),
            turn_of(0, true),
        ];
        let open = |events: &[Event]| events[..events.len() - 1].to_vec();
        assert!(tail.decide(&open(&traces[0]), &[]).is_empty());
        assert!(tail.decide(&open(&traces[1]), &[]).is_empty());
        // The first one had a failure, the second had none.
        assert_eq!(tail.decide(&open(&traces[2]), &[]).len(), 1);
        assert!(tail.decide(&open(&traces[3]), &[]).is_empty());
        assert_eq!(tail.traces.len(), 2);
        // What follows of the first one is exported, too; of the second, only what fails.
        assert_eq!(tail.decide(&traces[0][3..], &[]).len(), 1);
        assert!(tail.decide(&traces[1][3..], &[]).is_empty());
        assert_eq!(tail.decide_all().len(), 2);
    }

    #[test]
    fn a_trace_whose_failure_was_dropped_is_exported_after_it_was_decided() {
        let limits = TailLimits {
            traces: 1,
            ..LIMITS
        };
        let mut tail = Tail::new(limits);
        let (failed, other) = (turn_of(0, true), turn_of(0, false));
        let dropped = (failed[2].trace_id(), failed[2].outcome());
        assert!(tail.decide(&failed[..2], &[dropped]).is_empty());
        assert!(tail.decide(&other[..1], &[]).is_empty());
        assert_eq!(tail.decide(&failed[3..], &[]).len(), 1);
    }

    #[test]
    fn what_is_held_is_bounded_in_events_and_in_bytes() {
        for limits in [
            TailLimits {
                events: 10,
                ..LIMITS
            },
            TailLimits {
                bytes: 10 * 1024,
                ..LIMITS
            },
        ] {
            let mut tail = Tail::new(limits);
            for _ in 0..20 {
                let events = turn_of(4, false);
                tail.decide(&events[..events.len() - 1], &[]);
                assert!(tail.held <= limits.events && tail.held_bytes <= limits.bytes);
            }
            assert!(!tail.traces.is_empty());
        }
    }

    #[test]
    fn contents_count_as_bytes() {
        let mut tail = Tail::new(LIMITS);
        let events = turn(|context| {
            let tool = context.open_child(Operation::Tool, None, None);
            tool.record_content("key", || "x".repeat(10_000));
            tool.finish();
        });
        tail.decide(&events[..events.len() - 1], &[]);
        assert!(tail.held_bytes > 10_000, "{}", tail.held_bytes);
    }

    #[test]
    fn the_memory_of_exported_traces_is_bounded() {
        let limits = TailLimits {
            traces: 3,
            ..LIMITS
        };
        let mut tail = Tail::new(limits);
        for _ in 0..20 {
            let events = turn_of(0, true);
            tail.decide(&events[..events.len() - 1], &[]);
        }
        assert_eq!(tail.exported.len(), 3);
    }
}

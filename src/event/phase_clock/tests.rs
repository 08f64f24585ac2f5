use std::{
    convert::Infallible,
    future::{Future, pending, ready},
    pin::pin,
    task::{Context, Poll, Waker},
    time::UNIX_EPOCH,
};

use tower::{Layer, Service, service_fn};

use super::*;
use crate::{
    call::{Call, CallContext},
    event::{Event, ManualClock, Operation, Outcome, names},
    sink::MemorySink,
    timing::TimingLayer,
};

const MS: Duration = Duration::from_millis(1);

/// What a turn of the tests has: its clock, and the hand that advances it.
struct Rig {
    phases: Arc<PhaseClock>,
    hand: ManualClock,
}

impl Rig {
    fn spend(&self, millis: u32) {
        self.hand.advance(millis * MS);
    }
}

/// A layer whose calls have a manual clock, and its sink.
struct Calls {
    sink: MemorySink,
    timing: TimingLayer,
    hand: ManualClock,
}

impl Calls {
    fn new() -> Self {
        let sink = MemorySink::new();
        let (clock, hand) = Clock::manual(UNIX_EPOCH);
        let timing = TimingLayer::with_clock(sink.clone(), clock);
        Self { sink, timing, hand }
    }

    fn begin(&self, context: &CallContext) -> Rig {
        Rig {
            phases: context.begin_phases(),
            hand: self.hand.clone(),
        }
    }

    /// Makes a call of a turn, which has to return at once.
    fn run<E>(&self, turn: impl FnMut(CallContext) -> Result<(), E>) {
        let mut turn = turn;
        let inner = service_fn(move |call: Call<()>| ready(turn(call.context)));
        let mut service = self.timing.layer(inner);
        let future = pin!(service.call(turn_call()));
        assert!(poll(future).is_ready());
    }

    /// Returns the terminal events, in their order.
    fn ends(&self) -> Vec<Event> {
        let mut events = self.sink.events();
        events.retain(|event| event.kind().is_terminal());
        events
    }
}

fn turn_call() -> Call<()> {
    Call::new(Operation::Turn, ())
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Returns the phases of a turn that returns at once.
fn phases_of(turn: impl Fn(&Rig)) -> Phases {
    let calls = Calls::new();
    calls.run(|context| {
        let rig = calls.begin(&context);
        turn(&rig);
        rig.phases.freeze();
        Ok::<_, Infallible>(())
    });
    phases(&calls.ends()[0])
}

/// Returns the phases of a call that has ended. They add up to its duration, and so do their changes.
fn phases(event: &Event) -> Phases {
    let phases = event.phases().expect("it is a turn").clone();
    let duration = event.duration().expect("it has ended");
    assert_eq!(phases.total(), duration, "{phases:?}");
    let changes = phases.changes();
    assert_eq!(changes[0].0, Duration::ZERO);
    if changes.len() < Phases::MAX_CHANGES {
        let ends = changes[1..].iter().map(|(at, _)| *at).chain([duration]);
        let mut rebuilt = Phases::new();
        for ((at, phase), end) in changes.iter().zip(ends) {
            assert!(end >= *at, "{phases:?}");
            rebuilt.add(*phase, end - *at);
        }
        for phase in Phase::ALL {
            let known = phases.get(*phase).unwrap_or_default();
            assert_eq!(rebuilt.get(*phase).unwrap_or_default(), known, "{phases:?}");
        }
    }
    phases
}

/// Returns the phases that took time, with their milliseconds, in the order of [`Phase::ALL`].
fn times(phases: &Phases) -> Vec<(Phase, u128)> {
    let times = phases.iter().map(|(phase, time)| (phase, time.as_millis()));
    times.filter(|(_, millis)| *millis > 0).collect()
}

fn changes(phases: &Phases) -> Vec<(u128, Phase)> {
    let changes = phases.changes().iter();
    changes
        .map(|(at, phase)| (at.as_millis(), *phase))
        .collect()
}

fn phase_attribute(event: &Event) -> Option<String> {
    event
        .attribute(names::PHASE)
        .map(|phase| phase.as_str().into_owned())
}

// --- Phases of one attempt

#[test]
fn each_phase_has_the_time_in_which_it_was_in_force() {
    let phases = phases_of(|turn| {
        turn.spend(1);
        turn.phases.starting_up();
        turn.spend(2);
        turn.phases.model_asked();
        turn.spend(4);
        turn.phases.set_tools(true);
        turn.spend(8);
        let wait = turn.phases.approval();
        turn.spend(16);
        drop(wait);
        turn.phases.set_tools(false);
        turn.phases.retrying();
        turn.spend(32);
        turn.phases.turn_completed();
        turn.spend(64);
    });
    let expected = Phase::ALL.iter().copied().zip([1, 2, 4, 8, 16, 32, 64]);
    assert_eq!(times(&phases), Vec::from_iter(expected));
    let expected = [
        (0, Phase::Wait),
        (1, Phase::Startup),
        (3, Phase::Model),
        (7, Phase::Tools),
        (15, Phase::Approval),
        (31, Phase::Retry),
        (63, Phase::Other),
    ];
    assert_eq!(changes(&phases), expected);
    assert_eq!(phases.last(), Some(Phase::Other));
}

#[test]
fn of_phases_that_apply_at_once_the_first_of_the_order_counts() {
    let phases = phases_of(|turn| {
        turn.phases.model_asked();
        // From the last to the first, each beside those before it.
        turn.spend(1);
        turn.phases.set_tools(true);
        turn.spend(1);
        turn.phases.writing();
        turn.spend(1);
        turn.phases.retrying();
        turn.spend(1);
        let wait = turn.phases.approval();
        turn.spend(1);
        drop(wait);
        turn.spend(1);
        // The model goes on to write.
        turn.phases.writing();
        turn.spend(1);
        turn.phases.written();
        turn.spend(1);
        turn.phases.set_tools(false);
        turn.spend(1);
    });
    let expected = [
        (0, Phase::Model),
        (1, Phase::Tools),
        (2, Phase::Model),
        (3, Phase::Retry),
        (4, Phase::Approval),
        (5, Phase::Retry),
        (6, Phase::Model),
        (7, Phase::Tools),
        (8, Phase::Model),
    ];
    assert_eq!(changes(&phases), expected);
}

#[test]
fn of_questions_that_wait_at_once_the_last_answer_ends_the_phase() {
    let phases = phases_of(|turn| {
        turn.phases.model_asked();
        let first = turn.phases.approval();
        turn.spend(1);
        let second = turn.phases.approval();
        turn.spend(1);
        drop(first);
        turn.spend(1);
        drop(second);
        turn.spend(1);
    });
    assert_eq!(times(&phases), [(Phase::Model, 1), (Phase::Approval, 3)]);
}

#[test]
fn a_phase_of_no_time_is_no_change() {
    let phases = phases_of(|turn| {
        turn.phases.starting_up();
        turn.phases.model_asked();
        turn.spend(1);
        // Back to where it was.
        turn.phases.set_tools(true);
        turn.phases.set_tools(false);
        turn.spend(1);
        // And to another one.
        turn.phases.set_tools(true);
        turn.phases.set_tools(false);
        turn.phases.retrying();
        turn.spend(1);
    });
    assert_eq!(changes(&phases), [(0, Phase::Model), (2, Phase::Retry)]);
}

#[test]
fn a_turn_that_takes_no_time_has_the_phase_in_which_it_ended() {
    let phases = phases_of(|turn| turn.phases.starting_up());
    assert_eq!(times(&phases), []);
    assert_eq!(changes(&phases), [(0, Phase::Startup)]);
    assert_eq!(phases.last(), Some(Phase::Startup));
}

#[test]
fn the_last_of_too_many_changes_is_other_and_the_times_are_right_all_the_same() {
    for count in [
        Phases::MAX_CHANGES - 1,
        Phases::MAX_CHANGES,
        Phases::MAX_CHANGES + 1,
        3 * Phases::MAX_CHANGES,
    ] {
        let phases = phases_of(|turn| {
            turn.spend(1);
            turn.phases.model_asked();
            // The wait and the model are two of them.
            for number in 0..count - 2 {
                turn.spend(1);
                turn.phases.set_tools(number % 2 == 0);
            }
            turn.spend(1);
        });
        let changes = changes(&phases);
        assert_eq!(changes.len(), count.min(Phases::MAX_CHANGES));
        let last = changes.last().unwrap().1;
        assert_eq!(last == Phase::Other, count >= Phases::MAX_CHANGES);
        let tools = u128::try_from(count / 2 - 1 + count % 2).unwrap();
        let model = u128::try_from(count).unwrap() - 1 - tools;
        assert_eq!(
            times(&phases),
            [
                (Phase::Wait, 1),
                (Phase::Model, model),
                (Phase::Tools, tools)
            ],
        );
    }
}

#[cfg(feature = "otlp")]
#[test]
fn the_changes_of_a_turn_count_in_the_estimated_size_of_its_event() {
    let calls = Calls::new();
    let size_with = |changes: usize| {
        calls.run(|context| {
            let turn = calls.begin(&context);
            for number in 0..changes {
                turn.spend(1);
                turn.phases.set_tools(number % 2 == 0);
            }
            Ok::<_, Infallible>(())
        });
        calls.ends().last().unwrap().estimated_size()
    };
    let change = size_of::<(Duration, Phase)>();
    assert!(size_with(200) >= size_with(0) + 200 * change);
}

#[test]
fn what_the_machine_slept_is_in_no_phase() {
    let phases = phases_of(|turn| {
        turn.phases.model_asked();
        turn.spend(1);
        turn.hand.suspend(Duration::from_secs(3600));
        turn.phases.set_tools(true);
        turn.spend(2);
    });
    assert_eq!(times(&phases), [(Phase::Model, 1), (Phase::Tools, 2)]);
}

#[test]
fn approvals_are_absent_until_they_can_be_told() {
    let none = phases_of(|turn| turn.spend(1));
    assert_eq!(none.get(Phase::Approval), None);
    assert_eq!(none.iter().count(), Phase::ALL.len() - 1);
    let told = phases_of(|turn| turn.phases.tells_approvals());
    assert_eq!(told.get(Phase::Approval), Some(Duration::ZERO));
    let asked = phases_of(|turn| drop(turn.phases.approval()));
    assert_eq!(asked.get(Phase::Approval), Some(Duration::ZERO));
}

#[test]
fn the_first_token_is_that_of_the_first_text() {
    let phases = phases_of(|turn| {
        turn.phases.first_token(3 * MS);
        turn.phases.first_token(5 * MS);
    });
    assert_eq!(phases.time_to_first_token(), Some(3 * MS));
}

#[test]
fn a_tool_begins_with_the_end_of_its_response_although_a_retry_ends_with_that() {
    let phases = phases_of(|turn| {
        turn.phases.model_asked();
        turn.phases.retrying();
        turn.spend(1);
        turn.phases.response_ended();
        turn.spend(2);
        turn.phases.set_tools(true);
        turn.spend(4);
    });
    assert_eq!(times(&phases), [(Phase::Tools, 6), (Phase::Retry, 1)]);
}

// --- Ends

#[test]
fn a_frozen_turn_keeps_its_last_phase_and_the_rest_of_its_time_is_other() {
    let calls = Calls::new();
    calls.run(|context| {
        let turn = calls.begin(&context);
        turn.phases.model_asked();
        turn.phases.set_tools(true);
        let wait = turn.phases.approval();
        turn.spend(1);
        turn.phases.freeze();
        // What is dropped with it, and what comes too late.
        drop(wait);
        turn.phases.set_tools(false);
        turn.phases.retrying();
        turn.phases.turn_completed();
        turn.spend(2);
        turn.phases.freeze();
        Err(())
    });
    let ends = calls.ends();
    let phases = phases(&ends[0]);
    assert_eq!(times(&phases), [(Phase::Approval, 1), (Phase::Other, 2)]);
    assert_eq!(phases.last(), Some(Phase::Approval));
    assert_eq!(phase_attribute(&ends[0]).as_deref(), Some("approval"));
}

#[test]
fn the_phase_of_a_turn_is_told_unless_it_has_completed() {
    let calls = Calls::new();
    for is_ok in [true, false] {
        calls.run(|context| {
            calls.begin(&context).phases.model_asked();
            if is_ok { Ok(()) } else { Err(()) }
        });
    }
    let phase_of = |outcome| phase_attribute(&calls.sink.find(Operation::Turn, outcome)[0]);
    assert_eq!(phase_of(Outcome::Ok), None);
    assert_eq!(phase_of(Outcome::Error).as_deref(), Some("model"));
}

#[test]
fn the_phases_are_attributes_in_milliseconds_and_add_up() {
    let calls = Calls::new();
    calls.run(|context| {
        let turn = calls.begin(&context);
        turn.hand.advance(Duration::from_micros(1500));
        turn.phases.model_asked();
        turn.spend(2);
        Ok::<_, ()>(())
    });
    let event = &calls.ends()[0];
    let millis = |phase: Phase| event.attribute(phase.attribute());
    assert_eq!(millis(Phase::Wait), Some(&1.5.into()));
    assert_eq!(millis(Phase::Model), Some(&2.0.into()));
    assert_eq!(millis(Phase::Tools), Some(&0.0.into()));
    assert_eq!(millis(Phase::Approval), None);
}

#[test]
fn a_wait_that_is_dropped_after_the_end_changes_nothing() {
    let calls = Calls::new();
    let mut kept = None;
    calls.run(|context| {
        let turn = calls.begin(&context);
        turn.phases.model_asked();
        kept = Some(turn.phases.approval());
        turn.spend(1);
        Ok::<_, ()>(())
    });
    calls.hand.advance(MS);
    drop(kept);
    let event = &calls.ends()[0];
    assert_eq!(times(&phases(event)), [(Phase::Approval, 1)]);
}

#[test]
fn a_call_that_is_kept_open_has_the_time_after_its_turn_as_other() {
    let calls = Calls::new();
    let mut kept = None;
    calls.run(|context| {
        let turn = calls.begin(&context);
        turn.phases.model_asked();
        turn.spend(1);
        turn.phases.turn_completed();
        turn.phases.freeze();
        kept = Some(context.keep_open());
        Ok::<_, ()>(())
    });
    calls.hand.advance(2 * MS);
    kept.unwrap().finish();
    let phases = phases(&calls.ends()[0]);
    assert_eq!(times(&phases), [(Phase::Model, 1), (Phase::Other, 2)]);
}

#[test]
fn a_turn_has_its_own_phases_although_its_call_has_ended_before() {
    let calls = Calls::new();
    let mut running = None;
    calls.run(|context| {
        let turn = calls.begin(&context);
        turn.phases.model_asked();
        turn.spend(1);
        running = Some(turn);
        Ok::<_, ()>(())
    });
    let turn = running.unwrap();
    turn.spend(2);
    turn.phases.set_tools(true);
    turn.spend(4);
    assert_eq!(times(&phases(&calls.ends()[0])), [(Phase::Model, 1)]);
    let own = turn.phases.phases();
    assert_eq!(times(&own), [(Phase::Model, 3), (Phase::Tools, 4)]);
}

#[test]
fn a_turn_without_an_open_call_has_its_phases() {
    let clock = CallContext::new().begin_phases();
    clock.model_asked();
    let before = clock.phases();
    assert_eq!(before.last(), Some(Phase::Model));
    assert!(clock.phases().total() >= before.total());
}

#[test]
fn a_call_that_is_no_turn_has_no_phases() {
    let calls = Calls::new();
    let service = service_fn(|_: Call<()>| ready(Ok::<_, Infallible>(())));
    let mut service = calls.timing.layer(service);
    assert!(poll(pin!(service.call(turn_call()))).is_ready());
    assert_eq!(calls.ends()[0].phases(), None);
    assert_eq!(phase_attribute(&calls.ends()[0]), None);
}

#[test]
fn an_open_turn_tells_the_phase_in_force_and_one_that_has_ended_none() {
    let calls = Calls::new();
    let start = || calls.sink.events()[0].clone();
    calls.run(|context| {
        assert_eq!(start().phase(), None);
        let turn = calls.begin(&context);
        assert_eq!(start().phase(), Some(Phase::Wait));
        turn.phases.model_asked();
        let wait = turn.phases.approval();
        assert_eq!(start().phase(), Some(Phase::Approval));
        drop(wait);
        assert_eq!(start().phase(), Some(Phase::Model));
        Ok::<_, ()>(())
    });
    assert_eq!(start().phase(), None);
}

// --- Several attempts

/// Makes attempts of a turn within one call: each in a call of its own, or all in the same one. Each is given its number
/// and its context. Returns the phases of the attempts' own calls, and last those of the call around them.
fn attempts(count: u32, have_own_calls: bool, attempt: impl Fn(u32, &Rig)) -> Vec<Phases> {
    let calls = Calls::new();
    calls.run(|context| {
        for number in 1..=count {
            let one = |context: CallContext| {
                let rig = calls.begin(&context);
                attempt(number, &rig);
                rig.phases.freeze();
                Ok::<_, ()>(())
            };
            if have_own_calls {
                let inner = service_fn(|call: Call<()>| ready(one(call.context)));
                let mut service = calls.timing.layer(inner);
                let again = turn_call().with_context(context.clone());
                assert!(poll(pin!(service.call(again))).is_ready());
            } else {
                one(context.clone())?;
            }
            calls.hand.advance(10 * MS);
        }
        Ok::<_, ()>(())
    });
    calls.ends().iter().map(phases).collect()
}

#[test]
fn the_call_around_attempts_has_all_of_them_and_the_pauses_between() {
    for have_own_calls in [true, false] {
        let mut all = attempts(2, have_own_calls, |number, turn| {
            turn.spend(1);
            turn.phases.starting_up();
            turn.spend(number);
        });
        let whole = all.pop().unwrap();
        let expected = [
            (Phase::Wait, 2),
            (Phase::Startup, 3),
            (Phase::Retry, 10),
            (Phase::Other, 10),
        ];
        assert_eq!(times(&whole), expected);
        assert_eq!(whole.last(), Some(Phase::Startup));
        let own = [
            [(Phase::Wait, 1), (Phase::Startup, 1)],
            [(Phase::Wait, 1), (Phase::Startup, 2)],
        ];
        if have_own_calls {
            assert_eq!(all.iter().map(times).collect::<Vec<_>>(), own);
        }
    }
}

#[test]
fn nothing_of_an_attempt_goes_on_in_the_next_one() {
    for have_own_calls in [true, false] {
        let all = attempts(2, have_own_calls, |number, turn| {
            if number == 1 {
                turn.phases.model_asked();
                turn.phases.set_tools(true);
                turn.phases.retrying();
            }
            turn.spend(1);
        });
        let whole = all.last().unwrap();
        let expected = [(0, Phase::Retry), (11, Phase::Wait), (12, Phase::Other)];
        assert_eq!(changes(whole), expected, "{have_own_calls}");
    }
}

#[test]
fn a_question_of_an_attempt_that_has_ended_does_not_end_one_of_the_next() {
    for have_own_calls in [true, false] {
        let kept = Mutex::new(None);
        let all = attempts(2, have_own_calls, |number, turn| {
            turn.phases.model_asked();
            let wait = turn.phases.approval();
            turn.spend(1);
            if number == 1 {
                *kept.lock().unwrap() = Some(wait);
            } else {
                drop(kept.lock().unwrap().take());
                turn.spend(1);
                drop(wait);
                turn.spend(1);
            }
        });
        let whole = times(all.last().unwrap());
        let approval = (Phase::Approval, 3);
        assert!(whole.contains(&approval), "{have_own_calls}: {whole:?}");
    }
}

#[test]
fn what_an_attempt_does_after_its_end_is_not_that_of_the_next_one() {
    for have_own_calls in [true, false] {
        let kept = Mutex::new(None);
        let all = attempts(2, have_own_calls, |number, turn| {
            turn.phases.model_asked();
            if number == 1 {
                *kept.lock().unwrap() = Some(Arc::clone(&turn.phases));
                return;
            }
            if have_own_calls && let Some(late) = &*kept.lock().unwrap() {
                late.set_tools(true);
            }
            turn.spend(1);
        });
        let whole = times(all.last().unwrap());
        assert!(
            whole.contains(&(Phase::Model, 1)),
            "{have_own_calls}: {whole:?}"
        );
    }
}

#[test]
fn an_attempt_beside_another_has_its_own_phases_and_the_call_around_has_those_of_the_first() {
    let calls = Calls::new();
    calls.run(|context| {
        let attempt = |context: &CallContext| {
            let phases = Arc::new(Mutex::new(None));
            let begun = Arc::clone(&phases);
            let inner = service_fn(move |call: Call<()>| {
                *begun.lock().unwrap() = Some(call.context.begin_phases());
                pending::<Result<(), Infallible>>()
            });
            let mut service = calls.timing.layer(inner);
            let future = service.call(turn_call().with_context(context.clone()));
            let phases = phases.lock().unwrap().take().unwrap();
            (future, phases)
        };
        let (first, of_first) = attempt(&context);
        of_first.model_asked();
        calls.hand.advance(MS);
        let (second, of_second) = attempt(&context);
        of_second.starting_up();
        calls.hand.advance(2 * MS);
        of_first.set_tools(true);
        of_second.model_asked();
        calls.hand.advance(4 * MS);
        drop(second);
        calls.hand.advance(8 * MS);
        of_first.freeze();
        drop(first);
        Ok::<_, Infallible>(())
    });
    let [second, first, whole] = &calls.ends()[..] else {
        panic!("not three calls")
    };
    let expected = [(Phase::Startup, 2), (Phase::Model, 4)];
    assert_eq!(times(&phases(second)), expected);
    let expected = [(Phase::Model, 3), (Phase::Tools, 12)];
    assert_eq!(times(&phases(first)), expected);
    assert_eq!(times(&phases(whole)), expected);
}

#[test]
fn a_turn_on_behalf_of_another_is_none_of_its_attempts() {
    let calls = Calls::new();
    calls.run(|context| {
        let turn = calls.begin(&context);
        turn.phases.model_asked();
        turn.phases.set_tools(true);
        let inner = service_fn(|call: Call<()>| {
            let turn = calls.begin(&call.context);
            turn.spend(1);
            turn.phases.freeze();
            ready(Ok::<_, Infallible>(()))
        });
        let mut service = calls.timing.layer(inner);
        let child = turn_call().with_context(context.child());
        assert!(poll(pin!(service.call(child))).is_ready());
        turn.spend(2);
        Ok::<_, Infallible>(())
    });
    let [inner, outer] = &calls.ends()[..] else {
        panic!("not two calls")
    };
    assert_eq!(times(&phases(inner)), [(Phase::Wait, 1)]);
    assert_eq!(times(&phases(outer)), [(Phase::Tools, 3)]);
}

#[test]
fn a_pause_for_a_retry_is_told_from_its_begin() {
    let calls = Calls::new();
    let start = || calls.sink.events()[0].clone();
    calls.run(|context| {
        let turn = calls.begin(&context);
        turn.spend(1);
        turn.phases.freeze();
        assert_eq!(start().phase(), Some(Phase::Wait));
        context.open_record().unwrap().pause_for_retry();
        assert_eq!(start().phase(), Some(Phase::Retry));
        turn.spend(2);
        Err(())
    });
    let event = &calls.ends()[0];
    assert_eq!(times(&phases(event)), [(Phase::Wait, 1), (Phase::Retry, 2)]);
    assert_eq!(phase_attribute(event).as_deref(), Some("retry"));
}

#[test]
fn a_pause_is_not_begun_while_an_attempt_runs() {
    let calls = Calls::new();
    calls.run(|context| {
        let turn = calls.begin(&context);
        turn.phases.model_asked();
        context.open_record().unwrap().pause_for_retry();
        turn.spend(1);
        Err(())
    });
    assert_eq!(times(&phases(&calls.ends()[0])), [(Phase::Model, 1)]);
}

#[test]
fn each_call_around_attempts_has_all_of_them_and_the_pauses_between() {
    let calls = Calls::new();
    calls.run(|context| {
        // A second call between the first one and the attempts, such as of a layer in a library.
        let inner = service_fn(|call: Call<()>| {
            for number in 1..=3 {
                let turn = calls.begin(&call.context);
                turn.spend(1);
                turn.phases.starting_up();
                turn.spend(2);
                turn.phases.freeze();
                if number < 3 {
                    call.context.open_record().unwrap().pause_for_retry();
                    turn.spend(4);
                }
            }
            ready(Ok::<_, Infallible>(()))
        });
        let mut service = calls.timing.layer(inner);
        let again = turn_call().with_context(context);
        assert!(poll(pin!(service.call(again))).is_ready());
        Ok::<_, Infallible>(())
    });
    let expected = [(Phase::Wait, 3), (Phase::Startup, 6), (Phase::Retry, 8)];
    let ends = calls.ends();
    assert_eq!(ends.len(), 2);
    for end in &ends {
        assert_eq!(times(&phases(end)), expected);
    }
}

#[test]
fn a_pause_for_an_attempt_that_is_dropped_after_the_decision_is_told_from_its_drop() {
    let calls = Calls::new();
    let start = || calls.sink.events()[0].clone();
    calls.run(|context| {
        let turn = calls.begin(&context);
        turn.phases.model_asked();
        turn.spend(1);
        // A timeout has returned its error to the policy, which drops the attempt with it.
        context.open_record().unwrap().pause_for_retry();
        turn.phases.freeze();
        assert_eq!(start().phase(), Some(Phase::Retry));
        turn.spend(2);
        Err(())
    });
    let event = &calls.ends()[0];
    assert_eq!(
        times(&phases(event)),
        [(Phase::Model, 1), (Phase::Retry, 2)]
    );
    assert_eq!(phase_attribute(event).as_deref(), Some("retry"));
}

#[test]
fn what_an_attempt_does_in_the_pause_after_it_changes_nothing() {
    let calls = Calls::new();
    calls.run(|context| {
        let turn = calls.begin(&context);
        turn.phases.model_asked();
        turn.spend(1);
        turn.phases.freeze();
        context.open_record().unwrap().pause_for_retry();
        turn.phases.set_tools(true);
        let wait = turn.phases.approval();
        turn.spend(2);
        drop(wait);
        Err(())
    });
    let event = &calls.ends()[0];
    assert_eq!(
        times(&phases(event)),
        [(Phase::Model, 1), (Phase::Retry, 2)]
    );
}

#[test]
fn a_tool_that_runs_a_turn_of_its_own_has_no_phases_and_its_approvals_are_those_of_the_turn_around()
{
    let calls = Calls::new();
    calls.run(|context| {
        let turn = calls.begin(&context);
        turn.phases.model_asked();
        turn.phases.set_tools(true);
        let (context, _ticket) = context.with_ticket_of_child(Vec::new());
        let inner = service_fn(|call: Call<()>| {
            // The service of the inner turn has no call of its own.
            let own = calls.begin(&call.context.child());
            own.spend(1);
            own.phases.freeze();
            let wait = call.context.wait_for_approval();
            own.spend(2);
            drop(wait);
            ready(Ok::<_, Infallible>(()))
        });
        let mut service = calls.timing.layer(inner);
        let tool = Call::new(Operation::Tool, ()).with_context(context);
        assert!(poll(pin!(service.call(tool))).is_ready());
        turn.spend(4);
        Ok::<_, Infallible>(())
    });
    let [tool, outer] = &calls.ends()[..] else {
        panic!("not two calls")
    };
    assert_eq!(tool.phases(), None);
    let expected = [(Phase::Tools, 5), (Phase::Approval, 2)];
    assert_eq!(times(&phases(outer)), expected);
}

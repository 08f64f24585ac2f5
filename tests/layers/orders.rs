//! All six orders of the three layers are defined, and none loses or repeats an event.

use codex_telemetry::{
    Call, ErrorClass, ErrorClassLayer, Event, Originator, OriginatorLayer, Outcome, TimingLayer,
};
use tokio_test::task::spawn;
use tower::{Layer, Service, layer::layer_fn};

use crate::{checked::MemorySink, support::*};

/// What the events of a failed call show.
struct Shown {
    /// Whether the start has the originator, and whether the end has it.
    originator_on: [bool; 2],
    classified: bool,
}

type Classifier = fn(&Refused) -> ErrorClass;

fn originator() -> OriginatorLayer {
    OriginatorLayer::new(Originator::Cli)
}

fn classes() -> ErrorClassLayer<Classifier> {
    ErrorClassLayer::new(overloaded)
}

/// Makes a call that succeeds, one that is dropped and one that fails, and returns what the failed one shows.
fn shown(stack: impl Fn(TimingLayer) -> Stack) -> Shown {
    let sink = MemorySink::new();
    let stack = stack(TimingLayer::new(sink.clone()));
    assert_eq!(call(stack(Inner::Answers), request()), Ok(42));
    drop(spawn(stack(Inner::Hangs).call(request())));
    assert_eq!(outcomes(&sink), [Outcome::Ok, Outcome::Cancelled]);

    assert_eq!(call(stack(Inner::Refuses), request()), Err(Refused));
    let events = sink.events();
    let end = only(&sink);
    assert_eq!(end.outcome(), Some(Outcome::Error));
    let has = |event: &Event| event.originator() == Some(&Originator::Cli);
    Shown {
        originator_on: [has(&events[0]), has(&end)],
        classified: end.error_class() == Some(ErrorClass::Overloaded),
    }
}

enum Inner {
    Answers,
    Refuses,
    Hangs,
}

type Boxed = tower::util::BoxCloneService<Call<()>, u32, Refused>;
type Stack = Box<dyn Fn(Inner) -> Boxed>;

/// Returns a stack of three layers, outermost first.
fn stack<A, B, C>(layers: (A, B, C)) -> Stack
where
    A: Layer<Boxed, Service: Boxable> + 'static,
    B: Layer<Boxed, Service: Boxable> + 'static,
    C: Layer<Boxed, Service: Boxable> + 'static,
{
    let boxed = |inner: Inner| match inner {
        Inner::Answers => Boxed::new(answers()),
        Inner::Refuses => Boxed::new(refuses()),
        Inner::Hangs => Boxed::new(hangs()),
    };
    Box::new(move |inner| {
        let inner = layers.2.layer(boxed(inner)).boxed();
        let inner = layers.1.layer(inner).boxed();
        layers.0.layer(inner).boxed()
    })
}

/// A service that can be boxed.
trait Boxable {
    fn boxed(self) -> Boxed;
}

impl<S> Boxable for S
where
    S: Service<Call<()>, Response = u32, Error = Refused, Future: Send> + Clone + Send + 'static,
{
    fn boxed(self) -> Boxed {
        Boxed::new(self)
    }
}

#[test]
fn originator_then_timing_then_class_shows_everything() {
    let shown = shown(|timing| stack((originator(), timing, classes())));
    assert_eq!(shown.originator_on, [true, true]);
    assert!(shown.classified);
}

#[test]
fn timing_then_originator_then_class_shows_the_originator_at_the_end() {
    let shown = shown(|timing| stack((timing, originator(), classes())));
    assert_eq!(shown.originator_on, [false, true]);
    assert!(shown.classified);
}

#[test]
fn timing_then_class_then_originator_shows_the_originator_at_the_end() {
    let shown = shown(|timing| stack((timing, classes(), originator())));
    assert_eq!(shown.originator_on, [false, true]);
    assert!(shown.classified);
}

#[test]
fn originator_then_class_then_timing_does_not_classify() {
    let shown = shown(|timing| stack((originator(), classes(), timing)));
    assert_eq!(shown.originator_on, [true, true]);
    assert!(!shown.classified);
}

#[test]
fn class_then_originator_then_timing_does_not_classify() {
    let shown = shown(|timing| stack((classes(), originator(), timing)));
    assert_eq!(shown.originator_on, [true, true]);
    assert!(!shown.classified);
}

#[test]
fn class_then_timing_then_originator_shows_the_originator_at_the_end_and_does_not_classify() {
    let shown = shown(|timing| stack((classes(), timing, originator())));
    assert_eq!(shown.originator_on, [false, true]);
    assert!(!shown.classified);
}

#[test]
fn the_other_layers_work_without_a_timing_layer() {
    let unrecorded = layer_fn(|inner: Boxed| inner);
    let stack = stack((originator(), unrecorded, classes()));
    assert_eq!(call(stack(Inner::Answers), request()), Ok(42));
    assert_eq!(call(stack(Inner::Refuses), request()), Err(Refused));
}

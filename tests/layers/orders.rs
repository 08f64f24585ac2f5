//! All six orders of the three layers do something defined, and none loses or doubles an event.

use codex_telemetry::{
    Call, ErrorClass, ErrorClassLayer, Event, Originator, OriginatorLayer, Outcome, TimingLayer,
};
use tokio_test::task::spawn;
use tower::{Layer, Service, layer::layer_fn};

use crate::{checked::MemorySink, support::*};

/// What both events of a failed call say.
struct Told {
    /// Whether the start names the originator, and whether the end does.
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

/// Makes a call that answers, one that is dropped and one that fails through one order, and returns
/// what the failed one says.
fn told(stack: impl Fn(TimingLayer) -> Stack) -> Told {
    let sink = MemorySink::new();
    let stack = stack(TimingLayer::new(sink.clone()));
    assert_eq!(call(stack(Inner::Answers), request()), Ok(42));
    drop(spawn(stack(Inner::Hangs).call(request())));
    assert_eq!(outcomes(&sink), [Outcome::Ok, Outcome::Cancelled]);

    assert_eq!(call(stack(Inner::Refuses), request()), Err(Refused));
    let events = sink.events();
    let end = only(&sink);
    assert_eq!(end.outcome(), Some(Outcome::Error));
    let says = |event: &Event| event.originator() == Some(&Originator::Cli);
    Told {
        originator_on: [says(&events[0]), says(&end)],
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

/// The stack of three layers, the first one outermost.
fn stack<A, B, C>(layers: (A, B, C)) -> Stack
where
    A: Layer<Boxed, Service: Usable> + 'static,
    B: Layer<Boxed, Service: Usable> + 'static,
    C: Layer<Boxed, Service: Usable> + 'static,
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

/// A service of the tests, to be put in a box.
trait Usable {
    fn boxed(self) -> Boxed;
}

impl<S> Usable for S
where
    S: Service<Call<()>, Response = u32, Error = Refused, Future: Send> + Clone + Send + 'static,
{
    fn boxed(self) -> Boxed {
        Boxed::new(self)
    }
}

#[test]
fn originator_then_timing_then_class_tells_everything() {
    let told = told(|timing| stack((originator(), timing, classes())));
    assert_eq!(told.originator_on, [true, true]);
    assert!(told.classified);
}

#[test]
fn timing_then_originator_then_class_learns_the_originator_after_the_start() {
    let told = told(|timing| stack((timing, originator(), classes())));
    assert_eq!(told.originator_on, [false, true]);
    assert!(told.classified);
}

#[test]
fn timing_then_class_then_originator_learns_the_originator_after_the_start() {
    let told = told(|timing| stack((timing, classes(), originator())));
    assert_eq!(told.originator_on, [false, true]);
    assert!(told.classified);
}

#[test]
fn originator_then_class_then_timing_has_no_call_to_classify() {
    let told = told(|timing| stack((originator(), classes(), timing)));
    assert_eq!(told.originator_on, [true, true]);
    assert!(!told.classified);
}

#[test]
fn class_then_originator_then_timing_has_no_call_to_classify() {
    let told = told(|timing| stack((classes(), originator(), timing)));
    assert_eq!(told.originator_on, [true, true]);
    assert!(!told.classified);
}

#[test]
fn class_then_timing_then_originator_learns_the_originator_late_and_does_not_classify() {
    let told = told(|timing| stack((classes(), timing, originator())));
    assert_eq!(told.originator_on, [false, true]);
    assert!(!told.classified);
}

#[test]
fn the_originator_and_the_error_class_layer_work_without_a_timing_layer() {
    let unrecorded = layer_fn(|inner: Boxed| inner);
    let stack = stack((originator(), unrecorded, classes()));
    assert_eq!(call(stack(Inner::Answers), request()), Ok(42));
    assert_eq!(call(stack(Inner::Refuses), request()), Err(Refused));
}

//! Requests, services and sinks that several rooms use.

use std::{
    collections::HashMap,
    future::{Future, Pending, Ready, pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use codex_telemetry::{
    Call, CallContext, ErrorClass, Event, Operation, Outcome, Sink, Timeline, TimingLayer,
    timing::{TimingService, future::ResponseFuture},
};
use tower::{Layer, Service, ServiceExt, retry::Policy, util::ServiceFn};

use crate::checked::MemorySink;

/// The operation of the tests' calls.
pub(crate) const WORK: Operation = Operation::Custom("work");

/// An error that is no `std::error::Error`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Refused;

/// A function that is the service of a test.
pub(crate) type Fun<T, E> = ServiceFn<fn(Call<()>) -> Ready<Result<T, E>>>;

/// A service of a test whose future never ends.
pub(crate) type Hanging<T, E> = ServiceFn<fn(Call<()>) -> Pending<Result<T, E>>>;

// === requests ===

pub(crate) fn request() -> Call<()> {
    Call::new(WORK, ())
}

pub(crate) fn request_with(context: CallContext) -> Call<()> {
    request().with_context(context)
}

// === services ===

pub(crate) fn answers() -> Fun<u32, Refused> {
    tower::service_fn(|_| ready(Ok(42)))
}

pub(crate) fn refuses() -> Fun<u32, Refused> {
    tower::service_fn(|_| ready(Err(Refused)))
}

pub(crate) fn panics_in_call() -> Fun<u32, Refused> {
    tower::service_fn(|_| panic!("in call"))
}

/// A service whose future never ends.
pub(crate) fn hangs() -> Hanging<u32, Refused> {
    tower::service_fn(|_| pending())
}

/// A service that lets `look` see the context of each request, then answers.
pub(crate) fn shows<F>(
    mut look: F,
) -> ServiceFn<impl FnMut(Call<()>) -> Ready<Result<u32, Refused>>>
where
    F: FnMut(&CallContext),
{
    tower::service_fn(move |call: Call<()>| {
        look(&call.context);
        ready(Ok(42))
    })
}

/// A service that lets `look` see the context of each request, then refuses.
pub(crate) fn shows_and_refuses<F>(
    mut look: F,
) -> ServiceFn<impl FnMut(Call<()>) -> Ready<Result<u32, Refused>>>
where
    F: FnMut(&CallContext),
{
    tower::service_fn(move |call: Call<()>| {
        look(&call.context);
        ready(Err(Refused))
    })
}

/// Wraps `service` in a `TimingLayer` over a new memory.
pub(crate) fn timed<S>(service: S) -> (TimingService<S>, MemorySink) {
    let sink = MemorySink::new();
    (TimingLayer::new(sink.clone()).layer(service), sink)
}

/// Makes a call of `service` without a runtime, for services that are ready at once.
pub(crate) fn call<S, R>(service: S, request: R) -> Result<S::Response, S::Error>
where
    S: Service<R>,
{
    let mut answer = tokio_test::task::spawn(service.oneshot(request));
    match answer.poll() {
        std::task::Poll::Ready(result) => result,
        std::task::Poll::Pending => panic!("the service was not ready at once"),
    }
}

/// Makes a call of `service`, whose readiness does not matter, and returns its future.
pub(crate) fn begin<S>(service: &mut TimingService<S>) -> ResponseFuture<S::Future>
where
    S: Service<Call<()>>,
{
    service.call(request())
}

/// Runs `work`, which panics, and returns the text that it panicked with.
pub(crate) fn panic_of<T>(work: impl FnOnce() -> T) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(work)) else {
        panic!("it did not panic");
    };
    match payload.downcast::<&'static str>() {
        Ok(text) => (*text).to_owned(),
        Err(_) => panic!("the panic is another one"),
    }
}

// === policies and classifiers ===

/// Tries a refused call again, this many times.
#[derive(Clone, Debug)]
pub(crate) struct Again(pub(crate) u32);

impl<T> Policy<Call<()>, T, Refused> for Again {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        request: &mut Call<()>,
        result: &mut Result<T, Refused>,
    ) -> Option<Self::Future> {
        self.0 = self.0.checked_sub(1)?;
        let context = request.context.clone();
        request.context = context.with_attempt(request.context.attempt() + 1);
        result.as_ref().is_err().then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Call<()>) -> Option<Call<()>> {
        Some(request.clone())
    }
}

pub(crate) fn overloaded(_: &Refused) -> ErrorClass {
    ErrorClass::Overloaded
}

// === sinks ===

/// A memory with a switch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Switched {
    pub(crate) on: Arc<AtomicBool>,
    pub(crate) memory: MemorySink,
}

impl Switched {
    pub(crate) fn turn(&self, on: bool) {
        self.on.store(on, Relaxed);
    }
}

impl Sink for Switched {
    fn emit(&self, event: Event) {
        self.memory.emit(event);
    }

    fn enabled(&self) -> bool {
        self.on.load(Relaxed)
    }
}

// === what events show ===

/// Asserts that every call in `events` has exactly one start and exactly one end, in this order.
#[track_caller]
pub(crate) fn assert_balanced(events: &[Event]) {
    let mut ended: HashMap<_, bool> = HashMap::new();
    for event in events {
        let before = ended.insert(event.span_id(), event.kind().is_terminal());
        let in_order = match (before, event.kind().is_terminal()) {
            (None, terminal) => !terminal,
            (Some(over), terminal) => !over && terminal,
        };
        assert!(in_order, "{event:?} out of order in\n{events:#?}");
    }
    let open = ended.values().filter(|over| !**over).count();
    assert_eq!(open, 0, "calls without end:\n{}", Timeline::new(events));
}

/// Takes what `sink` holds, asserts that it is balanced, and returns the terminal events.
#[track_caller]
pub(crate) fn ended(sink: &MemorySink) -> Vec<Event> {
    let mut events = sink.take();
    assert_balanced(&events);
    events.retain(|event| event.kind().is_terminal());
    events
}

/// Takes the only call that `sink` holds, and returns its terminal event.
#[track_caller]
pub(crate) fn only(sink: &MemorySink) -> Event {
    let mut events = ended(sink);
    assert_eq!(events.len(), 1, "\n{}", Timeline::new(&events));
    events.remove(0)
}

/// Takes what `sink` holds, asserts that it is balanced, and returns how each call ended.
#[track_caller]
pub(crate) fn outcomes(sink: &MemorySink) -> Vec<Outcome> {
    let events = ended(sink);
    events.iter().filter_map(Event::outcome).collect()
}

/// Polls `future` once, where it must wait.
pub(crate) fn poll_once<F: Future>(future: &mut tokio_test::task::Spawn<F>) {
    assert!(future.poll().is_pending(), "it was done at once");
}

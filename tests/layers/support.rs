//! Requests, services and sinks for the tests.

use std::{
    future::{Future, Pending, Ready, pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use codex_telemetry::{
    Call, CallContext, ErrorClass, Event, Interest, Operation, Outcome, Sink, Timeline,
    TimingLayer,
    timing::{TimingService, future::ResponseFuture},
};
use tower::{Layer, Service, ServiceExt, retry::Policy, util::ServiceFn};

use crate::checked::MemorySink;

/// The operation of the calls.
pub(crate) const WORK: Operation = Operation::Custom("work");

/// An error that does not implement `std::error::Error`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Refused;

/// A service of a function.
pub(crate) type Fun<T, E> = ServiceFn<fn(Call<()>) -> Ready<Result<T, E>>>;

/// A service whose future never completes.
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

/// Returns a service whose future never completes.
pub(crate) fn hangs() -> Hanging<u32, Refused> {
    tower::service_fn(|_| pending())
}

/// Returns a service that calls `look` with the context of each request, then succeeds.
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

/// Returns a service that calls `look` with the context of each request, then fails.
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

/// Returns `service` in a timing layer, and the sink of the layer.
pub(crate) fn timed<S>(service: S) -> (TimingService<S>, MemorySink) {
    let sink = MemorySink::new();
    (TimingLayer::new(sink.clone()).layer(service), sink)
}

/// Calls `service` without a runtime. The service and its future must be ready at once.
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

/// Calls `service`, which need not be ready, and returns its future.
pub(crate) fn begin<S>(service: &mut TimingService<S>) -> ResponseFuture<S::Future>
where
    S: Service<Call<()>>,
{
    service.call(request())
}

/// Runs `work`, which must panic, and returns the message of the panic.
pub(crate) fn panic_of<T>(work: impl FnOnce() -> T) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(work)) else {
        panic!("it did not panic");
    };
    match payload.downcast::<&'static str>() {
        Ok(text) => (*text).to_owned(),
        Err(_) => panic!("the payload of the panic is no text"),
    }
}

// === policies and classifiers ===

/// Retries a failed call this many times.
#[derive(Clone, Debug)]
pub(crate) struct RetryTimes(pub(crate) u32);

impl<T> Policy<Call<()>, T, Refused> for RetryTimes {
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

/// A memory sink that can be switched on and off.
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

    fn interest(&self) -> Interest {
        if self.on.load(Relaxed) {
            Interest::ALL
        } else {
            Interest::NONE
        }
    }
}

// === events ===

/// Takes the events out of `sink`, and returns the terminal ones. (The sink checks that every call has one start
/// and one end.)
pub(crate) fn ended(sink: &MemorySink) -> Vec<Event> {
    let mut events = sink.take();
    events.retain(|event| event.kind().is_terminal());
    events
}

/// Takes the only call out of `sink`, and returns its terminal event.
#[track_caller]
pub(crate) fn only(sink: &MemorySink) -> Event {
    let mut events = ended(sink);
    assert_eq!(events.len(), 1, "\n{}", Timeline::new(&events));
    events.remove(0)
}

/// Takes the events out of `sink`, and returns how each call ended.
pub(crate) fn outcomes(sink: &MemorySink) -> Vec<Outcome> {
    ended(sink).iter().filter_map(Event::outcome).collect()
}

/// Polls `future` once, which must be pending.
pub(crate) fn poll_once<F: Future>(future: &mut tokio_test::task::Spawn<F>) {
    assert!(future.poll().is_pending(), "the future is ready");
}

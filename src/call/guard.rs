use opentelemetry::{Key, KeyValue, StringValue, Value};

use super::OpenCall;
use crate::event::{Classification, Operation, Outcome};

/// A call that is closed as cancelled when it is dropped, unless it was closed before.
///
/// [`TimingLayer`](crate::TimingLayer) keeps one for each call; a service opens one with
/// [`CallContext::open_child`](crate::CallContext::open_child) for work that it observes within its
/// own call, such as a tool that Codex runs inside a turn.
///
/// ```
/// use codex_telemetry::{Call, ErrorClass, MemorySink, Operation, Outcome, TimingLayer};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let sink = MemorySink::new();
/// let layer = TimingLayer::new(sink.clone());
/// let agent = layer.layer(service_fn(|call: Call<()>| async move {
///     let open = |name: &'static str| {
///         call.context.open_child(Operation::Tool, Some(name.into()), None)
///     };
///     open("read").finish();
///     open("write").fail(ErrorClass::SandboxDenied);
///     drop(open("test"));
///     Ok::<_, ()>(())
/// }));
/// agent.oneshot(Call::new(Operation::Turn, ())).await.unwrap();
///
/// let ended = |outcome| sink.find(Operation::Tool, outcome)[0].call_name().map(str::to_owned);
/// assert_eq!(ended(Outcome::Ok).as_deref(), Some("read"));
/// assert_eq!(ended(Outcome::Error).as_deref(), Some("write"));
/// assert_eq!(ended(Outcome::Cancelled).as_deref(), Some("test"));
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a dropped guard closes its call as cancelled"]
pub struct CallGuard {
    /// `None` when nobody records.
    call: Option<OpenCall>,
}

impl CallGuard {
    #[inline]
    pub(crate) fn new(call: Option<OpenCall>) -> Self {
        Self { call }
    }

    /// Opens a call within this one; inert when this one is.
    pub fn open_child(
        &self,
        operation: Operation,
        name: Option<StringValue>,
        call_id: Option<StringValue>,
    ) -> Self {
        let call = self.call.as_ref();
        Self::new(call.and_then(|call| call.open_child(operation, name, call_id)))
    }

    /// Records an attribute on the call.
    pub fn record(&self, key: impl Into<Key>, value: impl Into<Value>) {
        if let Some(call) = &self.call {
            let attribute = KeyValue::new(key, value);
            call.record().note(|notes| notes.attributes.push(attribute));
        }
    }

    /// Closes the call as finished.
    pub fn finish(mut self) {
        self.close(Outcome::Ok);
    }

    /// Closes the call as failed.
    pub fn fail(mut self, why: impl Into<Classification>) {
        if let Some(call) = &self.call {
            call.record().classify(why.into());
        }
        self.close(Outcome::Error);
    }

    #[inline]
    pub(crate) fn close(&mut self, outcome: Outcome) {
        if let Some(call) = self.call.take() {
            call.close(outcome);
        }
    }

    /// Runs a piece of the call; if it panics, the call closes as a panic there and then.
    ///
    /// `std::thread::panicking()` in a destructor could not tell: it is false when the panic was
    /// caught before the drop, and true when another panic unwinds past a call that merely waits.
    #[inline]
    pub(crate) fn observe<T>(&mut self, piece: impl FnOnce() -> T) -> T {
        struct CloseOnUnwind<'a>(&'a mut CallGuard);
        impl Drop for CloseOnUnwind<'_> {
            fn drop(&mut self) {
                self.0.close(Outcome::Panic);
            }
        }

        let unwinding = CloseOnUnwind(self);
        let done = piece();
        std::mem::forget(unwinding);
        done
    }
}

impl Drop for CallGuard {
    #[inline]
    fn drop(&mut self) {
        self.close(Outcome::Cancelled);
    }
}

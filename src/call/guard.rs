use opentelemetry::{Key, KeyValue, StringValue, Value};

use super::{CallContext, OpenCall};
use crate::event::{Classification, Ending, Operation, Outcome};

/// A guard that ends a call as cancelled when it is dropped, unless [`finish`](Self::finish) or
/// [`fail`](Self::fail) ends it before.
///
/// [`TimingLayer`](crate::TimingLayer) holds one for each call. A service gets one from
/// [`CallContext::open_child`](crate::CallContext::open_child) for work that it observes, such as a tool
/// that Codex runs within a turn, and from [`CallContext::keep_open`](crate::CallContext::keep_open) for a
/// response that is a stream.
///
/// A guard whose call is not recorded does nothing.
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
///
/// A service that observes work writes on the guard of its call, and opens calls within it:
///
/// ```
/// use codex_telemetry::{Call, MemorySink, Operation, TimingLayer, event::names};
/// use opentelemetry::KeyValue;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ()> {
/// let sink = MemorySink::capturing_content();
/// let agent = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<()>| async move {
///     let tool = call.context.open_child(Operation::Tool, Some("deploy".into()), None);
///     tool.record("region", "eu-north-1");
///     tool.record_content(names::TOOL_CALL_ARGUMENTS, || r#"{"version":7}"#.to_owned());
///     tool.open_child(Operation::Approval, None, None).finish();
///     tool.add_event_with("approved", [KeyValue::new("approver", "on-call")]);
///     // The header for a request that the tool makes to another program.
///     assert!(tool.context().traceparent().is_some());
///     tool.finish();
///     Ok::<_, ()>(())
/// }));
/// agent.oneshot(Call::new(Operation::Turn, ())).await?;
///
/// let events = sink.events();
/// let [_, tool, approval, _, deployed, _] = &events[..] else { panic!("three calls") };
/// assert_eq!(approval.parent_span_id(), Some(tool.span_id()));
/// assert_eq!(deployed.attribute("region"), Some(&"eu-north-1".into()));
/// assert_eq!(deployed.content().len(), 1);
/// assert_eq!(deployed.span_events()[0].name, "approved");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a dropped guard ends its call as cancelled"]
pub struct CallGuard {
    /// `None` if the call is not recorded or the guard has ended it.
    call: Option<OpenCall>,
}

impl CallGuard {
    #[inline]
    pub(crate) fn new(call: Option<OpenCall>) -> Self {
        Self { call }
    }

    /// Opens a child call of this one.
    pub fn open_child(
        &self,
        operation: Operation,
        name: Option<StringValue>,
        call_id: Option<StringValue>,
    ) -> Self {
        let call = self.call.as_ref();
        Self::new(call.and_then(|call| call.open_child(operation, name, call_id)))
    }

    /// Returns a context whose open call is this one, for a request that is made on its behalf.
    #[must_use]
    pub fn context(&self) -> CallContext {
        CallContext::of_open(self.call.clone())
    }

    /// Records an attribute on the call, with the limits of
    /// [`CallContext::record`](crate::CallContext::record).
    pub fn record(&self, key: impl Into<Key>, value: impl Into<Value>) {
        if let Some(call) = &self.call {
            call.record().set_attribute(key, value);
        }
    }

    /// Records a content on the call, as
    /// [`CallContext::record_content`](crate::CallContext::record_content) does.
    pub fn record_content(&self, key: impl Into<Key>, content: impl FnOnce() -> String) {
        if let Some(call) = &self.call {
            call.record().set_content(key, content);
        }
    }

    /// Adds a span event with attributes to the call, as
    /// [`CallContext::add_event_with`](crate::CallContext::add_event_with) does.
    pub fn add_event_with(
        &self,
        name: impl Into<String>,
        attributes: impl IntoIterator<Item = KeyValue>,
    ) {
        if let Some(call) = &self.call {
            call.record().add_span_event(name.into(), attributes);
        }
    }

    /// Ends the call as [`Outcome::Ok`].
    pub fn finish(mut self) {
        self.end(Outcome::Ok);
    }

    /// Ends the call as [`Outcome::Ok`], some time ago, for work whose end the service learns of late.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) fn finish_since(mut self, ago: std::time::Duration) {
        if let Some(call) = self.call.take() {
            call.end(Ending::Since(ago, Outcome::Ok));
        }
    }

    /// Ends the call as [`Outcome::Error`].
    pub fn fail(mut self, classification: impl Into<Classification>) {
        if let Some(call) = &self.call {
            call.record().classify(classification.into());
        }
        self.end(Outcome::Error);
    }

    #[inline]
    pub(crate) fn end(&mut self, outcome: Outcome) {
        if let Some(call) = self.call.take() {
            call.end(Ending::Now(outcome));
        }
    }

    /// Ends the call of a service that has answered, unless the service keeps it open.
    #[inline]
    pub(crate) fn answered(&mut self) {
        if let Some(call) = self.call.take() {
            call.end(Ending::Answered);
        }
    }

    /// Runs a part of the call. A panic in it ends the call as [`Outcome::Panic`].
    ///
    /// A destructor cannot ask `std::thread::panicking()` instead: it returns false if the panic was caught
    /// before the drop, and true if an unrelated panic unwinds past a pending call.
    #[inline]
    pub(crate) fn observe<T>(&mut self, part: impl FnOnce() -> T) -> T {
        struct EndOnUnwind<'a>(&'a mut CallGuard);
        impl Drop for EndOnUnwind<'_> {
            fn drop(&mut self) {
                self.0.end(Outcome::Panic);
            }
        }

        let on_unwind = EndOnUnwind(self);
        let output = part();
        std::mem::forget(on_unwind);
        output
    }
}

impl Drop for CallGuard {
    #[inline]
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            call.end(Ending::Dropped);
        }
    }
}

use std::{
    borrow::Cow,
    fmt,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use opentelemetry::{Key, KeyValue, Value, trace::Event as SpanEvent};

use crate::{error::catch_panic, event::Event, otlp::config::Signal};

/// What becomes of a record: what a processor returns.
///
/// A processor that returns nothing keeps its records.
///
/// ```
/// use codex_telemetry::{
///     Call, Operation, OtlpConfig, OtlpSink, TimingLayer,
///     otlp::{Decision, RecordView, Signal},
/// };
/// use std::time::Duration;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// /// Leaves out what is called every second.
/// fn without_health_checks(record: &mut RecordView<'_>) -> Decision {
///     match record.event().call_name() {
///         Some("health") => Decision::Drop,
///         _ => Decision::Keep,
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = OtlpConfig::builder().signals([Signal::Traces]).build()?;
/// let sink = OtlpSink::builder(config).processor(without_health_checks).start();
/// let layer = TimingLayer::new(sink.clone());
/// let service = layer.layer(service_fn(|_: Call<()>| async { Ok::<_, std::io::Error>(()) }));
/// service.oneshot(Call::new(Operation::Custom("check"), ()).with_name("health")).await?;
/// sink.shutdown(Duration::from_secs(60)).await?;
/// assert_eq!((sink.stats().traces.accepted, sink.stats().traces.filtered), (1, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The record is exported.
    Keep,
    /// The record is not exported.
    Drop,
}

/// A span or a log record before its export, as a
/// [processor](crate::otlp::OtlpSinkBuilder::processor) sees it.
///
/// `Debug` shows no values.
///
/// ```
/// use codex_telemetry::{
///     Call, Classification, ErrorClass, Operation, OtlpConfig, OtlpSink, TimingLayer,
///     otlp::{Decision, RecordView, Signal},
/// };
/// use std::time::Duration;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// /// Takes the names of customers out of spans.
/// fn redact(record: &mut RecordView<'_>) {
///     if record.signal() == Signal::Traces && record.name().contains("alice") {
///         record.set_span_name("sync of a customer");
///     }
///     if record.attribute("customer").is_some() {
///         record.set_attribute("customer", "***");
///     }
///     record.remove_attribute("customer.address");
///     record.attributes_mut().retain(|attribute| !attribute.key.as_str().starts_with("debug."));
///     record.span_events_mut().retain(|event| !event.name.contains("alice"));
///     if let Some(message) = record.message_mut() {
///         *message = message.replace("alice", "***");
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = OtlpConfig::builder().signals([Signal::Traces]).build()?;
/// let sink = OtlpSink::builder(config)
///     .processor(redact)
///     // Sees what the first one has left. A test drops what is clean, and counts it.
///     .processor(|record: &mut RecordView<'_>| {
///         let mut texts = record.attributes().iter().map(|attribute| attribute.value.as_str());
///         let is_clean = texts.all(|text| !text.contains("alice"))
///             && record.message() == Some("no account of ***")
///             && record.event().error_message() == Some("no account of alice");
///         if is_clean { Decision::Drop } else { Decision::Keep }
///     })
///     .start();
/// # let layer = TimingLayer::new(sink.clone());
/// # let service = layer.layer(service_fn(|call: Call<()>| async move {
/// #     call.context.record("customer", "alice");
/// #     let error = Classification::from(ErrorClass::Other).with_message("no account of alice");
/// #     call.context.classify(error);
/// #     Err::<(), _>("no account")
/// # }));
/// # let _ = service.oneshot(Call::new(Operation::Custom("sync"), ())).await;
/// # let _ = sink.shutdown(Duration::from_secs(5)).await;
/// assert_eq!(sink.stats().traces.filtered, 1);
/// # Ok(())
/// # }
/// ```
pub struct RecordView<'a> {
    pub(super) event: &'a Event,
    pub(super) signal: Signal,
    pub(super) name: Cow<'static, str>,
    pub(super) message: Option<String>,
    pub(super) attributes: Vec<KeyValue>,
    pub(super) span_events: Vec<SpanEvent>,
}

type Hook = dyn Fn(&mut RecordView<'_>) -> Decision + Send + Sync;

/// The processors of a sink, in their order.
#[derive(Default)]
pub(crate) struct Processors {
    hooks: Vec<Box<Hook>>,
    has_panicked: AtomicBool,
}

// === impl RecordView ===

impl RecordView<'_> {
    /// Returns the event that the record was made of. A processor cannot change it.
    #[must_use]
    pub fn event(&self) -> &Event {
        self.event
    }

    /// Returns [`Signal::Traces`] for a span and [`Signal::Logs`] for a log record.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Returns the name: of a span such as `execute_tool ls`, of a log record such as `codex.tool.stop`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Renames a span. Does nothing to a log record, whose name is the one of its event.
    pub fn set_span_name(&mut self, name: impl Into<Cow<'static, str>>) {
        if self.signal == Signal::Traces {
            self.name = name.into();
        }
    }

    /// Returns the text of the error, to be changed or removed. `None` if the call has not failed, and a text for
    /// such a call is ignored.
    ///
    /// A span has it as the description of its status, and as `exception.message` of its event `exception`. A
    /// log record has it as the attribute `exception.message`.
    pub fn message_mut(&mut self) -> &mut Option<String> {
        &mut self.message
    }

    /// Returns the text of the error. `None` if the call has not failed.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Returns the attributes. Each key is in the list once.
    #[must_use]
    pub fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    /// Returns the attributes, to be changed, added or removed. Keep each key in the list once.
    pub fn attributes_mut(&mut self) -> &mut Vec<KeyValue> {
        &mut self.attributes
    }

    /// Returns the value of an attribute.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        let mut attributes = self.attributes.iter();
        let attribute = attributes.find(|attribute| attribute.key.as_str() == key);
        attribute.map(|attribute| &attribute.value)
    }

    /// Sets an attribute.
    pub fn set_attribute(&mut self, key: impl Into<Key>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        let mut attributes = self.attributes.iter_mut();
        match attributes.find(|attribute| attribute.key == key) {
            Some(attribute) => attribute.value = value,
            None => self.attributes.push(KeyValue::new(key, value)),
        }
    }

    /// Sets an attribute as the first one: the limit leaves out the last ones.
    pub(super) fn set_first(&mut self, key: &'static str, value: impl Into<Value>) {
        self.remove_attribute(key);
        self.attributes.insert(0, KeyValue::new(key, value));
    }

    /// Removes an attribute, and returns its value.
    pub fn remove_attribute(&mut self, key: &str) -> Option<Value> {
        let mut attributes = self.attributes.iter();
        let index = attributes.position(|attribute| attribute.key.as_str() == key)?;
        Some(self.attributes.remove(index).value)
    }

    /// Returns the span events that the call recorded, to be changed or removed. The event `exception` is not
    /// among them: it is made of [`message_mut`](Self::message_mut). A log record has none.
    pub fn span_events_mut(&mut self) -> &mut Vec<SpanEvent> {
        &mut self.span_events
    }
}

impl fmt::Debug for RecordView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordView")
            .field("signal", &self.signal)
            .field("event", &self.event)
            .finish_non_exhaustive()
    }
}

// === impl Processors ===

impl Processors {
    pub(crate) fn add<D: Into<Decision>>(
        &mut self,
        processor: impl Fn(&mut RecordView<'_>) -> D + Send + Sync + 'static,
    ) {
        let hook = move |record: &mut RecordView<'_>| processor(record).into();
        self.hooks.push(Box::new(hook));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Lets every processor change a record, until one drops it. Returns whether to export the record.
    pub(super) fn keep(&self, record: &mut RecordView<'_>) -> bool {
        self.hooks.iter().all(|hook| {
            let decision = catch_panic(|| hook(record));
            // A processor that panics may not have removed a secret yet.
            let decision = decision.unwrap_or_else(|_| {
                self.warn_of_panic();
                Decision::Drop
            });
            decision == Decision::Keep
        })
    }

    fn warn_of_panic(&self) {
        if !self.has_panicked.swap(true, Relaxed) {
            tracing::warn!(
                target: "codex_telemetry",
                "a processor of the OTLP sink panicked, and its record is not exported; each later record for \
                 which it panics is filtered too, without another warning: mend the processor"
            );
        }
    }
}

impl fmt::Debug for Processors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Processors")
            .field(&self.hooks.len())
            .finish()
    }
}

// === impl Decision ===

impl From<()> for Decision {
    fn from((): ()) -> Self {
        Self::Keep
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tower::{Layer, ServiceExt, service_fn};
    use tracing::{Metadata, Subscriber, span, subscriber::with_default};

    use super::*;
    use crate::{Call, MemorySink, Operation, TimingLayer};

    /// A subscriber that counts warnings.
    #[derive(Clone, Default)]
    struct Warnings(Arc<Mutex<usize>>);

    impl Subscriber for Warnings {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            assert_eq!(*event.metadata().level(), tracing::Level::WARN);
            *self.0.lock().unwrap() += 1;
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[tokio::test]
    async fn one_warning_is_logged_for_a_processor_that_panics() {
        let sink = MemorySink::new();
        let service = service_fn(async |_: Call<()>| Ok::<_, ()>(()));
        let service = TimingLayer::new(sink.clone()).layer(service);
        service
            .oneshot(Call::new(Operation::Tool, ()))
            .await
            .unwrap();
        let mut processors = Processors::default();
        processors
            .add(|_: &mut RecordView<'_>| -> Decision { panic!("a panic that the test expects") });
        let warnings = Warnings::default();
        with_default(warnings.clone(), || {
            for event in sink.events() {
                let mut record = RecordView {
                    event: &event,
                    signal: Signal::Logs,
                    name: event.name(),
                    message: None,
                    attributes: Vec::new(),
                    span_events: Vec::new(),
                };
                assert!(!processors.keep(&mut record));
            }
        });
        assert_eq!(*warnings.0.lock().unwrap(), 1);
    }
}

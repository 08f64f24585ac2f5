//! Calls with a manual clock, and a sink that exports them to a receiver.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use codex_telemetry::{
    Call, CallContext, Clock, ManualClock, Operation, OtlpConfig, OtlpSink, Sink, TimingLayer,
    otlp::{OtlpSinkBuilder, config::OtlpConfigBuilder},
};
use futures_util::FutureExt as _;
use tower::{Layer as _, Service as _, service_fn};

use crate::{checked::Checked, receiver::Receiver, rig::PATIENCE};

pub(crate) type Done = Result<(), &'static str>;
type Work<'a> = Box<dyn FnOnce(CallContext) -> Done + 'a>;

/// Makes calls through a timing layer with a manual clock.
pub(crate) struct Calls {
    layer: TimingLayer,
    manual: ManualClock,
    _checked: Checked<Arc<dyn Sink>>,
}

/// A receiver, a sink that exports to it, and calls to that sink.
pub(crate) struct Rig {
    pub(crate) receiver: Receiver,
    pub(crate) sink: OtlpSink,
    pub(crate) calls: Calls,
}

/// Returns the initial time of the clock of [`Calls`].
pub(crate) fn start_time() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// Returns the time this long after [`start_time`], in the format of OTLP.
pub(crate) fn nanos(after: Duration) -> u64 {
    let since = start_time().duration_since(UNIX_EPOCH).unwrap() + after;
    u64::try_from(since.as_nanos()).unwrap()
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

// === impl Calls ===

impl Calls {
    pub(crate) fn new(sink: impl Sink + 'static) -> Self {
        let checked = Checked::over(Arc::new(sink) as Arc<dyn Sink>);
        let (clock, manual) = Clock::manual(start_time());
        Self {
            layer: TimingLayer::with_clock(checked.clone(), clock),
            manual,
            _checked: checked,
        }
    }

    pub(crate) fn advance(&self, by: u64) {
        self.manual.advance(millis(by));
    }

    /// Returns the future of a call that runs `work` when it is polled. An empty name means no name.
    pub(crate) fn start<'a>(
        &self,
        operation: Operation,
        name: &'static str,
        context: CallContext,
        work: impl FnOnce(CallContext) -> Done + 'a,
    ) -> impl Future<Output = Done> + 'a {
        let name = (!name.is_empty()).then(|| name.to_owned());
        self.call(operation, name, context, work)
    }

    /// As [`start`](Self::start), with any name.
    pub(crate) fn call<'a>(
        &self,
        operation: Operation,
        name: Option<String>,
        context: CallContext,
        work: impl FnOnce(CallContext) -> Done + 'a,
    ) -> impl Future<Output = Done> + 'a {
        let inner = |call: Call<Work<'a>>| async move { (call.request)(call.context) };
        let mut call = Call::new(operation, Box::new(work) as Work<'a>).with_context(context);
        if let Some(name) = name {
            call = call.with_name(name);
        }
        self.layer.layer(service_fn(inner)).call(call)
    }

    /// Makes a call and returns its response.
    pub(crate) fn run(
        &self,
        operation: Operation,
        name: &'static str,
        context: CallContext,
        work: impl FnOnce(CallContext) -> Done,
    ) -> Done {
        let call = self.start(operation, name, context, work);
        call.now_or_never().expect("the work does not wait")
    }

    /// Makes a successful call that takes this many milliseconds.
    pub(crate) fn ok(&self, operation: Operation, name: &'static str, took: u64) {
        let work = |_| {
            self.advance(took);
            Ok(())
        };
        self.run(operation, name, CallContext::new(), work).unwrap();
    }
}

// === impl Rig ===

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(|config| config)
    }

    pub(crate) fn with(config: impl FnOnce(OtlpConfigBuilder) -> OtlpConfigBuilder) -> Self {
        Self::start(config, |sink| sink)
    }

    /// Starts a sink with processors.
    pub(crate) fn build(sink: impl FnOnce(OtlpSinkBuilder) -> OtlpSinkBuilder) -> Self {
        Self::start(|config| config, sink)
    }

    pub(crate) fn start(
        config: impl FnOnce(OtlpConfigBuilder) -> OtlpConfigBuilder,
        sink: impl FnOnce(OtlpSinkBuilder) -> OtlpSinkBuilder,
    ) -> Self {
        let receiver = Receiver::http();
        let builder = OtlpConfig::builder().endpoint(&receiver.endpoint());
        let sink = sink(OtlpSink::builder(config(builder).build().unwrap())).start();
        let calls = Calls::new(sink.clone());
        Self {
            receiver,
            sink,
            calls,
        }
    }

    /// Flushes the sink, and returns the receiver.
    #[track_caller]
    pub(crate) fn flush(&self) -> &Receiver {
        self.sink.blocking_flush(PATIENCE).unwrap();
        &self.receiver
    }
}

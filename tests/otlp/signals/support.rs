//! Calls to export, timed by a clock that stands still unless it is moved.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use codex_telemetry::{
    Call, CallContext, Clock, ManualClock, Operation, OtlpConfig, OtlpSink, Sink, TimingLayer,
    otlp::config::OtlpConfigBuilder,
};
use futures_util::FutureExt as _;
use tower::{Layer as _, Service as _, service_fn};

use crate::{checked::Checked, receiver::Receiver};

/// How long a flush or a shutdown that is to succeed may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Done = Result<(), &'static str>;
type Work<'a> = Box<dyn FnOnce(CallContext) -> Done + 'a>;

/// Makes calls through a layer of its own.
pub(crate) struct Calls {
    layer: TimingLayer,
    manual: ManualClock,
    _checked: Checked<Arc<dyn Sink>>,
}

/// A receiver, a sink that exports to it, and calls to it.
pub(crate) struct Rig {
    pub(crate) receiver: Receiver,
    pub(crate) sink: OtlpSink,
    pub(crate) calls: Calls,
}

/// When every call of [`Calls`] begins that the clock was not moved before.
pub(crate) fn beginning() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// A moment so long after the [`beginning`], as OTLP writes it.
pub(crate) fn nanos(after: Duration) -> u64 {
    let since = beginning().duration_since(UNIX_EPOCH).unwrap() + after;
    u64::try_from(since.as_nanos()).unwrap()
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

// === impl Calls ===

impl Calls {
    pub(crate) fn new(sink: impl Sink + 'static) -> Self {
        let checked = Checked::over(Arc::new(sink) as Arc<dyn Sink>);
        let (clock, manual) = Clock::manual(beginning());
        Self {
            layer: TimingLayer::with_clock(checked.clone(), clock),
            manual,
            _checked: checked,
        }
    }

    pub(crate) fn advance(&self, by: u64) {
        self.manual.advance(millis(by));
    }

    /// Makes a call, whose work is done when it is polled; an empty name is none.
    pub(crate) fn start<'a>(
        &self,
        operation: Operation,
        name: &'static str,
        context: CallContext,
        work: impl FnOnce(CallContext) -> Done + 'a,
    ) -> impl Future<Output = Done> + 'a {
        let inner = |call: Call<Work<'a>>| async move { (call.request)(call.context) };
        let mut call = Call::new(operation, Box::new(work) as Work<'a>).with_context(context);
        if !name.is_empty() {
            call = call.with_name(name);
        }
        self.layer.layer(service_fn(inner)).call(call)
    }

    /// Makes a call and sees it to its end.
    pub(crate) fn run(
        &self,
        operation: Operation,
        name: &'static str,
        context: CallContext,
        work: impl FnOnce(CallContext) -> Done,
    ) -> Done {
        let call = self.start(operation, name, context, work);
        call.now_or_never().expect("the work is done in one go")
    }

    /// Makes a call that takes so many milliseconds and ends well.
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
        let receiver = Receiver::http();
        let builder = OtlpConfig::builder().endpoint(&receiver.endpoint());
        let sink = OtlpSink::start(config(builder).build().unwrap());
        let calls = Calls::new(sink.clone());
        Self {
            receiver,
            sink,
            calls,
        }
    }

    /// Exports all, after which the receiver has it.
    #[track_caller]
    pub(crate) fn flush(&self) -> &Receiver {
        self.sink.flush(PATIENCE).unwrap();
        &self.receiver
    }
}

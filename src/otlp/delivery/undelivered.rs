use std::{fmt, sync::Arc};

use super::shared::Shared;
use crate::otlp::config::Signal;

/// The error of a flush or a shutdown after which records are failed or pending.
///
/// ```
/// use codex_telemetry::{
///     Call, Operation, OtlpConfig, OtlpSink, TimingLayer, otlp::Signal,
/// };
/// use std::{net::TcpListener, time::Duration};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // A receiver that does not answer.
/// let receiver = TcpListener::bind("127.0.0.1:0")?;
/// let url = format!("http://{}", receiver.local_addr()?);
/// let config = OtlpConfig::builder().endpoint(&url).signals([Signal::Traces]).build()?;
/// let sink = OtlpSink::start(config);
/// let layer = TimingLayer::new(sink.clone());
/// let service = layer.layer(service_fn(|_: Call<()>| async { Ok::<_, std::io::Error>(()) }));
/// service.oneshot(Call::new(Operation::Custom("sync"), ())).await?;
///
/// let undelivered = sink.flush(Duration::from_millis(500)).await.unwrap_err();
/// assert_eq!(undelivered.pending(Signal::Traces), 1);
/// assert_eq!(undelivered.failed(Signal::Traces), 0);
/// if let Some(problem) = undelivered.problem(Signal::Traces) {
///     eprintln!("traces: {problem}");
/// }
/// # let _ = sink.shutdown(Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undelivered {
    /// In the order of [`Signal::ALL`].
    signals: [UndeliveredSignal; 3],
    is_timed_out: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct UndeliveredSignal {
    failed: u64,
    pending: u64,
    problem: Option<Arc<str>>,
}

impl Undelivered {
    /// Returns the error of an export thread that did not respond in time.
    pub(crate) fn timed_out() -> Self {
        Self {
            is_timed_out: true,
            ..Self::default()
        }
    }

    pub(crate) fn is_timed_out(&self) -> bool {
        self.is_timed_out
    }

    /// Adds the failed and pending records of a signal, and the reason.
    pub(crate) fn add(&mut self, shared: &Shared, signal: Signal, failed: u64, pending: u64) {
        if failed + pending > 0 {
            self.signals[signal as usize] = UndeliveredSignal {
                failed,
                pending,
                problem: shared.counters(signal).reason(failed, pending),
            };
        }
    }

    pub(crate) fn into_result(self) -> Result<(), Self> {
        if self.is_timed_out || self.signals.iter().any(UndeliveredSignal::has_records) {
            Err(self)
        } else {
            Ok(())
        }
    }

    /// Returns the number of records of a signal that failed.
    #[must_use]
    pub fn failed(&self, signal: Signal) -> u64 {
        self.signals[signal as usize].failed
    }

    /// Returns the number of records of a signal that were still pending at the deadline.
    #[must_use]
    pub fn pending(&self, signal: Signal) -> u64 {
        self.signals[signal as usize].pending
    }

    /// Returns the latest problem of a signal with failed or pending records: the endpoint, and the
    /// receiver's response or the error of the connection.
    #[must_use]
    pub fn problem(&self, signal: Signal) -> Option<&str> {
        self.signals[signal as usize].problem.as_deref()
    }
}

impl UndeliveredSignal {
    fn has_records(&self) -> bool {
        self.failed + self.pending > 0
    }
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_timed_out {
            "the export thread did not respond in time"
        } else {
            "not everything was delivered"
        })?;
        let mut separator = ":";
        for (signal, of) in Signal::ALL.iter().zip(&self.signals) {
            if !of.has_records() {
                continue;
            }
            let (failed, pending) = (of.failed, of.pending);
            write!(
                f,
                "{separator} {signal}: {failed} failed, {pending} pending"
            )?;
            separator = ";";
            if let Some(problem) = &of.problem {
                write!(f, " ({problem})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Undelivered {}

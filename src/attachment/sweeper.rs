use std::{future::poll_fn, panic::resume_unwind, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Interval, MissedTickBehavior, interval},
};
use tower_service::Service;

use super::CleanupRequest;
use crate::error::BoxError;

/// A task that sweeps a store periodically, through a cleanup service with its layers.
///
/// The first sweep starts at once, for the sweeps that were missed while the program did not run. If a
/// sweep fails, the sweeper logs a warning through `tracing` and goes on with the next one.
///
/// Dropping the sweeper stops it and cancels an active sweep.
///
/// ```
/// use codex_telemetry::{MemorySink, TimingLayer};
/// use codex_telemetry::attachment::{AttachmentStore, CleanupService, Sweeper};
/// use std::time::Duration;
/// use tower::ServiceBuilder;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let sink = MemorySink::new();
/// let service = ServiceBuilder::new()
///     .layer(TimingLayer::new(sink.clone()))
///     .service(CleanupService::new(AttachmentStore::open(dir)?));
/// let sweeper = Sweeper::spawn(service, Duration::from_secs(600));
/// sink.wait_for(2, Duration::from_secs(10)).await?;
/// sweeper.stop().await;
/// assert_eq!(sink.events()[1].name(), "codex.attachment.cleanup.stop");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a dropped sweeper stops"]
pub struct Sweeper {
    stop: Arc<Notify>,
    task: JoinHandle<()>,
}

// === impl Sweeper ===

impl Sweeper {
    /// Spawns a task that sweeps now and then every `period`.
    ///
    /// At most one sweep is active. A sweep that takes longer than the period delays the next one.
    ///
    /// # Panics
    ///
    /// Panics if `period` is zero, and outside a tokio runtime with time enabled.
    pub fn spawn<S>(service: S, period: Duration) -> Self
    where
        S: Service<CleanupRequest, Error: Into<BoxError>, Future: Send> + Send + 'static,
    {
        let stop = Arc::new(Notify::new());
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            task: tokio::spawn(sweep_until(service, ticks, Arc::clone(&stop))),
            stop,
        }
    }

    /// Stops the sweeper and waits for an active sweep.
    ///
    /// # Panics
    ///
    /// Resumes the panic of the service, if that has ended the sweeper.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, for instance in a timeout, cancels the active sweep.
    pub async fn stop(mut self) {
        self.stop.notify_one();
        if let Err(error) = (&mut self.task).await
            && let Ok(panic) = error.try_into_panic()
        {
            resume_unwind(panic);
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn sweep_until<S>(mut service: S, mut ticks: Interval, stop: Arc<Notify>)
where
    S: Service<CleanupRequest, Error: Into<BoxError>>,
{
    loop {
        let ready = async {
            ticks.tick().await;
            poll_fn(|cx| service.poll_ready(cx)).await
        };
        let ready: Result<(), BoxError> = tokio::select! {
            biased;
            () = stop.notified() => return,
            ready = ready => ready.map_err(Into::into),
        };
        // From here on, a stop waits for the end of the sweep.
        let result = match ready {
            Ok(()) => {
                let sweep = service.call(CleanupRequest::expired());
                sweep.await.map(drop).map_err(Into::into)
            }
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            warn(&error);
        }
    }
}

#[cfg(feature = "tracing")]
fn warn(error: &BoxError) {
    ::tracing::warn!(
        target: "codex_telemetry",
        error = &**error as &dyn std::error::Error,
        "a sweep of the attachment store failed; the sweeper tries again after its period"
    );
}

#[cfg(not(feature = "tracing"))]
fn warn(_: &BoxError) {}

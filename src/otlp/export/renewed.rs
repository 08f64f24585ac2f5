use std::{sync::Arc, time::Duration};

use opentelemetry::Context;
use tokio::{
    sync::Mutex,
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

/// A value that is read before each request: headers, or the files of certificates.
///
/// Reading may block, for example on a network file system or in a callback. So a thread of its own reads,
/// and the export thread waits for it, but not for ever.
pub(super) struct Renewed<T> {
    /// What is read, in errors.
    name: String,
    read: Arc<dyn Fn() -> Result<T, String> + Send + Sync>,
    /// The read that has not finished. There is one at most, so a source that blocks takes one thread.
    reading: Mutex<Option<JoinHandle<Result<T, String>>>>,
}

// === impl Renewed ===

impl<T: Send + 'static> Renewed<T> {
    pub(super) fn new(
        name: String,
        read: impl Fn() -> Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            read: Arc::new(read),
            reading: Mutex::default(),
        }
    }

    /// Returns the current value, or why there is none. With an older value to go on with, it waits once for
    /// a source that blocks, otherwise each time.
    ///
    /// Cancel safe: the next call goes on with the same read.
    pub(super) async fn read(&self, limit: Duration, has_older: bool) -> Result<T, String> {
        let mut reading = self.reading.lock().await;
        let limit = match &*reading {
            Some(_) if has_older => Duration::ZERO,
            _ => limit,
        };
        let task = reading.get_or_insert_with(|| {
            let read = Arc::clone(&self.read);
            spawn_blocking(move || {
                // Instruments of the application record nothing about this thread.
                let _suppressed = Context::enter_telemetry_suppressed_scope();
                read()
            })
        });
        let read = match timeout(limit, task).await {
            Ok(read) => {
                *reading = None;
                read.unwrap_or_else(|_| Err("it panicked".to_owned()))
            }
            Err(_) => Err("it blocks".to_owned()),
        };
        read.map_err(|reason| format!("{}: {reason}", self.name))
    }
}

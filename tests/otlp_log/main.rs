//! What the sink logs while it runs. The subscriber of the process is the test's.

#[path = "../otlp/receiver/mod.rs"]
mod receiver;

use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use codex_telemetry::{
    Call, Operation, OtlpConfig, OtlpSink, Sink, TimingLayer,
    otlp::{Signal, config::OtlpConfigBuilder},
};
use futures_util::FutureExt as _;
use tower::{Layer as _, Service as _, service_fn};

use crate::receiver::{MockResponse, Receiver};

/// A timeout that no test reaches, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The lines of the process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn of_the_process() -> &'static Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt()
                .without_time()
                .with_ansi(false)
                .with_writer(move || writer.clone());
            tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
            log
        })
    }

    /// Returns the lines of the crate that contain a text.
    fn lines(&self, text: &str) -> Vec<String> {
        let bytes = self.0.lock().unwrap().clone();
        let all = String::from_utf8(bytes).unwrap();
        let lines = all.lines().map(|line| line.trim().to_owned());
        lines
            .filter(|line| line.contains("codex_telemetry:") && line.contains(text))
            .collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts a sink of one signal that exports after a short delay.
fn start(
    receiver: &Receiver,
    signal: Signal,
    configure: impl FnOnce(OtlpConfigBuilder) -> OtlpConfigBuilder,
) -> OtlpSink {
    let config = OtlpConfig::builder()
        .endpoint(&receiver.endpoint())
        .header("authorization", "Bearer hunter2")
        .schedule_delay(Duration::from_millis(10))
        .signals([signal]);
    OtlpSink::start(configure(config).build().unwrap())
}

fn call(sink: impl Sink + 'static) {
    let service = service_fn(async |_: Call<()>| -> Result<(), ()> { Ok(()) });
    let call = TimingLayer::new(sink)
        .layer(service)
        .call(Call::new(Operation::Tool, ()));
    assert_eq!(call.now_or_never(), Some(Ok(())));
}

#[test]
fn a_change_from_good_to_bad_and_back_is_logged_once() {
    let log = Log::of_the_process();
    let receiver = Receiver::http();
    receiver.respond_with(MockResponse::Status(503));
    let sink = start(&receiver, Signal::Traces, |config| config);
    call(sink.clone());
    receiver.wait_for_requests(4);
    let lines = log.lines("OTLP traces");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("WARN"), "{lines:?}");
    let warning = format!("OTLP traces are not delivered: {}", receiver.endpoint());
    assert!(lines[0].contains(&warning), "{lines:?}");
    assert!(lines[0].contains("503"), "{lines:?}");
    assert!(
        lines[0].contains("(1 pending, 0 failed, 0 dropped)"),
        "{lines:?}"
    );
    receiver.respond_with(MockResponse::Accept);
    assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
    let lines = log.lines("OTLP traces");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].starts_with("INFO"), "{lines:?}");
    assert!(lines[1].contains("delivered again"), "{lines:?}");
    assert!(log.lines("hunter2").is_empty(), "a secret");
}

#[test]
fn events_that_the_queue_drops_are_logged_with_their_number() {
    let log = Log::of_the_process();
    let receiver = Receiver::http();
    let sink = start(&receiver, Signal::Logs, |config| config.queue_capacity(2));
    while sink.stats().logs.dropped == 0 {
        call(sink.clone());
    }
    // The events that the flush exports may have been dropped by the buffer.
    let _ = sink.blocking_flush(PATIENCE);
    let lines = log.lines("the queue of the OTLP sink was full and dropped");
    assert_eq!(lines.len(), 1, "{lines:?}");
}

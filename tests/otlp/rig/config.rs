use std::time::Duration;

use codex_telemetry::{
    OtlpConfig, OtlpSink,
    otlp::{
        Signal,
        config::{OtlpConfigBuilder, Protocol},
    },
};

use crate::receiver::Receiver;

/// A timeout that no test reaches, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The protocol of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Http,
    Json,
    #[cfg(feature = "grpc")]
    Grpc,
}

impl Wire {
    pub(crate) const ALL: &[Self] = &[
        Self::Http,
        Self::Json,
        #[cfg(feature = "grpc")]
        Self::Grpc,
    ];

    /// The protocols that fail in different ways.
    pub(crate) const TRANSPORTS: &[Self] = &[
        Self::Http,
        #[cfg(feature = "grpc")]
        Self::Grpc,
    ];

    pub(crate) fn receiver(self) -> Receiver {
        match self {
            Self::Http | Self::Json => Receiver::http(),
            #[cfg(feature = "grpc")]
            Self::Grpc => Receiver::grpc(),
        }
    }

    fn protocol(self) -> Protocol {
        match self {
            Self::Http => Protocol::HttpProtobuf,
            Self::Json => Protocol::HttpJson,
            #[cfg(feature = "grpc")]
            Self::Grpc => Protocol::Grpc,
        }
    }

    /// Returns a configuration that exports incomplete batches only on a flush, so that the flush reports
    /// their outcome.
    pub(crate) fn config(self, endpoint: &str) -> OtlpConfigBuilder {
        OtlpConfig::builder()
            .endpoint(endpoint)
            .protocol(self.protocol())
            .schedule_delay(Duration::from_secs(3600))
    }

    /// Returns a configuration that exports everything after a short delay.
    pub(crate) fn eager(self, endpoint: &str) -> OtlpConfigBuilder {
        self.config(endpoint)
            .schedule_delay(Duration::from_millis(10))
    }
}

/// Starts a sink that exports one signal only.
pub(crate) fn only(signal: Signal, config: OtlpConfigBuilder) -> OtlpSink {
    OtlpSink::start(config.signals([signal]).build().unwrap())
}

/// Asserts that all records of `calls` calls were accepted and exported.
#[track_caller]
pub(crate) fn assert_all_exported(sink: &OtlpSink, calls: u64) {
    let stats = sink.stats();
    for (signal, expected) in [
        (Signal::Traces, calls),
        (Signal::Metrics, 2 * calls),
        (Signal::Logs, 2 * calls),
    ] {
        let of = stats.of(signal);
        assert_eq!(of.accepted, expected, "{stats}");
        assert_eq!(of.exported, expected, "{stats}");
        assert_eq!((of.failed, of.dropped, of.pending), (0, 0, 0), "{stats}");
    }
}

/// Shuts a sink down, and returns the number of pending records. Ignores failed ones.
pub(crate) fn pending_at_shutdown(sink: &OtlpSink, signal: Signal) -> u64 {
    match sink.blocking_shutdown(PATIENCE) {
        Ok(()) => 0,
        Err(undelivered) => undelivered.pending(signal),
    }
}

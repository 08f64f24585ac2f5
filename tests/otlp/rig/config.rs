use std::time::Duration;

use codex_telemetry::{
    OtlpConfig, OtlpSink,
    otlp::{
        Signal,
        config::{OtlpConfigBuilder, Protocol},
    },
};

use crate::receiver::Receiver;

/// Far more than anything here takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What is spoken on the way.
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

    /// The ones that differ in how they fail.
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

    /// A configuration by which nothing is exported that is less than a batch and that nobody asks for:
    /// so what becomes of it is in the answer of who asks.
    pub(crate) fn config(self, endpoint: &str) -> OtlpConfigBuilder {
        OtlpConfig::builder()
            .endpoint(endpoint)
            .protocol(self.protocol())
            .schedule_delay(Duration::from_secs(3600))
    }

    /// A configuration by which everything goes out by itself and soon.
    pub(crate) fn eager(self, endpoint: &str) -> OtlpConfigBuilder {
        self.config(endpoint)
            .schedule_delay(Duration::from_millis(10))
    }
}

/// Starts a sink that exports one signal and nothing else.
pub(crate) fn only(signal: Signal, config: OtlpConfigBuilder) -> OtlpSink {
    OtlpSink::start(config.signals([signal]).build().unwrap())
}

/// Asserts that every record that was accepted is exported, and that this is so many of each signal.
#[track_caller]
pub(crate) fn all_arrived(sink: &OtlpSink, calls: u64) {
    let stats = sink.stats();
    for (signal, expected) in [
        (Signal::Traces, calls),
        (Signal::Metrics, 2 * calls),
        (Signal::Logs, 2 * calls),
    ] {
        let of = stats.of(signal);
        assert_eq!(of.accepted, expected, "{stats}");
        assert_eq!(of.exported, expected, "{stats}");
        assert_eq!((of.failed, of.dropped, of.pending()), (0, 0, 0), "{stats}");
    }
}

/// How many records are under way when a sink has been shut down; it may well tell of failures before.
pub(crate) fn left_at_the_end(sink: &OtlpSink, signal: Signal) -> u64 {
    match sink.shutdown(PATIENCE) {
        Ok(()) => 0,
        Err(told) => told.pending(signal),
    }
}

use std::io::Read as _;

use prost::Message;
use serde::de::DeserializeOwned;

use super::{
    model::{self, LogRecord, Metric, Span},
    request::{Encoding, Format},
};

/// A kind of data that OTLP transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
    Logs,
}

/// The decoded records of one or more requests.
#[derive(Debug, Default)]
pub(super) struct Payload {
    pub(super) spans: Vec<Span>,
    pub(super) metrics: Vec<Metric>,
    pub(super) logs: Vec<LogRecord>,
}

// === impl Signal ===

impl Signal {
    pub(super) fn of_path(path: &str) -> Option<Self> {
        Some(match path {
            "/v1/traces" => Self::Traces,
            "/v1/metrics" => Self::Metrics,
            "/v1/logs" => Self::Logs,
            _ => return None,
        })
    }

    pub(super) fn of_method(path: &str) -> Option<Self> {
        let method = path.strip_prefix("/opentelemetry.proto.collector.")?;
        Some(match method {
            "trace.v1.TraceService/Export" => Self::Traces,
            "metrics.v1.MetricsService/Export" => Self::Metrics,
            "logs.v1.LogsService/Export" => Self::Logs,
            _ => return None,
        })
    }

    /// Returns the JSON name of the number of rejected records.
    pub(super) fn rejected(self) -> &'static str {
        match self {
            Self::Traces => "rejectedSpans",
            Self::Metrics => "rejectedDataPoints",
            Self::Logs => "rejectedLogRecords",
        }
    }

    pub(super) fn decode(self, body: &[u8], format: Format) -> Result<Payload, String> {
        let mut payload = Payload::default();
        match self {
            Self::Traces => payload.spans = model::spans(message(body, format)?)?,
            Self::Metrics => payload.metrics = model::metrics(message(body, format)?)?,
            Self::Logs => payload.logs = model::log_records(message(body, format)?)?,
        }
        Ok(payload)
    }
}

fn message<M: Message + Default + DeserializeOwned>(
    body: &[u8],
    format: Format,
) -> Result<M, String> {
    match format {
        Format::Protobuf => M::decode(body).map_err(|error| error.to_string()),
        Format::Json => serde_json::from_slice(body).map_err(|error| error.to_string()),
    }
}

/// Returns the decompressed body.
pub(super) fn decompress(body: &[u8], encoding: &Encoding) -> Result<Vec<u8>, String> {
    match encoding {
        Encoding::Identity => Ok(body.to_vec()),
        Encoding::Gzip => {
            let mut plain = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(body);
            match decoder.read_to_end(&mut plain) {
                Ok(_) => Ok(plain),
                Err(error) => Err(format!("gzip: {error}")),
            }
        }
        Encoding::Other(name) => Err(format!("encoding {name} is not supported")),
    }
}

// === impl Payload ===

impl Payload {
    pub(super) fn append(&mut self, mut other: Self) {
        self.spans.append(&mut other.spans);
        self.metrics.append(&mut other.metrics);
        self.logs.append(&mut other.logs);
    }

    /// Removes the last `count` spans, log records or data points. Removes a metric with its last data point.
    pub(super) fn reject(&mut self, count: i64) {
        for _ in 0..count {
            if self.spans.pop().is_some() || self.logs.pop().is_some() {
                continue;
            }
            if let Some(metric) = self.metrics.last_mut() {
                metric.points.pop();
                if metric.points.is_empty() {
                    self.metrics.pop();
                }
            }
        }
    }
}

use std::{
    fmt,
    future::Future,
    io::{Read as _, Write as _},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use opentelemetry_http::{HttpClient, HttpError};
use reqwest::Url;

#[cfg(feature = "grpc")]
use super::grpc;
use super::{
    connection::Connection,
    headers::Headers,
    http as otlp_http,
    outcome::{ExportOutcome, Problem},
    secrets::Secrets,
    transport,
};
use crate::otlp::config::{OtlpConfig, Protocol, Signal, SignalConfig};

/// The HTTP client of an exporter, which sends the serialized records of one signal to their receiver.
///
/// The exporter serializes, and learns nothing of the receiver: it would log URLs and responses, and return
/// little more than whether it succeeded. The outcome goes past it, through an [`Answer`].
pub(super) struct Client {
    signal: Signal,
    protocol: Protocol,
    url: Url,
    gzip: bool,
    message_bytes: usize,
    timeout: Duration,
    headers: Headers,
    connection: Connection,
    secrets: Secrets,
    answer: Answer,
}

/// The outcome of the latest request of a [`Client`].
#[derive(Clone, Debug, Default)]
pub(super) struct Answer(Arc<Mutex<Option<ExportOutcome>>>);

// === impl Answer ===

impl Answer {
    /// Returns the outcome of the request since the last call. `None` if there was none.
    pub(super) fn take(&self) -> Option<ExportOutcome> {
        self.replace(None)
    }

    fn replace(&self, outcome: Option<ExportOutcome>) -> Option<ExportOutcome> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, outcome)
    }
}

// === impl Client ===

impl Client {
    pub(super) fn new(
        signal: Signal,
        config: &SignalConfig,
        all: &OtlpConfig,
        answer: Answer,
    ) -> Result<Self, String> {
        let limits = all.limits();
        let timeout = match signal {
            Signal::Metrics => config.timeout.min(limits.metric_timeout),
            Signal::Traces | Signal::Logs => config.timeout,
        };
        Ok(Self {
            signal,
            protocol: config.protocol,
            // The configuration has checked it with this parser.
            url: Url::parse(config.endpoint.as_str()).map_err(|error| error.to_string())?,
            gzip: config.gzip,
            message_bytes: limits.message_bytes,
            timeout,
            headers: Headers::new(config),
            connection: Connection::new(config, timeout)?,
            secrets: Secrets::new(config),
            answer,
        })
    }

    async fn export(&self, request: Request<Bytes>) -> ExportOutcome {
        // Not its headers: the exporter adds those of the environment.
        let message = match uncompressed(request.into_body()) {
            Ok(message) => message,
            Err(problem) => return ExportOutcome::Rejected(problem.into()),
        };
        if message.len() > self.message_bytes {
            let (size, limit) = (message.len(), self.message_bytes);
            let text = format!(
                "the request has {size} bytes, and the limit is {limit}; send smaller batches, or raise \
                 `message_bytes` if the receiver takes larger requests"
            );
            return ExportOutcome::TooLarge(Problem::new("message_too_large", text));
        }
        let (headers, outdated_headers) = match self.headers.current(self.timeout).await {
            Ok(current) => current,
            Err(error) => {
                let text = format!("{error}; the request waits for them");
                let outcome = ExportOutcome::retryable(Problem::new("missing_headers", text));
                return self.explain(outcome, &HeaderMap::new(), None);
            }
        };
        let (client, outdated_files) = self.connection.client().await;
        let outcome = self.send(client, headers.clone(), message).await;
        self.explain(outcome, &headers, outdated_headers.or(outdated_files))
    }

    async fn send(
        &self,
        client: reqwest::Client,
        mut headers: HeaderMap,
        message: Bytes,
    ) -> ExportOutcome {
        let url = self.url.clone();
        // A configured header does not replace these: they describe the body.
        headers.remove(header::CONTENT_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
        #[cfg(feature = "grpc")]
        if self.protocol == Protocol::Grpc {
            let path = grpc::path(self.signal);
            let called = grpc::call(client, url, path, headers, self.gzip, message).await;
            return called.unwrap_or_else(|unanswered| {
                self.connection.reconnect();
                transport::failure(unanswered.error())
            });
        }
        let mut body = message;
        if self.gzip {
            body = compressed(&body);
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let content_type = HeaderValue::from_static(match self.protocol {
            Protocol::HttpJson => "application/json",
            _ => "application/x-protobuf",
        });
        headers.insert(header::CONTENT_TYPE, content_type);
        let posted = otlp_http::post(client.post(url).headers(headers), body).await;
        posted.unwrap_or_else(|error| transport::failure(&error.without_url()))
    }

    /// Hides the secrets of an outcome, and adds what only this client knows: why it may be, and what to do.
    fn explain(
        &self,
        mut outcome: ExportOutcome,
        headers: &HeaderMap,
        warning: Option<String>,
    ) -> ExportOutcome {
        let warning = warning.map(|warning| self.secrets.redact(&warning, headers));
        match (outcome.text_mut(), warning) {
            (Some(text), warning) => {
                *text = self.secrets.redact(text, headers);
                text.extend(warning.map(|warning| format!("; {warning}")));
            }
            (None, warning) => outcome = ExportOutcome::accepted(warning),
        }
        let ExportOutcome::Rejected(mut problem) = outcome else {
            return outcome;
        };
        match &*problem.error_type {
            // The next request may have a new token.
            "401" | "403" | "UNAUTHENTICATED" | "PERMISSION_DENIED"
                if self.headers.can_change() =>
            {
                return ExportOutcome::retryable(problem);
            }
            "404" | "405" | "UNIMPLEMENTED" => {
                let signal = self.signal;
                problem.text += &format!(
                    "; if the receiver does not take {signal}, leave them out of the signals, \
                     otherwise correct the endpoint"
                );
            }
            _ => {}
        }
        ExportOutcome::Rejected(problem)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL is a secret.
        f.write_str("Client")
    }
}

impl HttpClient for Client {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async {
            let outcome = self.export(request).await;
            self.answer.replace(Some(outcome));
            // The exporter decodes it.
            Ok(Response::new(Bytes::from_static(match self.protocol {
                Protocol::HttpJson => b"{}",
                _ => b"",
            })))
        })
    }
}

fn compressed(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default().into()
}

/// Returns the body of the exporter's request. It is compressed only if the environment of the process asks
/// for it and another crate enables that feature of the exporter; the configuration alone decides here. The
/// first bytes tell, as no request in protobuf or JSON begins with them.
fn uncompressed(body: Bytes) -> Result<Bytes, String> {
    match &*body {
        [0x1f, 0x8b, ..] => {
            let mut uncompressed = Vec::new();
            let read = GzDecoder::new(&*body).read_to_end(&mut uncompressed);
            read.map_err(|error| format!("the request could not be decompressed: {error}"))?;
            Ok(uncompressed.into())
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Err(
            "the exporter compressed the request with zstd; unset OTEL_EXPORTER_OTLP_COMPRESSION, and use \
             CODEX_OTLP_COMPRESSION"
                .to_owned(),
        ),
        _ => Ok(body),
    }
}

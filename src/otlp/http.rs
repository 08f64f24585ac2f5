use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use opentelemetry_http::{HttpClient, HttpError};

use super::{
    config::SignalConfig,
    delivery::{Exchange, Partial},
    tls,
};
use crate::event::error_text;

/// How much of an answer is read: a partial success is short, and a stranger's page is not wanted.
const MOST_READ: usize = 64 * 1024;

/// The HTTP client of one signal's exporter. It keeps what came back last, of which the exporter itself
/// tells little more than whether it was good.
#[derive(Clone)]
pub(super) struct Client {
    client: reqwest::Client,
    headers: HeaderMap,
    last: Arc<Mutex<Option<Exchange>>>,
}

impl Client {
    pub(super) fn new(config: &SignalConfig) -> Result<Self, String> {
        let builder = reqwest::Client::builder()
            .timeout(config.timeout)
            // OTLP knows no redirects; one would be somebody else's page.
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            // Also without TLS: left alone, the client looks for a provider of the process's, and
            // panics where there is none.
            .tls_backend_preconfigured(if config.endpoint.as_str().starts_with("https:") {
                tls::client_config(&config.tls)?
            } else {
                tls::unused()?
            });
        let client = builder.build().map_err(|error| {
            format!("the HTTP client could not be built: {}", error_text(&error))
        })?;
        Ok(Self {
            client,
            headers: headers(config),
            last: Arc::default(),
        })
    }

    /// Gives what came back last, and forgets it.
    pub(super) fn take_exchange(&self) -> Option<Exchange> {
        self.last().take()
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        // The exporter reads headers from the environment by itself, and those would win. So the
        // request is made of its bare necessities and of what the configuration says.
        let mut headers = self.headers.clone();
        for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING] {
            if let Some(value) = parts.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let sent = self
            .client
            .request(parts.method, parts.uri.to_string())
            .headers(headers)
            .body(body)
            .send();
        let mut answer = match sent.await {
            Ok(answer) => answer,
            Err(error) => return Err(self.lost(error)),
        };
        let mut read = BytesMut::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) if read.len() < MOST_READ => read.extend_from_slice(&chunk),
                Ok(_) => break,
                Err(error) => return Err(self.lost(error)),
            }
        }
        *self.last() = Some(Exchange::Answer {
            status: answer.status().as_u16(),
            retry_after: retry_after(answer.headers()),
            partial: partial_success(&read),
            words: words(&read),
        });
        let mut response = Response::new(read.freeze());
        *response.status_mut() = answer.status();
        Ok(response)
    }

    fn lost(&self, error: reqwest::Error) -> HttpError {
        // The address may hold a password.
        let error = error.without_url();
        let why = error_text(&error);
        *self.last() = Some(Exchange::Lost { why: why.clone() });
        why.into()
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<Exchange>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
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
        Box::pin(self.send(request))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// The headers of every request; their values are marked as secrets by the configuration.
pub(super) fn headers(config: &SignalConfig) -> HeaderMap {
    let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let mut headers = HeaderMap::new();
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    for (name, value) in config.headers.iter() {
        // Not `extend`, which would add to what is there.
        headers.insert(name, value.clone());
    }
    headers
}

/// Seconds, or nothing: a date would need the receiver's clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// A partial success told in JSON, which the exporter cannot read when it is written as the mapping of
/// protobuf to JSON asks, with its count as a text.
fn partial_success(body: &[u8]) -> Option<Partial> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let partial = answer.get("partialSuccess")?;
    let counts = ["rejectedSpans", "rejectedLogRecords", "rejectedDataPoints"];
    let rejected = counts.iter().find_map(|key| match partial.get(key)? {
        serde_json::Value::String(count) => count.parse().ok(),
        count => count.as_u64(),
    });
    let words = partial.get("errorMessage").and_then(|words| words.as_str());
    Some(Partial {
        rejected: rejected.unwrap_or_default(),
        words: words.unwrap_or_default().to_owned(),
    })
}

/// The receiver's words, as far as they are any.
fn words(body: &[u8]) -> String {
    if let Some(message) = status_message(body) {
        return message.trim().to_owned();
    }
    let text = String::from_utf8_lossy(body);
    let readable = text
        .split(|c: char| c.is_control() && c != '\n' || c == char::REPLACEMENT_CHARACTER)
        .max_by_key(|part| part.len());
    readable.unwrap_or_default().trim().to_owned()
}

/// The message of a `google.rpc.Status` in protobuf: after a code, perhaps, a 2, a length, and a text.
fn status_message(body: &[u8]) -> Option<&str> {
    let after_code = match body {
        [0x08, rest @ ..] => varint(rest)?.1,
        _ => body,
    };
    let (length, rest) = varint(after_code.strip_prefix(&[0x12])?)?;
    std::str::from_utf8(rest.get(..length)?).ok()
}

fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    // No answer that is read is so long that four bytes would not do.
    let last = bytes.iter().take(4).position(|byte| byte & 0x80 == 0)?;
    let (number, rest) = bytes.split_at(last + 1);
    let add = |sum, byte: &u8| sum << 7 | usize::from(byte & 0x7f);
    Some((number.iter().rev().fold(0, add), rest))
}

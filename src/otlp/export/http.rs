use std::{future::Future, pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    Compression, Protocol as OtlpProtocol, RetryPolicy, WithExportConfig, WithHttpConfig,
};

use super::{diagnostics::Collector, tls};
use crate::{
    event::error_text,
    otlp::config::{Protocol, SignalConfig},
};

/// How much of a response is read, in bytes. A partial success is short, and other pages are not needed.
const MAX_BODY: usize = 64 * 1024;

/// The HTTP client of one exporter. It records the response: the exporter itself returns little more than
/// whether it succeeded.
#[derive(Debug)]
struct Client {
    client: reqwest::Client,
    diagnostics: Collector,
}

/// Configures an exporter over HTTP.
pub(crate) fn configure<B>(
    builder: B,
    config: &SignalConfig,
    diagnostics: &Collector,
) -> Result<B, String>
where
    B: WithExportConfig + WithHttpConfig,
{
    let mut builder = builder
        .with_http_client(Client::new(config, diagnostics)?)
        .with_endpoint(config.endpoint.as_str())
        .with_protocol(match config.protocol {
            Protocol::HttpJson => OtlpProtocol::HttpJson,
            _ => OtlpProtocol::HttpBinary,
        })
        .with_timeout(config.timeout)
        // The pipeline retries.
        .with_retry_policy(RetryPolicy::disabled());
    if config.gzip {
        builder = builder.with_compression(Compression::Gzip);
    }
    Ok(builder)
}

/// Returns the headers of every request. The configuration marks their values as sensitive.
pub(crate) fn headers(config: &SignalConfig) -> HeaderMap {
    let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let mut headers = HeaderMap::new();
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    for (name, value) in &config.headers {
        // Not `extend`, which would keep the existing value as well.
        headers.insert(name, value.clone());
    }
    headers
}

// === impl Client ===

impl Client {
    fn new(config: &SignalConfig, diagnostics: &Collector) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .timeout(config.timeout)
            .default_headers(headers(config))
            // OTLP has no redirects.
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            // Also without TLS: otherwise the client uses the default provider of the process, and
            // panics if there is none.
            .tls_backend_preconfigured(if config.endpoint.is_https() {
                tls::client_config(&config.tls)?
            } else {
                tls::unused()?
            })
            .build()
            .map_err(|error| {
                let error = error_text(&error);
                format!("the HTTP client could not be built: {error}")
            })?;
        Ok(Self {
            client,
            diagnostics: diagnostics.clone(),
        })
    }

    async fn send(&self, request: Request<Bytes>) -> reqwest::Result<Response<Bytes>> {
        let (parts, body) = request.into_parts();
        let mut request = self.client.request(parts.method, parts.uri.to_string());
        // The exporter adds headers from the environment. So only its headers of the body are sent, beside
        // the configured headers of the client.
        for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING] {
            if let Some(value) = parts.headers.get(&name) {
                request = request.header(name, value);
            }
        }
        let mut response = request.body(body).send().await?;
        let mut body = BytesMut::new();
        while body.len() < MAX_BODY
            && let Some(chunk) = response.chunk().await?
        {
            body.extend_from_slice(&chunk);
        }
        self.record(&response, &body);
        let mut converted = Response::new(body.freeze());
        *converted.status_mut() = response.status();
        Ok(converted)
    }

    fn record(&self, response: &reqwest::Response, body: &[u8]) {
        let mut diagnostics = self.diagnostics.lock();
        diagnostics.http = Some(Ok(response.status().as_u16()));
        diagnostics.retry_after = retry_after(response.headers());
        if !response.status().is_success() {
            diagnostics.message = message(body);
        } else if let Some((rejected, message)) = partial_success(body) {
            diagnostics.is_decoded = true;
            diagnostics.rejected = rejected;
            diagnostics.message = message;
        }
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
            self.send(request).await.map_err(|error| {
                // The URL may contain a password.
                let error = error_text(&error.without_url());
                self.diagnostics.lock().http = Some(Err(error.clone()));
                error.into()
            })
        })
    }
}

/// Returns the `Retry-After` header in seconds. A date is ignored: it needs the receiver's clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// Returns the number of rejected records and the message of a partial success in JSON. The exporter does
/// not accept the number as a string, which is how protobuf's JSON mapping writes 64-bit integers.
fn partial_success(body: &[u8]) -> Option<(u64, Option<String>)> {
    let response: serde_json::Value = serde_json::from_slice(body).ok()?;
    let partial = response.get("partialSuccess")?;
    let counts = ["rejectedSpans", "rejectedLogRecords", "rejectedDataPoints"];
    let rejected = counts.iter().find_map(|key| match partial.get(key)? {
        serde_json::Value::String(count) => count.parse().ok(),
        count => count.as_u64(),
    });
    let message = partial.get("errorMessage").and_then(|text| text.as_str());
    let message = message.filter(|message| !message.is_empty());
    Some((rejected.unwrap_or_default(), message.map(str::to_owned)))
}

/// Returns the message in a body: that of a `google.rpc.Status` in protobuf, or else the longest readable
/// part.
fn message(body: &[u8]) -> Option<String> {
    // A status has an optional code (field 1), then the message (field 2). Its length is skipped here if it
    // is a readable character; a longer one is not readable.
    let status = match body {
        [0x08, _code, status @ ..] => status,
        status => status,
    };
    let text = match status {
        [0x12, length @ 0..0x80, text @ ..] => text.get(..(*length).into()).unwrap_or(text),
        _ => body,
    };
    let text = String::from_utf8_lossy(text);
    let readable = text
        .split(|c: char| c.is_control() && c != '\n' || c == char::REPLACEMENT_CHARACTER)
        .max_by_key(|part| part.len())?
        .trim();
    (!readable.is_empty()).then(|| readable.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_status_or_of_a_page_is_readable() {
        let long = "x".repeat(300);
        for (body, expected) in [
            (&b"\x12\x02no"[..], "no"),
            (
                b"\x08\x07\x12\x21a message of thirty-three letters",
                "a message of thirty-three letters",
            ),
            (&[b"\x08\x07\x12\xac\x02", long.as_bytes()].concat(), &*long),
            (b"<html>\xff it works! </html>", "it works! </html>"),
            (b" plain\ntext ", "plain\ntext"),
            (b"", ""),
        ] {
            assert_eq!(message(body).unwrap_or_default(), expected);
        }
    }
}

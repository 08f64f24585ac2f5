//! OTLP over HTTP: one request, and what its response says.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};

use super::{
    outcome::{ExportOutcome, Problem},
    response,
};

/// How much of a response is read, in bytes. A partial success is short, and other pages are not needed.
const MAX_BODY: usize = 64 * 1024;

/// Sends a request and returns its outcome, or the error if there is no response.
pub(super) async fn post(
    request: reqwest::RequestBuilder,
    body: Bytes,
) -> reqwest::Result<ExportOutcome> {
    let mut response = request.body(body).send().await?;
    let mut body = BytesMut::new();
    while body.len() < MAX_BODY
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk);
    }
    if response.status().is_success() {
        return Ok(response::success(body.freeze()));
    }
    let retry_after = retry_after(response.headers());
    Ok(failure(response.status(), retry_after, &body))
}

/// Returns the outcome of a response that is no success.
pub(super) fn failure(
    status: StatusCode,
    retry_after: Option<Duration>,
    body: &[u8],
) -> ExportOutcome {
    let message = response::failure_message(body);
    let status = status.as_u16();
    let text = format!("the receiver responded with status {status}{message}");
    let problem = Problem::new(status.to_string(), text);
    match status {
        // The protocol names these statuses and no others.
        429 | 502 | 503 | 504 => ExportOutcome::Retryable {
            problem,
            retry_after,
        },
        413 => ExportOutcome::TooLarge(problem),
        _ => ExportOutcome::Rejected(problem),
    }
}

/// Returns how long the receiver asked to wait. A date is compared with the receiver's own clock, if the
/// response has it.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let date = |text| httpdate::parse_http_date(text).ok();
    let value = text(header::RETRY_AFTER)?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = text(header::DATE).and_then(date);
    let wait = date(value)?.duration_since(now.unwrap_or_else(SystemTime::now));
    // A date in the past asks for no delay.
    Some(wait.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_statuses_of_the_protocol_are_retryable() {
        for status in 300..600 {
            let outcome = failure(StatusCode::from_u16(status).unwrap(), None, b"");
            let found = matches!(outcome, ExportOutcome::Retryable { .. });
            assert_eq!(found, [429, 502, 503, 504].contains(&status), "{status}");
        }
    }

    #[test]
    fn a_request_that_is_too_large_has_a_status_of_its_own() {
        let outcome = failure(StatusCode::PAYLOAD_TOO_LARGE, None, b"");
        assert!(matches!(outcome, ExportOutcome::TooLarge(_)), "{outcome:?}");
    }

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date_of_the_receivers_clock() {
        let date = "Fri, 31 Dec 1999 23:59:00 GMT";
        for (value, date, expected) in [
            ("7", None, Some(7)),
            (" 7 ", None, Some(7)),
            ("Fri, 31 Dec 1999 23:59:59 GMT", Some(date), Some(59)),
            ("Friday, 31-Dec-99 23:59:59 GMT", Some(date), Some(59)),
            ("Fri, 31 Dec 1999 23:58:00 GMT", Some(date), Some(0)),
            ("Fri, 31 Dec 1999 23:59:59 GMT", None, Some(0)),
            ("soon", Some(date), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(value));
            if let Some(date) = date {
                headers.insert(header::DATE, HeaderValue::from_static(date));
            }
            let expected = expected.map(Duration::from_secs);
            assert_eq!(retry_after(&headers), expected, "{value} {date:?}");
        }
    }
}

//! What the body of a response says.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;

use super::outcome::{ExportOutcome, Problem};

/// Returns the outcome of a response that reports a success. An empty body is one without a partial
/// success. A body that is not OTLP is a failure: it may be the page of a proxy or of another program.
pub(super) fn success(body: Bytes) -> ExportOutcome {
    let partial_success = match body.first() {
        // No message in protobuf begins with this byte: it would begin an unknown group.
        Some(b'{') => json_partial_success(&body),
        _ => protobuf_partial_success(body),
    };
    let Some((rejected, message)) = partial_success else {
        let problem = "the receiver responded with a success and a body that is not OTLP; check \
                       that it is a collector";
        return ExportOutcome::Rejected(Problem::new("garbled_response", problem));
    };
    let problem = match message.trim() {
        "" if rejected > 0 => Some("the receiver rejected records without a message".to_owned()),
        "" => None,
        _ => Some(message),
    };
    ExportOutcome::Accepted { rejected, problem }
}

/// Returns the number of rejected records and the message. `None` if the body is not OTLP.
fn protobuf_partial_success(body: Bytes) -> Option<(u64, String)> {
    // The responses of all signals differ in names only, which are not encoded.
    let response = ExportTraceServiceResponse::decode(body).ok()?;
    let partial = response.partial_success.unwrap_or_default();
    let rejected = u64::try_from(partial.rejected_spans).unwrap_or_default();
    Some((rejected, partial.error_message))
}

/// As [`protobuf_partial_success`]. The number may be a string, which is how protobuf's JSON mapping writes
/// 64-bit integers.
fn json_partial_success(body: &[u8]) -> Option<(u64, String)> {
    let response: serde_json::Value = serde_json::from_slice(body).ok()?;
    let partial = &response["partialSuccess"];
    let counts = ["rejectedSpans", "rejectedLogRecords", "rejectedDataPoints"];
    let rejected = counts.iter().find_map(|key| match &partial[key] {
        serde_json::Value::String(count) => count.parse().ok(),
        count => count.as_u64(),
    });
    let message = partial["errorMessage"].as_str().unwrap_or_default();
    Some((rejected.unwrap_or_default(), message.to_owned()))
}

/// Returns the message in the body of a failure, with a separator before it: that of a `google.rpc.Status`
/// in protobuf, or else the longest readable part.
pub(super) fn failure_message(body: &[u8]) -> String {
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
        .max_by_key(|part| part.len());
    match readable.unwrap_or_default().trim() {
        "" => String::new(),
        message => format!(": {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_status_or_of_a_page_is_readable() {
        let long = "x".repeat(300);
        for (body, expected) in [
            (&b"\x12\x02no"[..], ": no"),
            (
                b"\x08\x07\x12\x21a message of thirty-three letters",
                ": a message of thirty-three letters",
            ),
            (
                &[b"\x08\x07\x12\xac\x02", long.as_bytes()].concat(),
                &format!(": {long}"),
            ),
            (b"<html>\xff it works! </html>", ": it works! </html>"),
            (b" plain\ntext ", ": plain\ntext"),
            (b"", ""),
        ] {
            assert_eq!(failure_message(body), expected);
        }
    }

    #[test]
    fn an_empty_or_a_right_body_is_accepted_and_another_is_rejected() {
        for (body, is_accepted) in [
            (&b""[..], true),
            (b"\x0a\x00", true),
            (b"\x0a\x04\x12\x02no", true),
            (b"{}", true),
            (b"{\"partialSuccess\":{\"rejectedSpans\":\"1\"}}", true),
            (b"{\"partialSuccess\":", false),
            (b"<html></html>", false),
            (b"ok", false),
            (b"\x0a\x04\x12", false),
            (b"\xff\xff", false),
        ] {
            let outcome = success(Bytes::from_static(body));
            let found = matches!(outcome, ExportOutcome::Accepted { .. });
            assert_eq!(found, is_accepted, "{body:?} {outcome:?}");
        }
    }
}

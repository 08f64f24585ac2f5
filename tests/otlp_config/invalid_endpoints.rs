//! An invalid endpoint is not replaced by another one.

use crate::support::{ON, Row, check};

#[test]
fn the_signals_of_an_invalid_endpoint_are_not_exported() {
    for (value, invalid) in [
        ("nonsense", "expected http:// or https://"),
        ("http:4318", "expected http:// or https://"),
        ("https:/h:4318", "malformed"),
        ("collector/v1", "malformed"),
        ("h:0", "invalid port"),
        ("h:65536", "expected http:// or https://"),
        (":4318", "missing host"),
        ("ftp://h", "expected http:// or https://"),
        ("http://", "malformed"),
        ("http:///v1", "malformed"),
        ("http://:4318", "missing host"),
        ("http://u:p@", "malformed"),
        ("http://h:", "invalid port"),
        ("http://h:0", "invalid port"),
        ("http://h:65536", "invalid host or port"),
        ("http://h:port", "invalid host or port"),
        ("http://1.2.3.4.5", "invalid host or port"),
        ("http://[::1", "malformed"),
        ("http://a b", "unexpected character"),
        ("http://h/ä", "unexpected character"),
        (
            "http://u:1#2@h",
            "unexpected `#` (in a password, write %23)",
        ),
        (
            &format!("http://{}", "h".repeat(4096)),
            "longer than 4096 bytes",
        ),
    ] {
        check(&[
            Row {
                case: value,
                variables: &[("CODEX_OTLP_ENDPOINT", value)],
                facts: &[("signals", "off")],
                warnings: &[&format!(
                    "CODEX_OTLP_ENDPOINT: invalid URL: {invalid}; the signals that use it are not exported"
                )],
            },
            Row {
                case: "another endpoint is set",
                variables: &[
                    ON,
                    ("CODEX_OTLP_ENDPOINT", value),
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other"),
                    ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://other"),
                ],
                facts: &[("signals", "off")],
                warnings: &[&format!(
                    "CODEX_OTLP_ENDPOINT: invalid URL: {invalid}; the signals that use it are not exported"
                )],
            },
            Row {
                case: "the endpoint of one signal",
                variables: &[ON, ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", value)],
                facts: &[("signals", "traces,metrics")],
                warnings: &[&format!(
                    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: invalid URL: {invalid}; the signals that use it are not exported"
                )],
            },
            Row {
                case: "the endpoint of the signals without their own",
                variables: &[
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", value),
                    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://h"),
                ],
                facts: &[("signals", "traces")],
                warnings: &[&format!(
                    "OTEL_EXPORTER_OTLP_ENDPOINT: invalid URL: {invalid}; the signals that use it are not exported"
                )],
            },
        ]);
    }
}

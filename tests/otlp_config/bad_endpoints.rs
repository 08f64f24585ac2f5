//! Where data goes is not guessed.

use crate::support::{ON, Row, check};

#[test]
fn an_endpoint_of_nonsense_switches_its_signals_off() {
    for (value, flaw) in [
        ("nonsense", "it begins with neither http:// nor https://"),
        (
            "localhost:4318",
            "it begins with neither http:// nor https://",
        ),
        ("ftp://h", "it begins with neither http:// nor https://"),
        ("http://", "not a URL"),
        ("http:///v1", "not a URL"),
        ("http://:4318", "it has no host"),
        ("http://u:p@", "not a URL"),
        ("http://h:", "it has no usable port"),
        ("http://h:0", "it has no usable port"),
        ("http://h:65536", "its host or port is not usable"),
        ("http://h:port", "its host or port is not usable"),
        ("http://1.2.3.4.5", "its host or port is not usable"),
        ("http://[::1", "not a URL"),
        ("http://a b", "a character in it belongs into no URL"),
        ("http://h/ä", "a character in it belongs into no URL"),
        ("http://u:1#2@h", "a `#` in it; in a password, write %23"),
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
                    "CODEX_OTLP_ENDPOINT: {flaw}; not exporting traces, metrics, logs"
                )],
            },
            Row {
                case: "it is not guessed, not even when another is there",
                variables: &[
                    ON,
                    ("CODEX_OTLP_ENDPOINT", value),
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other"),
                    ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://other"),
                ],
                facts: &[("signals", "off")],
                warnings: &[&format!(
                    "CODEX_OTLP_ENDPOINT: {flaw}; not exporting traces, metrics, logs"
                )],
            },
            Row {
                case: "of one signal",
                variables: &[ON, ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", value)],
                facts: &[("signals", "traces,metrics")],
                warnings: &[&format!(
                    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: {flaw}; not exporting logs"
                )],
            },
            Row {
                case: "of those without one of their own",
                variables: &[
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", value),
                    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://h"),
                ],
                facts: &[("signals", "traces")],
                warnings: &[&format!(
                    "OTEL_EXPORTER_OTLP_ENDPOINT: {flaw}; not exporting metrics, logs"
                )],
            },
        ]);
    }
}

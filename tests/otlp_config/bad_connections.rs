//! A setting that is bad leaves it to the next in line; credentials do not.

use crate::support::{ON, Row, check, check_bad};

const MILLIS: &str = "no whole number of milliseconds from 1 to 2147483647";

#[test]
fn the_next_in_line_is_used_and_named() {
    check(&[
        Row {
            case: "the default is next",
            variables: &[
                ON,
                ("CODEX_OTLP_PROTOCOL", "http"),
                ("CODEX_OTLP_COMPRESSION", "zstd"),
            ],
            facts: &[("logs protocol", "http/protobuf"), ("logs gzip", "false")],
            warnings: &[
                "CODEX_OTLP_PROTOCOL: none of grpc, http/protobuf, http/json; using http/protobuf",
                "CODEX_OTLP_COMPRESSION: neither gzip nor none; using no compression",
            ],
        },
        Row {
            case: "another is next, for one signal",
            variables: &[
                ON,
                ("CODEX_OTLP_TIMEOUT", "x"),
                ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "7"),
            ],
            facts: &[("traces timeout", "10000"), ("metrics timeout", "7")],
            warnings: &[&format!(
                "CODEX_OTLP_TIMEOUT: {MILLIS}; \
                 using 10000 ms for traces, 7 ms for metrics, 10000 ms for logs"
            )],
        },
        Row {
            case: "two in a row are bad",
            variables: &[
                ON,
                ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "x"),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip,none"),
            ],
            facts: &[("logs gzip", "false")],
            warnings: &[
                "OTEL_EXPORTER_OTLP_COMPRESSION: neither gzip nor none; using no compression",
                "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION: neither gzip nor none; using no compression",
            ],
        },
        Row {
            case: "what another one stands before is not looked at",
            variables: &[
                ON,
                ("CODEX_OTLP_SIGNALS", "traces"),
                ("CODEX_OTLP_TIMEOUT", "5"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "x"),
                ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "x"),
                ("OTEL_METRIC_EXPORT_INTERVAL", "x"),
                ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "x"),
            ],
            facts: &[("traces timeout", "5")],
            warnings: &[],
        },
    ]);
}

#[test]
#[cfg(not(feature = "grpc"))]
fn grpc_falls_back_when_it_is_not_built_in() {
    check_bad(&[(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "grpc",
        "grpc is not in this build, which lacks the feature `grpc`; using http/protobuf",
        ("traces endpoint", "http://localhost:4318/v1/traces"),
    )]);
}

#[test]
fn half_a_client_certificate_is_none() {
    let (none, alone) = (
        ("traces certificate", "none"),
        "; using no client certificate",
    );
    check_bad(&[
        (
            "CODEX_OTLP_CERTFILE",
            "a.pem",
            &format!("there is no file of its key{alone}"),
            none,
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
            "a.key",
            &format!("there is no file of its certificate{alone}"),
            ("traces key", "none"),
        ),
    ]);
}

#[test]
fn headers_that_are_bad_are_left_out_and_not_replaced() {
    let others = ("OTEL_EXPORTER_OTLP_HEADERS", "somebody=else's");
    for (value, left, warning) in [
        ("a=1,b", "a", "pair 2 has no `=`; sending the rest of it"),
        ("b", "", "pair 1 has no `=`; sending no headers of it"),
        (
            "b,c,a=1,d",
            "a",
            "pair 1 has no `=`, and 2 more cannot be used; sending the rest of it",
        ),
    ] {
        check(&[Row {
            case: value,
            variables: &[ON, others, ("CODEX_OTLP_HEADERS", value)],
            facts: &[("traces headers", left), ("logs headers", left)],
            warnings: &[&format!("CODEX_OTLP_HEADERS: {warning}")],
        }]);
    }
    check(&[Row {
        case: "none at all",
        variables: &[ON, others, ("CODEX_OTLP_HEADERS", ",")],
        facts: &[("traces headers", "")],
        warnings: &[],
    }]);
}

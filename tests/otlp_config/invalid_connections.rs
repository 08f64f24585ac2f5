//! An invalid setting falls back to the next variable. Headers, which are credentials, do not.

use crate::support::{ON, Row, check, check_invalid};

#[test]
fn an_invalid_setting_falls_back_to_the_next_variable() {
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
                "CODEX_OTLP_PROTOCOL: invalid protocol: expected grpc, http/protobuf or http/json; the variable is ignored",
                "CODEX_OTLP_COMPRESSION: invalid compression: expected gzip or none; the variable is ignored",
            ],
        },
        Row {
            case: "the variable of one signal is next",
            variables: &[
                ON,
                ("CODEX_OTLP_TIMEOUT", "x"),
                ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "7"),
            ],
            facts: &[("traces timeout", "10000"), ("metrics timeout", "7")],
            warnings: &[
                "CODEX_OTLP_TIMEOUT: invalid duration: expected a whole number of \
                 milliseconds from 1 to 2147483647; the variable is ignored",
            ],
        },
        Row {
            case: "two variables are invalid",
            variables: &[
                ON,
                ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "x"),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip,none"),
            ],
            facts: &[("logs gzip", "false")],
            warnings: &[
                "OTEL_EXPORTER_OTLP_COMPRESSION: invalid compression: expected gzip or none; the variable is ignored",
                "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION: invalid compression: expected gzip or none; the variable is ignored",
            ],
        },
        Row {
            case: "variables that are not needed are not checked",
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
fn grpc_is_invalid_without_its_feature() {
    check_invalid(&[(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "grpc",
        "unsupported protocol grpc: it requires the crate feature `grpc`; the variable is ignored",
        ("traces endpoint", "http://localhost:4318/v1/traces"),
    )]);
}

#[test]
fn a_client_certificate_without_its_key_is_not_used() {
    check_invalid(&[
        (
            "CODEX_OTLP_CERTFILE",
            "a.pem",
            "missing file of the private key; no client certificate is used",
            ("traces certificate", "none"),
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
            "a.key",
            "missing file of the certificate; no client certificate is used",
            ("traces key", "none"),
        ),
    ]);
}

#[test]
fn invalid_headers_are_not_sent_and_not_replaced_by_those_of_another_variable() {
    let others = ("OTEL_EXPORTER_OTLP_HEADERS", "another=receiver");
    for (value, sent, position) in [("a=1,b", "a", 2), ("b", "", 1), ("b,c,a=1,d", "a", 1)] {
        check(&[Row {
            case: value,
            variables: &[ON, others, ("CODEX_OTLP_HEADERS", value)],
            facts: &[("traces headers", sent), ("logs headers", sent)],
            warnings: &[&format!(
                "CODEX_OTLP_HEADERS: invalid pair {position}: missing `=`; \
                 invalid headers are not sent"
            )],
        }]);
    }
    check(&[Row {
        case: "no headers",
        variables: &[ON, others, ("CODEX_OTLP_HEADERS", ",")],
        facts: &[("traces headers", "")],
        warnings: &[],
    }]);
}

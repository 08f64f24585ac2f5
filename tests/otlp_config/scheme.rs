//! An endpoint without a scheme uses TLS, unless a variable says otherwise.

use crate::support::{Row, check, check_invalid};

fn check_endpoints(variables: &[(&str, &str)], traces: &str, logs: &str) {
    check(&[Row {
        case: &format!("{variables:?}"),
        variables,
        facts: &[("traces endpoint", traces), ("logs endpoint", logs)],
        warnings: &[],
    }]);
}

#[test]
fn a_host_with_a_port_uses_tls() {
    for (value, url) in [
        ("collector:4318", "https://collector:4318/v1/"),
        (" LOCALHOST:1 ", "https://LOCALHOST:1/v1/"),
        ("127.0.0.1:4318/otlp/", "https://127.0.0.1:4318/otlp/v1/"),
        ("[::1]:4318", "https://[::1]:4318/v1/"),
        ("h:4318?key=value", "https://h:4318/v1/"),
        ("user:password@h:4318", "https://***@h:4318/v1/"),
        ("http.example:4318", "https://http.example:4318/v1/"),
    ] {
        let [traces, logs] = ["traces", "logs"].map(|signal| match value.contains('?') {
            true => format!("{url}{signal}?***"),
            false => format!("{url}{signal}"),
        });
        for variable in ["CODEX_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"] {
            check_endpoints(&[(variable, value)], &traces, &logs);
        }
    }
    check_endpoints(
        &[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "h:1/logs")],
        "off",
        "https://h:1/logs",
    );
}

#[test]
#[cfg(feature = "grpc")]
fn grpc_takes_a_host_with_a_port() {
    let endpoint = ("CODEX_OTLP_ENDPOINT", "collector:4317");
    let grpc = ("CODEX_OTLP_PROTOCOL", "grpc");
    let secure = "https://collector:4317";
    check_endpoints(&[endpoint, grpc], secure, secure);
    let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "true");
    let url = "http://collector:4317";
    check_endpoints(&[endpoint, grpc, insecure], url, url);
}

#[test]
fn the_variable_of_the_signal_decides_before_that_of_all_signals() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "h:1");
    let all = |value| ("OTEL_EXPORTER_OTLP_INSECURE", value);
    let logs = |value| ("OTEL_EXPORTER_OTLP_LOGS_INSECURE", value);
    let [plain_traces, plain_logs] = ["http://h:1/v1/traces", "http://h:1/v1/logs"];
    let [traces, tls_logs] = ["https://h:1/v1/traces", "https://h:1/v1/logs"];
    check_endpoints(&[endpoint, all("True")], plain_traces, plain_logs);
    check_endpoints(&[endpoint, all("false")], traces, tls_logs);
    check_endpoints(&[endpoint, logs("true")], traces, plain_logs);
    check_endpoints(
        &[endpoint, all("true"), logs("false")],
        plain_traces,
        tls_logs,
    );
    check_endpoints(&[endpoint, all("true"), logs("")], plain_traces, plain_logs);
}

#[test]
fn a_scheme_takes_precedence() {
    for (url, insecure) in [("https://h:1", "true"), ("http://h:1", "false")] {
        let [traces, logs] = ["traces", "logs"].map(|signal| format!("{url}/v1/{signal}"));
        let variables = [
            ("CODEX_OTLP_ENDPOINT", url),
            ("OTEL_EXPORTER_OTLP_INSECURE", insecure),
        ];
        check_endpoints(&variables, &traces, &logs);
        // The variable is not needed, so it is not checked.
        check_endpoints(
            &[variables[0], ("OTEL_EXPORTER_OTLP_INSECURE", "x")],
            &traces,
            &logs,
        );
    }
}

#[test]
fn an_invalid_switch_leaves_tls_on() {
    check(&[Row {
        case: "1",
        variables: &[
            ("CODEX_OTLP_ENDPOINT", "h:1"),
            ("OTEL_EXPORTER_OTLP_INSECURE", "1"),
        ],
        facts: &[("traces endpoint", "https://h:1/v1/traces")],
        warnings: &[
            "OTEL_EXPORTER_OTLP_INSECURE: invalid boolean: expected true or false; the variable is ignored",
        ],
    }]);
    check_invalid(&[(
        "CODEX_OTLP_ENDPOINT",
        "collector",
        "invalid URL: expected http:// or https://; the signals that use it are not exported",
        ("signals", "off"),
    )]);
}

//! The order of precedence: the crate's variable, the standard variable of the signal, the standard
//! variable of all signals, the default.

use codex_telemetry::otlp::config::OtlpConfig;

use crate::support::{ON, Row, check, fact_of};

/// A setting: its fact, the end of its standard variables, the crate's variable, for each variable in order
/// of precedence a value and what is read from it, and the default.
type Setting<'a> = (&'a str, &'a str, &'a str, [(&'a str, &'a str); 3], &'a str);

const SETTINGS: &[Setting<'_>] = &[
    (
        "headers",
        "HEADERS",
        "CODEX_OTLP_HEADERS",
        [("A=1,B=2", "a,b"), ("c=3", "c"), ("d=4", "d")],
        "",
    ),
    (
        "protocol",
        "PROTOCOL",
        "CODEX_OTLP_PROTOCOL",
        [
            ("http/json", "http/json"),
            ("HTTP/Protobuf", "http/protobuf"),
            ("http/json", "http/json"),
        ],
        "http/protobuf",
    ),
    (
        "timeout",
        "TIMEOUT",
        "CODEX_OTLP_TIMEOUT",
        [("1", "1"), ("2", "2"), ("2147483647", "2147483647")],
        "10000",
    ),
    (
        "gzip",
        "COMPRESSION",
        "CODEX_OTLP_COMPRESSION",
        [("gzip", "true"), ("NONE", "false"), ("GZip", "true")],
        "false",
    ),
    (
        "ca",
        "CERTIFICATE",
        "CODEX_OTLP_CACERTFILE",
        [("/a b", "/a b"), (" b ", "b"), ("c", "c")],
        "none",
    ),
];

#[test]
fn the_first_variable_that_is_set_takes_precedence() {
    for (fact, end, crate_variable, [first, second, third], default) in SETTINGS {
        for (signal, upper) in [
            ("traces", "TRACES"),
            ("metrics", "METRICS"),
            ("logs", "LOGS"),
        ] {
            let of_signal = format!("OTEL_EXPORTER_OTLP_{upper}_{end}");
            let of_all = format!("OTEL_EXPORTER_OTLP_{end}");
            let variables = [
                (*crate_variable, first.0),
                (&of_signal, second.0),
                (&of_all, third.0),
            ];
            let expected = [first.1, second.1, third.1, default];
            for (skipped, expected) in expected.into_iter().enumerate() {
                // The first ones are skipped if they are unset, and if they are blank.
                let unset = variables[skipped..].iter().copied();
                let empty = variables[..skipped].iter().map(|(name, _)| (*name, " "));
                for variables in [
                    unset.clone().chain([ON]).collect::<Vec<_>>(),
                    unset.chain(empty).chain([ON]).collect(),
                ] {
                    let with_warnings = OtlpConfig::from_variables(variables.clone());
                    let found = fact_of(&with_warnings, &format!("{signal} {fact}"));
                    assert_eq!(found, expected, "{signal} {fact} of {variables:?}");
                    assert_eq!(with_warnings.warnings, []);
                }
            }
        }
    }
}

#[test]
fn the_endpoint_of_a_signal_is_used_without_a_path() {
    let of_crate = ("CODEX_OTLP_ENDPOINT", "http://crate/p/");
    let of_signal = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://signal/p/");
    let of_all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all/p");
    let row = |case: &str, variables: &[(&str, &str)], traces: &str, metrics: &str| {
        check(&[Row {
            case,
            variables,
            facts: &[("traces endpoint", traces), ("metrics endpoint", metrics)],
            warnings: &[],
        }]);
    };
    row(
        "the crate's variable",
        &[of_crate, of_signal, of_all],
        "http://crate/p/v1/traces",
        "http://crate/p/v1/metrics",
    );
    row(
        "the variable of the signal",
        &[of_signal, of_all],
        "http://all/p/v1/traces",
        "http://signal/p/",
    );
    row(
        "the variable of all signals",
        &[of_all],
        "http://all/p/v1/traces",
        "http://all/p/v1/metrics",
    );
}

#[test]
fn a_client_certificate_and_its_key_are_read_independently() {
    check(&[
        Row {
            case: "the crate's variables",
            variables: &[
                ON,
                ("CODEX_OTLP_CERTFILE", "crate.pem"),
                ("CODEX_OTLP_KEYFILE", "crate.key"),
                ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "all.pem"),
                ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "traces.key"),
            ],
            facts: &[
                ("traces certificate", "crate.pem"),
                ("traces key", "crate.key"),
            ],
            warnings: &[],
        },
        Row {
            case: "variables of one signal and of all",
            variables: &[
                ON,
                ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "all.pem"),
                ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "all.key"),
                ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE", "logs.pem"),
                ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY", "logs.key"),
            ],
            facts: &[
                ("logs certificate", "logs.pem"),
                ("logs key", "logs.key"),
                ("traces certificate", "all.pem"),
                ("traces key", "all.key"),
            ],
            warnings: &[],
        },
    ]);
}

#[test]
fn the_service_name_takes_precedence_over_the_resource_attributes() {
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=attribute,a=b");
    let name = ("OTEL_SERVICE_NAME", " a name ");
    let row = |case: &str, variables: &[(&str, &str)], service: &str| {
        check(&[Row {
            case,
            variables,
            facts: &[("service.name", service)],
            warnings: &[],
        }]);
    };
    row("both", &[ON, attributes, name], "a name");
    row("the attribute", &[ON, attributes], "attribute");
    row(
        "empty",
        &[ON, attributes, ("OTEL_SERVICE_NAME", "")],
        "attribute",
    );
    let unnamed = OtlpConfig::from_variables([ON]);
    let unnamed = fact_of(&unnamed, "service.name");
    assert!(
        unnamed.starts_with("unknown_service:otlp_config"),
        "{unnamed}"
    );
}

#[test]
fn attributes_of_the_application_take_precedence_over_the_environment() {
    let variables = [
        ON,
        ("OTEL_SERVICE_NAME", "environment"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,c=d"),
    ];
    let mut with_warnings = OtlpConfig::from_variables(variables);
    with_warnings.config = with_warnings.config.map(|config| {
        let attributes = [("service.name", "application"), ("a", "application")];
        config.with_resource_attributes(
            attributes.map(|(key, value)| opentelemetry::KeyValue::new(key, value)),
        )
    });
    assert_eq!(fact_of(&with_warnings, "service.name"), "application");
    assert_eq!(fact_of(&with_warnings, "a"), "application");
    assert_eq!(fact_of(&with_warnings, "c"), "d");
}

//! Ours, then the standard's of the signal, then the standard's, then the default.

use codex_telemetry::otlp::config::OtlpConfig;

use crate::support::{ON, Row, check, fact_of};

/// A setting: its fact, the end of its standard names, ours, and a value and what it comes to for ours,
/// for that of the signal, for that of all; then the default.
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
fn each_setting_is_of_the_first_variable_that_is_set() {
    for (fact, end, ours, [first, second, third], default) in SETTINGS {
        for (signal, upper) in [
            ("traces", "TRACES"),
            ("metrics", "METRICS"),
            ("logs", "LOGS"),
        ] {
            let of_signal = format!("OTEL_EXPORTER_OTLP_{upper}_{end}");
            let of_all = format!("OTEL_EXPORTER_OTLP_{end}");
            let variables = [(*ours, first.0), (&of_signal, second.0), (&of_all, third.0)];
            let expected = [first.1, second.1, third.1, default];
            for (skipped, expected) in expected.into_iter().enumerate() {
                // A variable is out of the way if it is unset, and if it is empty.
                let unset = variables[skipped..].iter().copied();
                let empty = variables[..skipped].iter().map(|(name, _)| (*name, " "));
                for variables in [
                    unset.clone().chain([ON]).collect::<Vec<_>>(),
                    unset.chain(empty).chain([ON]).collect(),
                ] {
                    let setup = OtlpConfig::from_variables(variables.clone());
                    let found = fact_of(&setup, &format!("{signal} {fact}"));
                    assert_eq!(found, expected, "{signal} {fact} of {variables:?}");
                    assert!(setup.warnings.is_empty(), "{:?}", setup.warnings);
                }
            }
        }
    }
}

#[test]
fn an_endpoint_is_of_the_first_variable_that_is_set() {
    let ours = ("CODEX_OTLP_ENDPOINT", "http://ours/p/");
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
        "ours wins over that of the signal",
        &[ours, of_signal, of_all],
        "http://ours/p/v1/traces",
        "http://ours/p/v1/metrics",
    );
    row(
        "that of the signal is used as it is",
        &[of_signal, of_all],
        "http://all/p/v1/traces",
        "http://signal/p/",
    );
    row(
        "that of all gets the path",
        &[of_all],
        "http://all/p/v1/traces",
        "http://all/p/v1/metrics",
    );
}

#[test]
fn a_client_certificate_and_its_key_are_looked_up_each_on_its_own() {
    check(&[
        Row {
            case: "ours",
            variables: &[
                ON,
                ("CODEX_OTLP_CERTFILE", "ours.pem"),
                ("CODEX_OTLP_KEYFILE", "ours.key"),
                ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "all.pem"),
                ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "traces.key"),
            ],
            facts: &[
                ("traces certificate", "ours.pem"),
                ("traces key", "ours.key"),
            ],
            warnings: &[],
        },
        Row {
            case: "of a signal and of all",
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
fn the_name_of_the_service_wins_over_that_among_the_attributes() {
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
fn the_applications_attributes_win_over_the_environments() {
    let variables = [
        ON,
        ("OTEL_SERVICE_NAME", "theirs"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,c=d"),
    ];
    let mut setup = OtlpConfig::from_variables(variables);
    setup.config = setup.config.map(|config| {
        let own = [("service.name", "own"), ("a", "own")];
        config.with_resource_attributes(
            own.map(|(key, value)| opentelemetry::KeyValue::new(key, value)),
        )
    });
    assert_eq!(fact_of(&setup, "service.name"), "own");
    assert_eq!(fact_of(&setup, "a"), "own");
    assert_eq!(fact_of(&setup, "c"), "d");
}

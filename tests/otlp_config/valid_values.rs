//! The values of the variables that have no alternatives.

use crate::support::{ON, Row, check};

fn check_fact(name: &str, cases: &[(&str, &str, &str)]) {
    for (value, fact, expected) in cases {
        check(&[Row {
            case: &format!("{name}={value}"),
            variables: &[ON, (name, value)],
            facts: &[(fact, expected)],
            warnings: &[],
        }]);
    }
}

#[test]
fn the_defaults_are_as_documented() {
    check(&[Row {
        case: "the defaults",
        variables: &[ON],
        facts: &[
            ("sampler", "ParentBasedAlwaysOn"),
            ("traces queue", "16384"),
            ("traces batch", "512"),
            ("traces delay", "5000"),
            ("interval", "60000"),
        ],
        warnings: &[],
    }]);
}

#[test]
fn resource_attributes_are_percent_decoded() {
    check_fact(
        "OTEL_RESOURCE_ATTRIBUTES",
        &[
            ("a=b", "a", "b"),
            (" a = b , c = d ,", "c", "d"),
            ("a%3Db=c%2Cd%20%C3%A4", "a=b", "c,d ä"),
            ("a=b=c", "a", "b=c"),
            ("a=", "a", ""),
            ("a=b,a=c", "a", "c"),
            ("", "a", "unset"),
        ],
    );
}

#[test]
fn samplers_have_the_names_of_the_specification() {
    check_fact(
        "OTEL_TRACES_SAMPLER",
        &[
            ("always_on", "sampler", "AlwaysOn"),
            ("always_off", "sampler", "AlwaysOff"),
            ("traceidratio", "sampler", "TraceIdRatio(1.0)"),
            ("parentbased_always_on", "sampler", "ParentBasedAlwaysOn"),
            ("parentbased_always_off", "sampler", "ParentBasedAlwaysOff"),
            (
                "ParentBased_TraceIdRatio",
                "sampler",
                "ParentBasedTraceIdRatio(1.0)",
            ),
            (" ", "sampler", "ParentBasedAlwaysOn"),
        ],
    );
}

#[test]
fn only_ratio_samplers_read_the_argument() {
    for (sampler, argument, expected) in [
        ("traceidratio", "0.25", "TraceIdRatio(0.25)"),
        ("traceidratio", "0", "TraceIdRatio(0.0)"),
        ("traceidratio", "", "TraceIdRatio(1.0)"),
        (
            "parentbased_traceidratio",
            "1e-3",
            "ParentBasedTraceIdRatio(0.001)",
        ),
        ("parentbased_always_on", "not read", "ParentBasedAlwaysOn"),
        ("", "0.5", "ParentBasedAlwaysOn"),
    ] {
        check(&[Row {
            case: &format!("{sampler} of {argument}"),
            variables: &[
                ON,
                ("OTEL_TRACES_SAMPLER", sampler),
                ("OTEL_TRACES_SAMPLER_ARG", argument),
            ],
            facts: &[("sampler", expected)],
            warnings: &[],
        }]);
    }
}

#[test]
fn valid_numbers_are_used() {
    for (name, fact, cases) in [
        (
            "OTEL_BSP_MAX_QUEUE_SIZE",
            "traces queue",
            ["513", "1048576", " 2048 "],
        ),
        (
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
            "traces batch",
            ["1", "16384", "8"],
        ),
        (
            "OTEL_BSP_SCHEDULE_DELAY",
            "traces delay",
            ["1", "2147483647", "200"],
        ),
        (
            "OTEL_METRIC_EXPORT_INTERVAL",
            "interval",
            ["1", "2147483647", "100"],
        ),
    ] {
        for value in cases {
            check_fact(name, &[(value, fact, value.trim())]);
        }
    }
}

#[test]
fn the_default_batch_size_is_at_most_the_queue_size() {
    check(&[Row {
        case: "the queue is small",
        variables: &[ON, ("OTEL_BSP_MAX_QUEUE_SIZE", "100")],
        facts: &[("traces queue", "100"), ("traces batch", "100")],
        warnings: &[],
    }]);
}

#[test]
fn the_endpoint_of_a_signal_may_be_any_http_url() {
    check_fact(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        &[
            ("http://h", "traces endpoint", "http://h"),
            (
                "HTTPS://h:4318/a/b/",
                "traces endpoint",
                "https://h:4318/a/b/",
            ),
            ("http://[::1]:1", "traces endpoint", "http://[::1]:1"),
            (
                " http://127.0.0.1/ ",
                "traces endpoint",
                "http://127.0.0.1/",
            ),
            ("http://u:p@h?q=1", "traces endpoint", "http://***@h?***"),
        ],
    );
}

//! The limits of spans, log records and metrics are read from their own variables.

use codex_telemetry::otlp::config::{Limits, OtlpConfig, Signal};

use crate::support::{ON, Row, check, check_invalid};

const MILLIS: &str = "invalid duration: expected a whole number of milliseconds from 1 to \
                      2147483647; the variable is ignored";
const COUNT: &str =
    "invalid number: expected a whole number from 1 to 1048576; the variable is ignored";
const LIMIT: &str =
    "invalid number: expected a whole number from 0 to 2147483647; the variable is ignored";
const BYTES: &str = "invalid size: expected a whole number of bytes from 1024 to 1073741824; the variable is ignored";

fn check_facts(variables: &[(&str, &str)], facts: &[(&str, &str)]) {
    check(&[Row {
        case: &format!("{variables:?}"),
        variables: &[variables, &[ON]].concat(),
        facts,
        warnings: &[],
    }]);
}

#[test]
fn spans_and_log_records_have_variables_of_their_own() {
    for (setting, fact, value, spans, logs) in [
        ("MAX_QUEUE_SIZE", "queue", "1000", "16384", "16384"),
        ("MAX_EXPORT_BATCH_SIZE", "batch", "7", "512", "512"),
        ("SCHEDULE_DELAY", "delay", "200", "5000", "1000"),
        ("EXPORT_TIMEOUT", "age", "30000", "300000", "300000"),
    ] {
        let [of_spans, of_logs] = ["BSP", "BLRP"].map(|name| format!("OTEL_{name}_{setting}"));
        let [traces, records] = ["traces", "logs"].map(|signal| format!("{signal} {fact}"));
        check_facts(&[], &[(&traces, spans), (&records, logs)]);
        check_facts(&[(&of_spans, value)], &[(&traces, value), (&records, logs)]);
        check_facts(&[(&of_logs, value)], &[(&traces, spans), (&records, value)]);
    }
}

#[test]
fn a_batch_of_log_records_fits_into_its_queue() {
    check_facts(
        &[("OTEL_BLRP_MAX_QUEUE_SIZE", "100")],
        &[
            ("logs queue", "100"),
            ("logs batch", "100"),
            ("traces batch", "512"),
        ],
    );
    check_invalid(&[(
        "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
        "16385",
        "larger than the queue; the size of the queue is used",
        ("logs batch", "16384"),
    )]);
}

#[test]
fn the_queue_has_the_size_of_the_larger_exported_signal() {
    for (spans, logs, signals, size) in [
        ("10", "20", "traces,logs", 20),
        ("30", "20", "traces,logs", 30),
        ("10", "", "traces,logs", 16_384),
        ("10", "", "traces,metrics", 10),
        ("", "10", "logs", 10),
        ("10", "20", "metrics", 16_384),
    ] {
        let variables = [
            ON,
            ("CODEX_OTLP_SIGNALS", signals),
            ("OTEL_BSP_MAX_QUEUE_SIZE", spans),
            ("OTEL_BLRP_MAX_QUEUE_SIZE", logs),
        ];
        let config = OtlpConfig::from_variables(variables).config;
        let limits = config.expect("it is enabled").limits();
        assert_eq!(limits.queue_capacity(), size, "{spans} {logs} {signals}");
    }
}

#[test]
fn the_age_of_the_crate_takes_precedence_over_the_timeouts_of_the_processors() {
    let crate_variable = ("CODEX_OTLP_MAX_AGE", "1000");
    let of_spans = ("OTEL_BSP_EXPORT_TIMEOUT", "2000");
    let of_logs = ("OTEL_BLRP_EXPORT_TIMEOUT", "3000");
    let ages = |traces, metrics, logs| {
        [
            ("traces age", traces),
            ("metrics age", metrics),
            ("logs age", logs),
        ]
    };
    check_facts(
        &[crate_variable, of_spans, of_logs],
        &ages("1000", "1000", "1000"),
    );
    check_facts(&[of_spans, of_logs], &ages("2000", "300000", "3000"));
    check(&[Row {
        case: "an invalid age",
        variables: &[ON, ("CODEX_OTLP_MAX_AGE", "0"), of_spans],
        facts: &ages("2000", "300000", "300000"),
        warnings: &[&format!("CODEX_OTLP_MAX_AGE: {MILLIS}")],
    }]);
}

#[test]
fn the_attributes_of_a_kind_of_record_have_variables_before_those_of_all() {
    for (end, fact, default) in [
        ("ATTRIBUTE_COUNT_LIMIT", "attributes", "128"),
        ("ATTRIBUTE_VALUE_LENGTH_LIMIT", "length", "none"),
    ] {
        let [all, span, log] = ["", "SPAN_", "LOGRECORD_"].map(|kind| format!("OTEL_{kind}{end}"));
        let [traces, logs] = ["traces", "logs"].map(|signal| format!("{signal} {fact}"));
        let facts = |spans, records| [(&*traces, spans), (&*logs, records)];
        check_facts(&[], &facts(default, default));
        check_facts(&[(&all, "0")], &facts("0", "0"));
        check_facts(
            &[(&all, "9"), (&span, "2147483647")],
            &facts("2147483647", "9"),
        );
        check_facts(&[(&all, "9"), (&log, "0")], &facts("9", "0"));
        check_facts(&[(&span, "1"), (&log, "2")], &facts("1", "2"));
        check(&[Row {
            case: "the variable of the kind is invalid",
            variables: &[ON, (&all, "9"), (&log, "-1")],
            facts: &facts("9", "9"),
            warnings: &[&format!("{log}: {LIMIT}")],
        }]);
    }
}

#[test]
fn sizes_and_counts_are_read() {
    for (variable, fact, values) in [
        (
            "CODEX_OTLP_QUEUE_BYTES",
            "queue_bytes",
            ["1024", "1073741824"],
        ),
        (
            "CODEX_OTLP_MESSAGE_BYTES",
            "message_bytes",
            ["1024", "1073741824"],
        ),
        (
            "OTEL_SPAN_EVENT_COUNT_LIMIT",
            "span_events",
            ["0", "2147483647"],
        ),
        (
            "OTEL_METRIC_EXPORT_TIMEOUT",
            "metric_timeout",
            ["1", "2147483647"],
        ),
    ] {
        for value in values {
            check_facts(&[(variable, value)], &[(fact, value)]);
        }
    }
}

#[test]
fn an_invalid_limit_falls_back_to_its_default() {
    for value in ["-1", "1.5", "x", "4294967296", "99999999999999999999999"] {
        check_invalid(&[
            (
                "CODEX_OTLP_QUEUE_BYTES",
                value,
                BYTES,
                ("queue_bytes", "67108864"),
            ),
            (
                "CODEX_OTLP_MESSAGE_BYTES",
                value,
                BYTES,
                ("message_bytes", "4194304"),
            ),
            (
                "CODEX_OTLP_MAX_AGE",
                value,
                MILLIS,
                ("traces age", "300000"),
            ),
            (
                "OTEL_BSP_EXPORT_TIMEOUT",
                value,
                MILLIS,
                ("traces age", "300000"),
            ),
            (
                "OTEL_BLRP_EXPORT_TIMEOUT",
                value,
                MILLIS,
                ("logs age", "300000"),
            ),
            (
                "OTEL_BLRP_MAX_QUEUE_SIZE",
                value,
                COUNT,
                ("logs queue", "16384"),
            ),
            (
                "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
                value,
                COUNT,
                ("logs batch", "512"),
            ),
            (
                "OTEL_BLRP_SCHEDULE_DELAY",
                value,
                MILLIS,
                ("logs delay", "1000"),
            ),
            (
                "OTEL_METRIC_EXPORT_TIMEOUT",
                value,
                MILLIS,
                ("metric_timeout", "30000"),
            ),
            (
                "OTEL_SPAN_EVENT_COUNT_LIMIT",
                value,
                LIMIT,
                ("span_events", "128"),
            ),
            (
                "OTEL_ATTRIBUTE_COUNT_LIMIT",
                value,
                LIMIT,
                ("logs attributes", "128"),
            ),
            (
                "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
                value,
                LIMIT,
                ("traces length", "none"),
            ),
        ]);
    }
    for value in ["0", "1023", "1073741825", "4MiB"] {
        let fact = ("message_bytes", "4194304");
        check_invalid(&[("CODEX_OTLP_MESSAGE_BYTES", value, BYTES, fact)]);
    }
}

#[test]
fn the_aggregation_of_metrics_has_the_names_of_the_specification() {
    let temporality = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    let aggregation = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
    for (variable, fact, value, expected) in [
        (temporality, "temporality", "", "Cumulative"),
        (temporality, "temporality", "cumulative", "Cumulative"),
        (temporality, "temporality", "Delta", "Delta"),
        (temporality, "temporality", " LowMemory ", "LowMemory"),
        (aggregation, "aggregation", "", "ExplicitBucket"),
        (
            aggregation,
            "aggregation",
            "EXPLICIT_BUCKET_HISTOGRAM",
            "ExplicitBucket",
        ),
        (
            aggregation,
            "aggregation",
            "base2_exponential_bucket_histogram",
            "Base2Exponential",
        ),
    ] {
        check_facts(&[(variable, value)], &[(fact, expected)]);
    }
    check_invalid(&[
        (
            temporality,
            "stateless",
            "invalid temporality: expected cumulative, delta or lowmemory; the variable is ignored",
            ("temporality", "Cumulative"),
        ),
        (
            aggregation,
            "exponential",
            "invalid aggregation: expected explicit_bucket_histogram or \
             base2_exponential_bucket_histogram; the variable is ignored",
            ("aggregation", "ExplicitBucket"),
        ),
    ]);
}

#[test]
fn the_variables_of_a_signal_that_is_off_are_not_checked() {
    let of_spans = [
        "OTEL_BSP_SCHEDULE_DELAY",
        "OTEL_SPAN_EVENT_COUNT_LIMIT",
        "CODEX_OTLP_KEEP_FAILURES",
    ];
    let of_logs = [
        "OTEL_BLRP_EXPORT_TIMEOUT",
        "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
        "CODEX_OTLP_LOG_RECORDS",
    ];
    let of_metrics = [
        "OTEL_METRIC_EXPORT_TIMEOUT",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
    ];
    for (signals, variables) in [
        ("metrics,logs", of_spans),
        ("traces,metrics", of_logs),
        ("traces,logs", of_metrics),
    ] {
        for variable in variables {
            check_facts(
                &[("CODEX_OTLP_SIGNALS", signals), (variable, "x")],
                &[("signals", signals)],
            );
        }
    }
}

#[test]
fn the_age_of_each_signal_is_that_of_its_limits() {
    let mut limits = Limits::default();
    limits.logs.export_timeout = Some(limits.max_age * 2);
    let [traces, metrics, logs] = Signal::ALL.map(|signal| limits.max_age(signal));
    assert_eq!(
        [traces, metrics, logs],
        [limits.max_age, limits.max_age, limits.max_age * 2]
    );
}

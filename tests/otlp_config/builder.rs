//! The builder builds the same configuration as the variables, and reports invalid values.

use std::time::Duration;

use codex_telemetry::otlp::config::{
    ConfigWithWarnings, HistogramAggregation, Limits, LogSelection, OtlpConfig, OtlpConfigBuilder,
    Protocol, Sampler, Signal, Temporality,
};
use opentelemetry::KeyValue;

use crate::support::fact_of;

fn facts<const N: usize>(builder: OtlpConfigBuilder, facts: [&str; N]) -> [String; N] {
    let config = builder.build().expect("all values are valid");
    let with_warnings = ConfigWithWarnings {
        config: Some(config),
        warnings: Vec::new(),
    };
    facts.map(|fact| fact_of(&with_warnings, fact))
}

#[test]
fn the_default_is_the_same_as_that_of_an_enabled_environment() {
    let with_warnings = OtlpConfig::from_variables([("CODEX_OTLP_ENABLE", "1")]);
    let enabled = with_warnings.config.expect("it is enabled");
    let built = OtlpConfig::builder().build().expect("all values are valid");
    assert_eq!(format!("{built:?}"), format!("{enabled:?}"));
}

#[test]
fn the_configuration_has_the_values_of_the_builder() {
    let second = Duration::from_secs(1);
    let builder = OtlpConfig::builder()
        .endpoint("https://h/p/")
        .signal_endpoint(Signal::Logs, "https://logs/x")
        .header("Api-Key", "k%20")
        .protocol(Protocol::HttpJson)
        .timeout(second)
        .gzip(true)
        .ca_file("ca")
        .client_certificate_file("cert", "key")
        .service_name("name")
        .resource_attribute(KeyValue::new("a", "b"))
        .sampler(Sampler::TraceIdRatio(0.5))
        .queue_capacity(10)
        .batch_size(5)
        .schedule_delay(second)
        .metric_interval(second * 3)
        .metric_timeout(second * 2)
        .max_age(second * 4)
        .queue_bytes(1 << 20)
        .message_bytes(1 << 19)
        .temporality(Temporality::Delta)
        .histogram_aggregation(HistogramAggregation::Base2Exponential)
        .log_selection(LogSelection::Ends)
        .keep_failures(true)
        .capture_content(true)
        .latest_conventions(true);
    for (fact, expected) in [
        ("signals", "traces,metrics,logs"),
        ("metrics endpoint", "https://h/p/v1/metrics"),
        ("logs endpoint", "https://logs/x"),
        ("logs headers", "api-key"),
        ("logs protocol", "http/json"),
        ("logs timeout", "1000"),
        ("logs gzip", "true"),
        ("logs ca", "ca"),
        ("logs certificate", "cert"),
        ("logs key", "key"),
        ("service.name", "name"),
        ("a", "b"),
        ("sampler", "TraceIdRatio(0.5)"),
        ("traces queue", "10"),
        ("traces batch", "5"),
        ("traces delay", "1000"),
        ("interval", "3000"),
        ("metric_timeout", "2000"),
        ("traces age", "4000"),
        ("logs age", "4000"),
        ("queue_bytes", "1048576"),
        ("message_bytes", "524288"),
        ("temporality", "Delta"),
        ("aggregation", "Base2Exponential"),
        ("records", "Ends"),
        ("failures", "true"),
        ("content", "true"),
        ("latest", "true"),
    ] {
        assert_eq!(facts(builder.clone(), [fact]), [expected], "{fact}");
    }
}

#[test]
fn spans_and_log_records_can_have_different_limits() {
    let mut limits = Limits::default();
    limits.spans.queue_capacity = 100;
    limits.logs.batch_size = 10;
    limits.logs.export_timeout = Some(Duration::from_secs(1));
    limits.logs.attributes.value_length = Some(0);
    let builder = OtlpConfig::builder().limits(limits);
    for (fact, expected) in [
        ("traces queue", "100"),
        ("logs queue", "16384"),
        // The default is cut to the queue, a given size would be an error.
        ("traces batch", "100"),
        ("logs batch", "10"),
        ("traces age", "300000"),
        ("logs age", "1000"),
        ("traces length", "none"),
        ("logs length", "0"),
    ] {
        assert_eq!(facts(builder.clone(), [fact]), [expected], "{fact}");
    }
    // A later setter replaces both.
    assert_eq!(
        facts(builder.batch_size(9), ["traces batch", "logs batch"]),
        ["9", "9"]
    );
}

#[test]
fn no_log_records_disable_the_signal() {
    let builder = OtlpConfig::builder().log_selection(LogSelection::None);
    assert_eq!(facts(builder.clone(), ["signals"]), ["traces,metrics"]);
    let error = builder
        .signals([Signal::Logs])
        .build()
        .expect_err("no signal is left");
    assert_eq!(error.setting(), "signals");
}

#[test]
fn a_signal_is_enabled_by_name_or_by_its_own_endpoint() {
    let builder = OtlpConfig::builder;
    let logs = builder().signal_endpoint(Signal::Logs, "http://h");
    assert_eq!(facts(logs.clone(), ["signals"]), ["logs"]);
    assert_eq!(
        facts(logs.endpoint("http://h"), ["signals"]),
        ["traces,metrics,logs"]
    );
    assert_eq!(
        facts(builder().signals([Signal::Metrics]), ["signals"]),
        ["metrics"]
    );
    assert_eq!(
        facts(
            builder().queue_capacity(3),
            ["traces queue", "traces batch"]
        ),
        ["3", "3"]
    );
}

#[test]
fn the_first_invalid_value_is_reported() {
    let b = OtlpConfig::builder;
    let long = Duration::MAX;
    let mut logs_without_time = Limits::default();
    logs_without_time.logs.export_timeout = Some(Duration::ZERO);
    for (builder, error) in [
        (
            b().endpoint("h"),
            "endpoint: invalid URL: expected http:// or https://",
        ),
        (
            b().signal_endpoint(Signal::Logs, "http://"),
            "signal_endpoint: invalid URL: malformed",
        ),
        (b().header("a b", "c"), "header: invalid header name"),
        (b().header("a", "\n"), "header: invalid header value"),
        (
            b().timeout(Duration::ZERO),
            "timeout: invalid duration: expected more than 0 and at most 2147483647 ms",
        ),
        (
            b().schedule_delay(long),
            "schedule_delay: invalid duration: expected more than 0 and at most 2147483647 ms",
        ),
        (
            b().metric_interval(long),
            "metric_interval: invalid duration: expected more than 0 and at most 2147483647 ms",
        ),
        (
            b().queue_capacity(0),
            "queue_capacity: invalid number: expected a whole number from 1 to 1048576",
        ),
        (
            b().batch_size(usize::MAX),
            "batch_size: invalid number: expected a whole number from 1 to 1048576",
        ),
        (
            b().queue_capacity(5).batch_size(6),
            "batch_size: larger than the queue",
        ),
        (
            b().queue_bytes(1023),
            "queue_bytes: invalid size: expected a whole number of bytes from 1024 to 1073741824",
        ),
        (
            b().message_bytes(usize::MAX),
            "message_bytes: invalid size: expected a whole number of bytes from 1024 to 1073741824",
        ),
        (
            b().max_age(Duration::ZERO),
            "max_age: invalid duration: expected more than 0 and at most 2147483647 ms",
        ),
        (
            b().metric_timeout(long),
            "metric_timeout: invalid duration: expected more than 0 and at most 2147483647 ms",
        ),
        (
            b().limits(logs_without_time),
            "export_timeout: invalid duration: expected more than 0 and at most 2147483647 ms",
        ),
        (
            b().endpoint("collector:4317"),
            "endpoint: invalid URL: expected http:// or https://",
        ),
        (
            b().sampler(Sampler::TraceIdRatio(f64::NAN)),
            "sampler: invalid ratio: expected a number from 0 to 1",
        ),
        (b().signals([]), "signals: expected at least one signal"),
        (
            b().timeout(long).endpoint("h"),
            "timeout: invalid duration: expected more than 0 and at most 2147483647 ms",
        ),
    ] {
        let found = builder.build().expect_err(error);
        assert_eq!(found.to_string(), error);
        assert!(error.starts_with(found.setting()));
    }
}

#[test]
fn grpc_requires_its_feature() {
    let built = OtlpConfig::builder().protocol(Protocol::Grpc).build();
    assert_eq!(built.is_ok(), cfg!(feature = "grpc"));
}

//! The builder makes what the variables make, and tells what it cannot use.

use std::time::Duration;

use codex_telemetry::otlp::config::{
    OtlpConfig, OtlpConfigBuilder, Protocol, Sampler, Setup, Signal,
};
use opentelemetry::KeyValue;

use crate::support::fact_of;

fn facts<const N: usize>(builder: OtlpConfigBuilder, facts: [&str; N]) -> [String; N] {
    let config = builder.build().expect("all of it is usable");
    let setup = Setup {
        config: Some(config),
        warnings: Vec::new(),
    };
    facts.map(|fact| fact_of(&setup, fact))
}

#[test]
fn without_a_word_it_is_what_enable_is() {
    let setup = OtlpConfig::from_variables([("CODEX_OTLP_ENABLE", "1")]);
    let enabled = setup.config.expect("it is on");
    let built = OtlpConfig::builder().build().expect("nothing is wrong");
    assert_eq!(format!("{built:?}"), format!("{enabled:?}"));
}

#[test]
fn what_is_said_is_in_the_configuration() {
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
        .metric_interval(second * 3);
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
        ("queue", "10"),
        ("batch", "5"),
        ("delay", "1000"),
        ("interval", "3000"),
    ] {
        assert_eq!(facts(builder.clone(), [fact]), [expected], "{fact}");
    }
}

#[test]
fn signals_are_on_by_name_or_by_an_endpoint_of_their_own() {
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
        facts(builder().queue_capacity(3), ["queue", "batch"]),
        ["3", "3"]
    );
}

#[test]
fn the_first_value_that_is_not_usable_is_told() {
    let b = OtlpConfig::builder;
    let long = Duration::MAX;
    for (builder, error) in [
        (
            b().endpoint("h"),
            "endpoint: it begins with neither http:// nor https://",
        ),
        (
            b().signal_endpoint(Signal::Logs, "http://"),
            "signal_endpoint: not a URL",
        ),
        (
            b().header("a b", "c"),
            "header: has a name that no header can have",
        ),
        (
            b().header("a", "\n"),
            "header: has a value that no header can have",
        ),
        (
            b().timeout(Duration::ZERO),
            "timeout: zero, or longer than 2147483647 ms",
        ),
        (
            b().schedule_delay(long),
            "schedule_delay: zero, or longer than 2147483647 ms",
        ),
        (
            b().metric_interval(long),
            "metric_interval: zero, or longer than 2147483647 ms",
        ),
        (
            b().queue_capacity(0),
            "queue_capacity: no whole number from 1 to 1048576",
        ),
        (
            b().batch_size(usize::MAX),
            "batch_size: no whole number from 1 to 1048576",
        ),
        (
            b().queue_capacity(5).batch_size(6),
            "batch_size: more than the queue holds",
        ),
        (
            b().sampler(Sampler::TraceIdRatio(f64::NAN)),
            "sampler: no number from 0 to 1",
        ),
        (b().signals([]), "signals: there is none to export"),
        (
            b().timeout(long).endpoint("h"),
            "timeout: zero, or longer than 2147483647 ms",
        ),
    ] {
        let found = builder.build().expect_err(error);
        assert_eq!(found.to_string(), error);
        assert!(error.starts_with(found.setting()));
    }
}

#[test]
fn grpc_needs_its_feature() {
    let built = OtlpConfig::builder().protocol(Protocol::Grpc).build();
    assert_eq!(built.is_ok(), cfg!(feature = "grpc"));
}

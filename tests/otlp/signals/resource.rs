//! The identity of the program that exports.

use codex_telemetry::{Operation, OtlpConfig, OtlpSink, otlp::config::OtlpConfigBuilder};
use opentelemetry::KeyValue;

use super::support::Calls;
use crate::{
    receiver::{Attributes, Origin, Receiver, Value},
    rig::PATIENCE,
};

const INSTANCE: &str = "service.instance.id";

fn config(receiver: &Receiver) -> OtlpConfigBuilder {
    OtlpConfig::builder().endpoint(&receiver.endpoint())
}

/// Makes a call with a sink of its own, and returns the resources of all records.
fn export(receiver: &Receiver, config: OtlpConfig) -> Vec<Origin> {
    let (spans, logs, metrics) = (
        receiver.spans().len(),
        receiver.logs().len(),
        receiver.metrics().len(),
    );
    let sink = OtlpSink::start(config);
    Calls::new(sink.clone()).ok(Operation::Tool, "ls", 1);
    sink.blocking_shutdown(PATIENCE).unwrap();
    let spans = receiver.spans().into_iter().skip(spans).map(|it| it.origin);
    let logs = receiver.logs().into_iter().skip(logs).map(|it| it.origin);
    let metrics = receiver.metrics().into_iter().skip(metrics);
    spans
        .chain(logs)
        .chain(metrics.map(|it| it.origin))
        .collect()
}

fn instance(origin: &Origin) -> &str {
    origin.resource[INSTANCE].as_str().unwrap()
}

#[test]
fn the_resource_tells_service_instance_sdk_process_and_host() {
    let receiver = Receiver::http();
    let config = config(&receiver).service_name("release-bot");
    let origins = export(&receiver, config.build().unwrap());
    let Origin {
        resource,
        resource_schema,
        ..
    } = &origins[0];
    assert_eq!(resource["service.name"], "release-bot");
    assert_eq!(resource["telemetry.sdk.name"], "opentelemetry");
    assert_eq!(resource["telemetry.sdk.language"], "rust");
    assert!(
        resource["telemetry.sdk.version"]
            .as_str()
            .unwrap()
            .starts_with("0.")
    );
    assert_eq!(resource["process.pid"], i64::from(std::process::id()));
    let host = rustix::system::uname();
    assert_eq!(resource["host.name"], host.nodename().to_str().unwrap());
    assert_eq!(resource.len(), 7, "{resource:?}");
    assert!(resource_schema.starts_with("https://opentelemetry.io/schemas/"));
    let others = origins.iter().map(|origin| &origin.resource);
    assert!(others.clone().count() > 3 && others.clone().all(|other| other == resource));
}

#[test]
fn two_sinks_of_one_configuration_are_two_instances() {
    let receiver = Receiver::http();
    let config = config(&receiver).build().unwrap();
    let first = export(&receiver, config.clone());
    let second = export(&receiver, config);
    let (first, second) = (instance(&first[0]), instance(&second[0]));
    assert_ne!(first, second);
    for id in [first, second] {
        // A UUID of version 4.
        let parts: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
        assert!(id[14..].starts_with('4') && id[19..].starts_with(['8', '9', 'a', 'b']));
    }
}

#[test]
fn an_instance_and_a_host_that_are_given_are_kept() {
    let receiver = Receiver::http();
    let given = |key, value| KeyValue::new(key, value);
    let in_code = config(&receiver)
        .resource_attribute(given(INSTANCE, "replica-7"))
        .resource_attribute(given("host.name", "node-3"));
    let endpoint = receiver.endpoint();
    let from_variables = OtlpConfig::from_variables([
        ("CODEX_OTLP_ENDPOINT", &*endpoint),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.instance.id=replica-7,host.name=node-3",
        ),
    ]);
    for config in [in_code.build().unwrap(), from_variables.config.unwrap()] {
        let origins = export(&receiver, config);
        let found: &Attributes = &origins[0].resource;
        assert_eq!(found[INSTANCE], Value::from("replica-7"));
        assert_eq!(found["host.name"], Value::from("node-3"));
    }
}

#[test]
fn the_probe_of_a_sink_has_the_resource_of_the_sink() {
    let receiver = Receiver::http();
    let sink = OtlpSink::start(config(&receiver).build().unwrap());
    sink.probe(PATIENCE).unwrap();
    Calls::new(sink.clone()).ok(Operation::Tool, "ls", 1);
    sink.blocking_shutdown(PATIENCE).unwrap();
    let spans = receiver.spans();
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0].origin.resource, spans[1].origin.resource);
    assert_eq!(instance(&spans[0].origin).len(), 36);
}

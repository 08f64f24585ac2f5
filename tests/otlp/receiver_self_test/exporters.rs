//! The exporters of `opentelemetry-otlp`, each transport with each signal.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Key, KeyValue,
    logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity},
    metrics::MeterProvider as _,
    trace::{Span as _, SpanKind, Status, Tracer as _, TracerProvider as _},
};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{
    Compression, LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig as _,
    WithHttpConfig as _,
};
use opentelemetry_proto::tonic::{
    logs::v1::SeverityNumber,
    metrics::v1::AggregationTemporality,
    trace::v1::{span, status::StatusCode},
};
use opentelemetry_sdk::{
    Resource, logs::SdkLoggerProvider, metrics::SdkMeterProvider, trace::SdkTracerProvider,
};
use tokio::runtime::{Handle, Runtime};

use super::support::client;
use crate::receiver::{Encoding, Format, MetricKind, Receiver, Request};

/// A reqwest client for exporters that are polled without a runtime.
#[derive(Debug)]
struct OnRuntime(reqwest::Client, Handle);

#[tonic::async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let client = self.0.clone();
        let sending = self.1.spawn(async move {
            let received = client.execute(request.try_into()?).await?;
            let mut response = http::Response::builder().status(received.status());
            *response.headers_mut().unwrap() = received.headers().clone();
            Ok::<_, HttpError>(response.body(received.bytes().await?)?)
        });
        sending.await?
    }
}

type Exporters = (SpanExporter, MetricExporter, LogExporter);

fn over_http(
    runtime: &Runtime,
    endpoint: &str,
    protocol: Protocol,
    compression: Option<Compression>,
) -> Exporters {
    macro_rules! build {
        ($exporter:ident, $path:literal) => {{
            let mut builder = $exporter::builder()
                .with_http()
                .with_http_client(OnRuntime(client(), runtime.handle().clone()))
                .with_endpoint(format!("{endpoint}{}", $path))
                .with_protocol(protocol);
            if let Some(compression) = compression {
                builder = builder.with_compression(compression);
            }
            builder.build().unwrap()
        }};
    }
    (
        build!(SpanExporter, "/v1/traces"),
        build!(MetricExporter, "/v1/metrics"),
        build!(LogExporter, "/v1/logs"),
    )
}

/// Exports a span, a histogram, a counter and a log record, and asserts that the receiver has all of them.
fn assert_everything_received(receiver: &Receiver, exporters: Exporters) -> Vec<Request> {
    let (spans, metrics, logs) = exporters;
    let resource = Resource::builder_empty()
        .with_attribute(KeyValue::new("service.name", "receiver-test"))
        .build();

    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(spans)
        .with_resource(resource.clone())
        .build();
    let tracer = provider.tracer("a scope");
    let mut sent = tracer
        .span_builder("a span")
        .with_kind(SpanKind::Client)
        .with_attributes([KeyValue::new("text", "ä"), KeyValue::new("number", 7)])
        .start(&tracer);
    sent.add_event("an event", vec![KeyValue::new("truth", true)]);
    sent.set_status(Status::Error {
        description: Cow::Borrowed("it failed"),
    });
    let context = sent.span_context().clone();
    sent.end();

    let [span] = &receiver.wait_for_spans(1)[..] else {
        panic!("more than one span");
    };
    assert_eq!(span.name, "a span");
    assert_eq!(span.trace_id, context.trace_id().to_string());
    assert_eq!(span.span_id, context.span_id().to_string());
    assert_eq!(span.parent_span_id, None);
    assert_eq!(span.kind, span::SpanKind::Client);
    assert_eq!(span.status, StatusCode::Error);
    assert_eq!(span.status_message, "it failed");
    assert_eq!(span.attributes["text"], "ä");
    assert_eq!(span.attributes["number"], 7);
    assert_eq!(span.events[0].name, "an event");
    assert_eq!(span.events[0].attributes["truth"], true);
    assert!(0 < span.start_nanos && span.start_nanos <= span.end_nanos);
    assert_eq!(span.origin.resource["service.name"], "receiver-test");
    assert_eq!(span.origin.scope, "a scope");

    let provider = SdkMeterProvider::builder()
        .with_periodic_exporter(metrics)
        .with_resource(resource.clone())
        .build();
    let meter = provider.meter("a scope");
    let histogram = meter.f64_histogram("a.duration").with_unit("s");
    let histogram = histogram.with_boundaries(vec![0.5, 1.0]).build();
    histogram.record(0.75, &[KeyValue::new("tool", "x")]);
    histogram.record(2.0, &[KeyValue::new("tool", "x")]);
    meter.u64_counter("a.count").build().add(3, &[]);
    provider.force_flush().unwrap();

    let duration = receiver.wait_for_metric("a.duration");
    assert_eq!(
        (&*duration.unit, duration.kind),
        ("s", MetricKind::Histogram)
    );
    assert_eq!(
        duration.temporality,
        Some(AggregationTemporality::Cumulative)
    );
    assert_eq!(duration.origin.resource["service.name"], "receiver-test");
    let point = duration.point(&[("tool", "x".into())]).unwrap();
    let histogram = point.as_histogram().unwrap();
    assert_eq!(histogram.bounds, [0.5, 1.0]);
    assert_eq!(histogram.counts, [0, 1, 1]);
    assert_eq!((histogram.count, histogram.sum), (2, Some(2.75)));
    assert_eq!((histogram.min, histogram.max), (Some(0.75), Some(2.0)));
    let count = receiver.metric("a.count").unwrap();
    assert_eq!(count.kind, MetricKind::Sum { monotonic: true });
    assert_eq!(count.points[0].as_int(), Some(3));
    provider.shutdown().unwrap();

    let provider = SdkLoggerProvider::builder()
        .with_simple_exporter(logs)
        .with_resource(resource)
        .build();
    let logger = provider.logger("a scope");
    let mut record = logger.create_log_record();
    record.set_event_name("an.event");
    record.set_severity_number(Severity::Warn);
    record.set_body(AnyValue::from("a body"));
    record.set_timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(1));
    record.add_attribute(Key::new("number"), 7);
    record.set_trace_context(context.trace_id(), context.span_id(), None);
    logger.emit(record);

    let [record] = &receiver.wait_for_logs(1)[..] else {
        panic!("more than one log record");
    };
    assert_eq!(record.event_name, "an.event");
    assert_eq!(record.severity, SeverityNumber::Warn);
    assert_eq!(record.body, Some("a body".into()));
    assert_eq!(record.attributes["number"], 7);
    assert_eq!(record.time_nanos, 1_000_000_000);
    assert_eq!(record.trace_id.as_ref(), Some(&span.trace_id));
    assert_eq!(record.span_id.as_ref(), Some(&span.span_id));
    assert_eq!(record.origin.resource["service.name"], "receiver-test");
    receiver.assert_all_decoded();
    receiver.requests()
}

#[test]
fn the_receiver_decodes_the_sdk_exporters_over_http() {
    let runtime = Runtime::new().unwrap();
    for (protocol, format) in [
        (Protocol::HttpBinary, Format::Protobuf),
        (Protocol::HttpJson, Format::Json),
    ] {
        for (compression, encoding) in [
            (None, Encoding::Identity),
            (Some(Compression::Gzip), Encoding::Gzip),
        ] {
            let receiver = Receiver::http();
            let endpoint = receiver.endpoint();
            let exporters = over_http(&runtime, &endpoint, protocol, compression);
            for request in assert_everything_received(&receiver, exporters) {
                assert_eq!(request.format, Some(format), "{request:?}");
                assert_eq!(request.encoding, encoding, "{request:?}");
                assert_eq!(request.status(), Some(200), "{request:?}");
            }
        }
    }
}

#[cfg(feature = "grpc")]
#[test]
fn the_receiver_decodes_the_sdk_exporters_over_grpc() {
    use crate::receiver::Replied;
    use opentelemetry_otlp::WithTonicConfig as _;

    let runtime = Runtime::new().unwrap();
    let _inside = runtime.enter();
    for (compression, encoding) in [
        (None, Encoding::Identity),
        (Some(Compression::Gzip), Encoding::Gzip),
    ] {
        macro_rules! build {
            ($exporter:ident, $endpoint:expr) => {{
                let mut builder = $exporter::builder().with_tonic().with_endpoint($endpoint);
                if let Some(compression) = compression {
                    builder = builder.with_compression(compression);
                }
                builder.build().unwrap()
            }};
        }
        let receiver = Receiver::grpc();
        let exporters = (
            build!(SpanExporter, receiver.endpoint()),
            build!(MetricExporter, receiver.endpoint()),
            build!(LogExporter, receiver.endpoint()),
        );
        for request in assert_everything_received(&receiver, exporters) {
            assert_eq!(request.encoding, encoding, "{request:?}");
            assert_eq!(request.replied, Replied::Grpc(tonic::Code::Ok));
        }
    }
}

//! A sink changes nothing outside of itself: neither the levels of `tracing`, nor the log of the application.
//!
//! The subscriber of the process is the application's. All tests share it.

#[path = "../otlp/receiver/mod.rs"]
mod receiver;
mod subscriber;

use std::{future::Future, pin::Pin, time::Duration};

use codex_telemetry::{
    Call, Operation, OtlpConfig, OtlpSink, Sink, TimingLayer,
    otlp::{Signal, config::Protocol},
};
use futures_util::FutureExt as _;
use opentelemetry::Context;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};
use prost::Message as _;
use tower::{Layer as _, Service as _, service_fn};
use tracing::level_filters::LevelFilter;

use crate::{
    receiver::{MockResponse, Receiver},
    subscriber::Application,
};

/// A timeout that no test reaches, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn make_a_call(sink: impl Sink + 'static) {
    let mut service =
        TimingLayer::new(sink).layer(service_fn(async |_: Call<()>| -> Result<(), ()> { Ok(()) }));
    let call = Call::new(Operation::Tool, ()).with_name("t");
    let response = service.call(call).now_or_never();
    assert_eq!(response, Some(Ok(())));
}

/// Runs a check while sinks of all protocols export, fail, have failed to start, and are shut down.
fn at_each_stage(check: impl Fn(&str)) {
    check("before any sink");
    let receivers = [
        (Protocol::HttpProtobuf, Receiver::http()),
        (Protocol::HttpJson, Receiver::http()),
        #[cfg(feature = "grpc")]
        (Protocol::Grpc, Receiver::grpc()),
    ];
    for (protocol, receiver) in receivers {
        let config = OtlpConfig::builder()
            .endpoint(&receiver.endpoint())
            .protocol(protocol);
        let sink = OtlpSink::start(config.build().unwrap());
        check("after the start");
        make_a_call(sink.clone());
        sink.blocking_flush(PATIENCE).unwrap();
        check("after an export");
        receiver.respond_with(MockResponse::Status(503));
        make_a_call(sink.clone());
        receiver.wait_for_requests(4);
        check("while it fails");
        let _ = sink.blocking_shutdown(Duration::from_millis(100));
        check("after the shutdown");
        drop(sink);
        check("after the drop");
    }
}

#[test]
fn the_maximum_level_of_the_process_stays_as_the_application_set_it() {
    Application::install();
    at_each_stage(|stage| assert_eq!(LevelFilter::current(), LevelFilter::INFO, "{stage}"));
}

#[test]
fn a_million_disabled_events_do_not_ask_the_subscriber() {
    let application = Application::install();
    at_each_stage(|stage| {
        for number in 0..1_000_000 / 16 {
            tracing::debug!(target: "application::disabled", number);
        }
        assert_eq!(application.asked("application::disabled"), 0, "{stage}");
    });
}

/// An OTLP exporter of the application, as the custom exporter of a sink.
#[derive(Debug)]
struct Own(opentelemetry_otlp::SpanExporter);

impl SpanExporter for Own {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        tracing::warn!(target: "application::own", "exports");
        self.0.export(batch).await
    }
}

/// A client whose receiver rejects a span.
#[derive(Debug)]
struct Rejecting;

impl HttpClient for Rejecting {
    fn send_bytes<'a, 'b>(
        &'a self,
        _: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let partial_success = ExportTracePartialSuccess {
            rejected_spans: 1,
            error_message: "the quota of the application is used up".to_owned(),
        };
        let response = ExportTraceServiceResponse {
            partial_success: Some(partial_success),
        };
        Box::pin(async move { Ok(Response::new(response.encode_to_vec().into())) })
    }
}

#[test]
fn the_log_of_an_exporter_of_the_application_arrives() {
    let application = Application::install();
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(Rejecting)
        .with_endpoint("http://localhost/")
        .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
        .build()
        .unwrap();
    let config = OtlpConfig::builder().signals([Signal::Traces]);
    let sink = OtlpSink::builder(config.build().unwrap())
        .span_exporter(Own(exporter))
        .start();
    make_a_call(sink.clone());
    let _ = sink.blocking_shutdown(PATIENCE);
    assert!(application.logged("application::own", "exports"));
    let quota = "the quota of the application is used up";
    assert!(application.logged("opentelemetry-otlp", quota));
}

#[test]
fn the_log_of_a_sink_contains_no_secret_not_even_one_that_the_receiver_repeats() {
    let application = Application::install();
    let secret = "s3cret-of-the-receiver";
    for (protocol, receiver) in [
        (Protocol::HttpProtobuf, Receiver::http()),
        #[cfg(feature = "grpc")]
        (Protocol::Grpc, Receiver::grpc()),
    ] {
        receiver.respond_next(1, MockResponse::StatusWithMessage(400, secret.to_owned()));
        receiver.respond_with(MockResponse::PartialSuccess {
            rejected: 1,
            message: secret.to_owned(),
        });
        let address = receiver.endpoint().replace("http://", "");
        let config = OtlpConfig::builder()
            .endpoint(&format!("http://me:{secret}@{address}"))
            .protocol(protocol)
            .signals([Signal::Traces]);
        let sink = OtlpSink::start(config.build().unwrap());
        for _ in 0..2 {
            make_a_call(sink.clone());
            sink.blocking_flush(PATIENCE).unwrap_err();
        }
        for target in ["opentelemetry-otlp", "codex_telemetry"] {
            assert!(!application.logged(target, secret), "{protocol} {target}");
        }
        let warning = "traces are not delivered";
        assert!(application.logged("codex_telemetry", warning));
    }
}

/// An exporter that fails if telemetry is not suppressed.
#[derive(Debug)]
struct Suppressed;

impl SpanExporter for Suppressed {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        assert!(Context::is_current_telemetry_suppressed());
        Ok(())
    }
}

#[test]
fn an_export_runs_with_telemetry_suppressed() {
    let config = OtlpConfig::builder().signals([Signal::Traces]);
    let sink = OtlpSink::builder(config.build().unwrap())
        .span_exporter(Suppressed)
        .start();
    make_a_call(sink.clone());
    assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
    assert!(!Context::is_current_telemetry_suppressed());
}

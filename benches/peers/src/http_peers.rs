//! HTTP middleware, set up as documented.

use axum_tracing_opentelemetry::middleware::OtelAxumLayer;
use opentelemetry::{global, metrics::MeterProvider as _, trace::TracerProvider as _};
use opentelemetry_instrumentation_tower::http::server;
use tower::ServiceBuilder;
use tower_http::trace::TraceLayer;
use tracing::Level;
use tracing_subscriber::{Registry, layer::SubscriberExt as _};

use crate::{
    peers::Peers,
    record_counts::RecordCounts,
    sdk::{Sdk, Signal},
    services::Bare,
};

pub(crate) fn run(peers: &mut Peers<'_>, counts: &mut RecordCounts) {
    let name = "tower-http TraceLayer, no subscriber";
    let service = ServiceBuilder::new().layer(TraceLayer::new_for_http());
    peers.http(name, service.service(Bare), || ());

    instrumentation_tower(peers, counts);
    // As in an application, the subscriber is global; a scoped one costs more. It can be set only once,
    // so the following peers share one SDK, and their spans are counted together.
    let traced = Sdk::start();
    let layer = tracing_opentelemetry::layer().with_tracer(traced.tracers.tracer("tracing"));
    tracing::subscriber::set_global_default(Registry::default().with(layer))
        .expect("no other subscriber");

    let trace_layer = "tower-http TraceLayer, tracing-opentelemetry: span";
    let service = ServiceBuilder::new().layer(TraceLayer::new_for_http());
    let mut made = peers.http(trace_layer, service.service(Bare), traced.flush());

    let tower_otel = "tower-otel: span, metrics";
    let measured = Sdk::start();
    let service = ServiceBuilder::new()
        .layer(tower_otel::metrics::HttpLayer::server(
            &measured.meters.meter("tower-otel"),
        ))
        .layer(tower_otel::trace::HttpLayer::server(Level::INFO));
    let both = peers.http(tower_otel, service.service(Bare), traced.flush());
    made += both;
    measured.finish(counts, tower_otel, both, &[Signal::Metrics]);

    let axum_tracing = "axum-tracing-opentelemetry: span";
    let service = ServiceBuilder::new().layer(OtelAxumLayer::default());
    made += peers.http(axum_tracing, service.service(Bare), traced.flush());
    traced.finish(
        counts,
        "the three over tracing-opentelemetry",
        made,
        &[Signal::Spans],
    );
}

fn instrumentation_tower(peers: &mut Peers<'_>, counts: &mut RecordCounts) {
    let name = "opentelemetry-instrumentation-tower: span, metrics";
    let sdk = Sdk::start();
    // The layer reads the global providers when it is created.
    global::set_tracer_provider(sdk.tracers.clone());
    global::set_meter_provider(sdk.meters.clone());
    let service = ServiceBuilder::new().layer(server::Layer::new());
    let made = peers.http(name, service.service(Bare), sdk.flush());
    sdk.finish(counts, name, made, &[Signal::Spans, Signal::Metrics]);
}

//! Middleware for HTTP, set up as its documentation says.

use opentelemetry::{global, metrics::MeterProvider as _, trace::TracerProvider as _};
use opentelemetry_instrumentation_tower::http::server;
use tower::ServiceBuilder;
use tower_http::trace::TraceLayer;
use tracing::Level;
use tracing_subscriber::{Registry, layer::SubscriberExt as _};

use crate::{
    books::Books,
    burst::Peers,
    sdk::{Sdk, Signal},
    services::Bare,
};

pub(crate) fn run(peers: &mut Peers<'_>, books: &mut Books) {
    let name = "tower-http TraceLayer, no subscriber";
    let service = ServiceBuilder::new().layer(TraceLayer::new_for_http());
    peers.http(name, service.service(Bare), || ());

    instrumentation_tower(peers, books);
    // Only one global subscriber may be set, and what is global is what an application has; a scoped one
    // costs more. Its spans go to one SDK, so the books of what follows are one too.
    let traced = Sdk::start();
    let layer = tracing_opentelemetry::layer().with_tracer(traced.tracers.tracer("tracing"));
    tracing::subscriber::set_global_default(Registry::default().with(layer))
        .expect("no other subscriber");

    let trace_layer = "tower-http TraceLayer, tracing-opentelemetry: span";
    let service = ServiceBuilder::new().layer(TraceLayer::new_for_http());
    let mut made = peers.http(trace_layer, service.service(Bare), traced.settle());

    let tower_otel = "tower-otel: span, metrics";
    let measured = Sdk::start();
    let service = ServiceBuilder::new()
        .layer(tower_otel::metrics::HttpLayer::server(
            &measured.meters.meter("tower-otel"),
        ))
        .layer(tower_otel::trace::HttpLayer::server(Level::INFO));
    let both = peers.http(tower_otel, service.service(Bare), traced.settle());
    made += both;
    measured.finish(books, tower_otel, both, &[Signal::Metrics]);
    traced.finish(
        books,
        "both over tracing-opentelemetry",
        made,
        &[Signal::Spans],
    );
}

fn instrumentation_tower(peers: &mut Peers<'_>, books: &mut Books) {
    let name = "opentelemetry-instrumentation-tower: span, metrics";
    let sdk = Sdk::start();
    // The layer takes what is global as it is built.
    global::set_tracer_provider(sdk.tracers.clone());
    global::set_meter_provider(sdk.meters.clone());
    let service = ServiceBuilder::new().layer(server::Layer::new());
    let made = peers.http(name, service.service(Bare), sdk.settle());
    sdk.finish(books, name, made, &[Signal::Spans, Signal::Metrics]);
}

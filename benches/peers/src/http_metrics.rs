//! HTTP middleware with metrics by the `metrics` facade, set up as documented.

use axum_prometheus::{PrometheusMetricLayer, metrics_exporter_prometheus::PrometheusHandle};
use tower::ServiceBuilder;

use crate::{peers::Peers, record_counts::RecordCounts, services::Bare};

pub(crate) fn run(peers: &mut Peers<'_>, counts: &mut RecordCounts) {
    let name = "axum-prometheus: metrics";
    // It spawns a task that does what is done after each burst here. Nothing drives that task.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime starts");
    let (layer, handle) = {
        let _entered = runtime.enter();
        PrometheusMetricLayer::pair()
    };
    let service = ServiceBuilder::new().layer(layer);
    let made = peers.http(name, service.service(Bare), || handle.run_upkeep());
    counts.add(name, "durations", made, durations(&handle));
}

/// Returns the number of durations in what Prometheus would read.
fn durations(handle: &PrometheusHandle) -> u64 {
    let text = handle.render();
    let counts = text.lines().filter_map(|line| {
        let line = line.strip_prefix("axum_http_requests_duration_seconds_count")?;
        line.rsplit_once(' ')?.1.parse::<u64>().ok()
    });
    counts.sum()
}

//! Codex's own spans, as children of ours.

use std::time::Duration;

use codex_telemetry::{
    CallContext, OtlpConfig, OtlpSink, ServiceBuilderExt,
    otlp::config::{OtlpConfigBuilder, Protocol, Signal},
    turn::TurnRequest,
};
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt};

use crate::{
    bench::{Bench, until},
    calls::assert_ok,
    checked::Checked,
    reply::Reply,
};

impl Bench {
    /// Makes Codex export to this bench's model.
    fn exporting(&self, request: TurnRequest) -> TurnRequest {
        let exporter =
            |path| json!({"otlp-http": {"endpoint": self.model.url(path), "protocol": "json"}});
        let otel = json!({
            "exporter": exporter("/v1/logs"),
            "trace_exporter": exporter("/v1/traces"),
            "metrics_exporter": "none",
        });
        request.with_config("otel", otel)
    }

    /// Runs a turn that completes, with a sink that exports its spans to this bench's model.
    pub(crate) async fn run_with_otlp(
        &self,
        request: TurnRequest,
        configure: impl FnOnce(OtlpConfigBuilder) -> OtlpConfigBuilder,
    ) {
        let config = OtlpConfig::builder()
            .endpoint(&self.model.url(""))
            .protocol(Protocol::HttpJson)
            .signals([Signal::Traces]);
        let config = configure(config).build().unwrap();
        let sink = Checked::over(OtlpSink::start(config));
        let turns = ServiceBuilder::new()
            .timing(sink.clone())
            .service(self.turns().build());
        turns.oneshot(request).await.unwrap();
        sink.shutdown(Duration::from_secs(30)).await.unwrap();
    }

    /// Returns the exported spans with this name.
    pub(crate) fn spans(&self, name: &str) -> Vec<Value> {
        let mut spans = self.all_spans();
        spans.retain(|span| span["name"] == name);
        spans
    }

    /// Returns all exported spans.
    pub(crate) fn all_spans(&self) -> Vec<Value> {
        let exports = self.model.received("/v1/traces");
        let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        let spans = exports.iter().flat_map(|export| {
            let resources = list(&export.json(), "resourceSpans").into_iter();
            let scopes = resources.flat_map(|resource| list(&resource, "scopeSpans"));
            scopes
                .flat_map(|scope| list(&scope, "spans"))
                .collect::<Vec<_>>()
        });
        spans.collect()
    }
}

#[tokio::test]
async fn codexs_root_span_is_a_child_of_the_turns_span() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let context = CallContext::new().with_traceparent(parent, Some("a=b"));
    let request = bench.exporting(bench.request("Go")).with_context(context);
    bench.run(request).await.unwrap();

    let calls = bench.calls(1);
    let turn = calls.turn();
    assert_ok(turn);
    let trace = turn.trace_id().to_string();
    assert_eq!(trace, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(
        turn.parent_span_id().unwrap().to_string(),
        "b7ad6b7169203331"
    );

    until("Codex's export has come", || {
        !bench.spans("codex.exec").is_empty()
    })
    .await;
    let spans = bench.spans("codex.exec");
    let [span] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(span["parentSpanId"], turn.span_id().to_string());
    assert_eq!(span["traceId"], trace);
    assert_eq!(span["traceState"], "a=b");
    // Codex passes the trace on to the model.
    let asked = bench.model.asked();
    let onward = asked[0].header("traceparent");
    assert!(onward.starts_with(&format!("00-{trace}-")), "{onward:?}");
}

#[tokio::test]
async fn a_turn_without_a_parent_is_the_root_of_codexs_trace_too() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let request = bench.exporting(bench.request("Go"));
    bench.run(request).await.unwrap();
    let calls = bench.calls(1);
    let turn = calls.turn();
    assert_eq!(turn.parent_span_id(), None);
    until("Codex's export has come", || {
        !bench.spans("codex.exec").is_empty()
    })
    .await;
    for span in bench.spans("codex.exec") {
        assert_eq!(span["parentSpanId"], turn.span_id().to_string());
        assert_eq!(span["traceId"], turn.trace_id().to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_span_and_codexs_spans_are_one_trace_at_a_receiver() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    bench
        .run_with_otlp(bench.exporting(bench.request("Go")), |config| config)
        .await;

    until("both exports have come", || {
        !bench.spans("codex.exec").is_empty() && !bench.spans("invoke_agent").is_empty()
    })
    .await;
    let (ours, codexs) = (bench.spans("invoke_agent"), bench.spans("codex.exec"));
    let [ours] = &ours[..] else {
        panic!("{ours:?}");
    };
    for codexs in codexs {
        assert_eq!(codexs["traceId"], ours["traceId"]);
        assert_eq!(codexs["parentSpanId"], ours["spanId"]);
    }
}

//! Calls of all kinds, and what a receiver decodes of them, without ids.

use std::{
    collections::HashMap,
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
};

use codex_telemetry::{
    CallContext, Classification, ErrorClass, Operation, Originator, OtlpConfig, OtlpSink, Sink,
    event::names, otlp::config::OtlpConfigBuilder,
};

use crate::{
    receiver::{Origin, Receiver},
    rig::PATIENCE,
    signals::support::Calls,
};

/// A line for each span, log record and data point.
#[derive(Debug, PartialEq)]
pub(super) struct Content {
    spans: Vec<String>,
    logs: Vec<String>,
    points: Vec<String>,
}

/// The number of spans of [`make_calls`].
pub(super) const SPANS: u64 = 7;

/// Makes seven calls: a turn with three tool calls, a cleanup, a cancelled call and a panic.
pub(super) fn make_calls(sink: impl Sink + 'static) {
    let calls = Calls::new(sink);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let context = CallContext::new()
        .with_originator(Originator::Cli)
        .with_thread_id("thread-1")
        .with_attempt(2)
        .with_traceparent(parent, Some("vendor=1"));
    let turn = |context: CallContext| {
        context.record(names::INPUT_TOKENS, 1200);
        context.record("list", opentelemetry::Value::Array(vec![0.5, 1.5].into()));
        context.record("text", "ä \"quoted\"\n");
        context.add_event("retry");
        let child = || context.child().with_call_id("call-1");
        let slow = |_| {
            calls.advance(30);
            Ok(())
        };
        let failing = |why: Classification| {
            move |context: CallContext| {
                context.classify(why);
                Err("no")
            }
        };
        let on_fire = Classification::from(ErrorClass::Io).with_message("disk on fire");
        let unknown = ErrorClass::ToolNotFound.into();
        let tool = Operation::Tool;
        calls.run(tool, "ls", child(), slow).unwrap();
        calls
            .run(tool, "rm", child(), failing(on_fire))
            .unwrap_err();
        calls
            .run(tool, "made up", child(), failing(unknown))
            .unwrap_err();
        Ok(())
    };
    calls
        .run(Operation::Turn, "reviewer", context, turn)
        .unwrap();
    let cleanup = |context: CallContext| {
        context.record(names::CLEANUP_REMOVED, 3);
        context.record(names::CLEANUP_BYTES, 4096);
        Ok(())
    };
    let context = CallContext::new;
    calls
        .run(Operation::AttachmentCleanup, "", context(), cleanup)
        .unwrap();
    drop(calls.start(
        Operation::Custom("billing.sync"),
        "x",
        context(),
        |_| Ok(()),
    ));
    let panics = || calls.run(Operation::Tool, "ls", context(), |_| panic!("as expected"));
    catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
}

/// Makes the calls with a sink that exports to `receiver`, and returns what it received.
#[track_caller]
pub(super) fn exported(
    receiver: &Receiver,
    configure: impl FnOnce(OtlpConfigBuilder) -> OtlpConfigBuilder,
) -> Content {
    let builder = OtlpConfig::builder()
        .endpoint(&receiver.endpoint())
        .service_name("release-bot");
    let sink = OtlpSink::start(configure(builder).build().unwrap());
    make_calls(sink.clone());
    sink.blocking_shutdown(PATIENCE).unwrap();
    let stats = sink.stats();
    assert_eq!(
        (stats.traces.accepted, stats.traces.exported),
        (SPANS, SPANS)
    );
    assert_eq!(
        (stats.logs.accepted, stats.logs.exported),
        (2 * SPANS, 2 * SPANS)
    );
    assert_eq!(stats.metrics.exported, 2 * SPANS);
    Content::of(receiver)
}

impl Content {
    pub(super) fn of(receiver: &Receiver) -> Self {
        let mut known = HashMap::new();
        let mut id = |id: Option<&String>| {
            let next = known.len();
            id.map(|id| *known.entry(id.clone()).or_insert(next))
        };
        let spans = receiver.spans().into_iter().map(|mut span| {
            let ids = [
                Some(&span.trace_id),
                Some(&span.span_id),
                span.parent_span_id.as_ref(),
            ];
            let ids = ids.map(&mut id);
            (span.trace_id, span.span_id, span.parent_span_id) = Default::default();
            anonymize(&mut span.origin);
            line(&(ids, span))
        });
        let spans: Vec<_> = spans.collect();
        let logs = receiver.logs().into_iter().map(|mut log| {
            let ids = [log.trace_id.as_ref(), log.span_id.as_ref()].map(&mut id);
            (log.trace_id, log.span_id) = Default::default();
            anonymize(&mut log.origin);
            line(&(ids, log))
        });
        let logs = logs.collect();
        let mut points = Vec::new();
        // The metrics of the sink itself depend on the number of exports.
        let metrics = receiver.metrics().into_iter();
        for mut metric in metrics.filter(|metric| !metric.name.starts_with("otel.sdk.")) {
            anonymize(&mut metric.origin);
            for point in &metric.points {
                points.push(line(&(
                    (&metric.name, &metric.unit, metric.kind, metric.temporality),
                    (&point.attributes, &point.value, &metric.origin),
                )));
            }
        }
        points.sort();
        Self {
            spans,
            logs,
            points,
        }
    }

    #[track_caller]
    pub(super) fn assert_complete(&self) {
        assert_eq!(self.spans.len(), 7, "{self:#?}");
        assert_eq!(self.logs.len(), 14, "{self:#?}");
        // One turn, four kinds of tool calls, a cleanup, a custom operation; input tokens as a histogram
        // and as a counter; two for cleaned attachments; active calls of four operations.
        assert_eq!(self.points.len(), 7 + 2 + 2 + 4, "{self:#?}");
    }
}

/// Removes what tells one sink from another.
fn anonymize(origin: &mut Origin) {
    for key in ["service.instance.id", "process.pid"] {
        origin.resource.remove(key).expect("each sink has it");
    }
}

fn line(of: &impl Debug) -> String {
    format!("{of:?}")
}

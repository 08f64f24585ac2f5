//! The ids and parents of spans.

use codex_telemetry::{CallContext, Operation};
use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceContextExt as _, TraceState},
};

use super::support::Rig;
use crate::receiver::Span;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
const SAMPLED: u32 = 1;
const RANDOM: u32 = 2;

/// Returns the span of one call, and the context in its service.
fn span_within(context: CallContext) -> (Span, CallContext) {
    let rig = Rig::new();
    let mut inside = None;
    let work = |context| {
        inside = Some(context);
        Ok(())
    };
    rig.calls.run(Operation::Turn, "", context, work).unwrap();
    (rig.flush().spans().remove(0), inside.unwrap())
}

#[test]
fn a_span_has_the_ids_that_the_service_propagates() {
    let (span, inside) = span_within(CallContext::new());
    let expected = format!("00-{}-{}-03", span.trace_id, span.span_id);
    assert_eq!(inside.traceparent(), Some(expected));
    assert_eq!(span.parent_span_id, None);
    assert_eq!(span.flags, HAS_IS_REMOTE | SAMPLED | RANDOM);
}

#[test]
fn a_nested_call_is_a_child_span() {
    let rig = Rig::new();
    let calls = &rig.calls;
    let turn = |context: CallContext| {
        calls.run(Operation::Tool, "outer", context.child(), |context| {
            let guard = context.open_child(Operation::Tool, Some("inner".into()), None);
            guard.finish();
            Ok(())
        })
    };
    let context = CallContext::new();
    calls.run(Operation::Turn, "", context, turn).unwrap();
    let spans = rig.flush().spans();
    let [inner, outer, turn] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(turn.parent_span_id, None);
    assert_eq!(outer.parent_span_id.as_ref(), Some(&turn.span_id));
    assert_eq!(inner.parent_span_id.as_ref(), Some(&outer.span_id));
    for span in &spans {
        assert_eq!(span.trace_id, turn.trace_id);
        assert_eq!(
            span.flags,
            HAS_IS_REMOTE | SAMPLED | RANDOM,
            "{}",
            span.name
        );
    }
}

#[test]
fn a_traceparent_is_a_remote_parent() {
    let traceparent = format!("00-{TRACE}-{SPAN}-01");
    let state = "vendor=1,other=2";
    let (span, inside) =
        span_within(CallContext::new().with_traceparent(&traceparent, Some(state)));
    assert_eq!(span.trace_id, TRACE);
    assert_eq!(span.parent_span_id.as_deref(), Some(SPAN));
    assert_eq!(span.flags, HAS_IS_REMOTE | IS_REMOTE | SAMPLED);
    assert_eq!(span.trace_state, state);
    assert_eq!(inside.tracestate().as_deref(), Some(state));
    assert_ne!(span.span_id, SPAN);
}

#[test]
fn the_random_flag_is_that_of_the_trace() {
    for (flags, expected) in [("00", 0), ("01", 1), ("02", 2), ("03", 3)] {
        let parent = format!("00-{TRACE}-{SPAN}-{flags}");
        let rig = Rig::new();
        let context = CallContext::new().with_traceparent(&parent, None);
        let mut seen = Vec::new();
        let turn = |context: CallContext| {
            seen.extend(context.traceparent());
            rig.calls
                .run(Operation::Tool, "", context.child(), |context| {
                    seen.extend(context.traceparent());
                    Ok(())
                })
        };
        rig.calls.run(Operation::Turn, "", context, turn).unwrap();
        for traceparent in &seen {
            assert_eq!(traceparent[53..], *flags, "{traceparent}");
        }
        assert_eq!(seen.len(), 2);
        for span in rig.flush().spans() {
            assert_eq!(span.flags & 0xff, expected, "{}", span.name);
        }
    }
}

#[test]
fn children_inherit_the_tracestate_and_have_a_local_parent() {
    let rig = Rig::new();
    let traceparent = format!("00-{TRACE}-{SPAN}-01");
    let context = CallContext::new().with_traceparent(&traceparent, Some("vendor=1"));
    let turn = |context: CallContext| {
        rig.calls
            .run(Operation::Tool, "ls", context.child(), |_| Ok(()))
    };
    rig.calls.run(Operation::Turn, "", context, turn).unwrap();
    let tool = rig.flush().spans().remove(0);
    assert_eq!(tool.name, "execute_tool ls");
    assert_eq!(tool.trace_state, "vendor=1");
    assert_eq!(tool.flags, HAS_IS_REMOTE | SAMPLED);
}

#[test]
fn an_invalid_traceparent_begins_a_new_trace() {
    let (span, _) = span_within(CallContext::new().with_traceparent("garbage", None));
    assert_eq!(span.parent_span_id, None);
}

/// Returns an OpenTelemetry context, as an instrumented application has it.
fn context(remote: bool) -> Context {
    Context::new().with_remote_span_context(SpanContext::new(
        TraceId::from_hex(TRACE).unwrap(),
        SpanId::from_hex(SPAN).unwrap(),
        TraceFlags::SAMPLED,
        remote,
        TraceState::default(),
    ))
}

#[test]
fn a_span_of_an_opentelemetry_context_is_a_parent() {
    let context = context(true);
    let parent = context.span().span_context().clone();
    let (span, _) = span_within(CallContext::new().with_parent(parent));
    assert_eq!(span.trace_id, TRACE);
    assert_eq!(span.parent_span_id.as_deref(), Some(SPAN));
    assert_eq!(span.flags, HAS_IS_REMOTE | IS_REMOTE | SAMPLED);
}

#[test]
fn a_parent_of_this_process_is_not_remote() {
    let context = context(false);
    let parent = context.span().span_context().clone();
    let (span, _) = span_within(CallContext::new().with_parent(parent));
    assert_eq!(span.parent_span_id.as_deref(), Some(SPAN));
    assert_eq!(span.flags, HAS_IS_REMOTE | SAMPLED);
}

#[test]
fn an_opentelemetry_context_without_a_span_is_not_a_parent() {
    let parent = Context::new().span().span_context().clone();
    let (span, _) = span_within(CallContext::new().with_parent(parent));
    assert_eq!(span.parent_span_id, None);
}

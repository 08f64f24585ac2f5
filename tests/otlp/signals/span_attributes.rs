//! The name, kind and attributes of a span, by operation.

use codex_telemetry::{CallContext, Operation, Originator, event::names};
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};

use super::support::{Rig, millis, nanos};
use crate::receiver::{Attributes, Span, Value};

fn attributes<const N: usize>(pairs: [(&str, Value); N]) -> Attributes {
    pairs.map(|(key, value)| (key.to_owned(), value)).into()
}

/// Returns the span of one call.
fn span_of(operation: Operation, name: &'static str, record: impl FnOnce(&CallContext)) -> Span {
    let rig = Rig::new();
    let context = CallContext::new()
        .with_originator(Originator::Cli)
        .with_thread_id("thread-1")
        .with_turn_id("turn-1")
        .with_call_id("call-1");
    let work = |context: CallContext| {
        record(&context);
        rig.calls.advance(250);
        Ok(())
    };
    rig.calls.run(operation, name, context, work).unwrap();
    let mut spans = rig.flush().spans();
    assert_eq!(spans.len(), 1, "{spans:?}");
    spans.remove(0)
}

#[test]
fn a_turn_is_a_client_span_with_the_attributes_of_the_conventions() {
    let span = span_of(Operation::Turn, "reviewer", |context| {
        context.record(names::REQUEST_MODEL, "gpt-5");
        context.record(names::INPUT_TOKENS, 1200);
        context.record(names::OUTPUT_TOKENS, 34);
        context.record(names::CACHE_READ_TOKENS, 1000);
        context.record(names::CACHE_WRITE_TOKENS, 150);
        context.record(names::REASONING_TOKENS, 12);
        context.record(names::EXIT_CODE, 0);
    });
    assert_eq!(span.name, "invoke_agent reviewer");
    assert_eq!(span.kind, SpanKind::Client);
    let expected = attributes([
        ("gen_ai.operation.name", "invoke_agent".into()),
        ("gen_ai.provider.name", "openai".into()),
        ("gen_ai.agent.name", "reviewer".into()),
        ("gen_ai.conversation.id", "thread-1".into()),
        ("gen_ai.request.model", "gpt-5".into()),
        ("gen_ai.usage.input_tokens", 1200.into()),
        ("gen_ai.usage.output_tokens", 34.into()),
        ("gen_ai.usage.cache_read.input_tokens", 1000.into()),
        ("gen_ai.usage.cache_write.input_tokens", 150.into()),
        ("gen_ai.usage.reasoning.output_tokens", 12.into()),
        ("process.exit.code", 0.into()),
        ("codex.originator", "cli".into()),
        ("codex.turn.id", "turn-1".into()),
        ("codex.call.id", "call-1".into()),
        ("codex.duration_ms", 250.0.into()),
        ("codex.outcome", "ok".into()),
    ]);
    assert_eq!(span.attributes, expected);
}

#[test]
fn a_turn_has_the_provider_that_was_recorded() {
    let span = span_of(Operation::Turn, "reviewer", |context| {
        context.record(names::PROVIDER_NAME, "azure");
    });
    assert_eq!(span.attributes[names::PROVIDER_NAME], Value::from("azure"));
}

#[test]
fn a_tool_call_is_an_internal_span_with_the_attributes_of_the_conventions() {
    let span = span_of(Operation::Tool, "ls", |context| {
        context.record(names::TOOL_TYPE, "function");
    });
    assert_eq!(span.name, "execute_tool ls");
    assert_eq!(span.kind, SpanKind::Internal);
    let expected = attributes([
        ("gen_ai.operation.name", "execute_tool".into()),
        ("gen_ai.tool.name", "ls".into()),
        ("gen_ai.tool.call.id", "call-1".into()),
        ("gen_ai.tool.type", "function".into()),
        ("gen_ai.conversation.id", "thread-1".into()),
        ("codex.originator", "cli".into()),
        ("codex.turn.id", "turn-1".into()),
        ("codex.duration_ms", 250.0.into()),
        ("codex.outcome", "ok".into()),
    ]);
    assert_eq!(span.attributes, expected);
}

#[test]
fn a_tool_call_that_came_in_over_mcp_is_a_server_span_named_by_the_method() {
    let span = span_of(Operation::Tool, "ls", |context| {
        context.record(names::MCP_METHOD, "tools/call");
    });
    assert_eq!(span.name, "tools/call ls");
    assert_eq!(span.kind, SpanKind::Server);
    assert_eq!(span.attributes["gen_ai.operation.name"], "execute_tool");
    assert_eq!(span.attributes["mcp.method.name"], "tools/call");
}

#[test]
fn a_tool_call_of_a_turn_has_the_agent_and_the_id_of_its_item() {
    let rig = Rig::new();
    let work = |context: CallContext| {
        let tool = context.open_child(Operation::Tool, Some("shell".into()), None);
        tool.record(names::TOOL_TYPE, "extension");
        tool.record(names::ITEM_ID, "item_3");
        tool.finish();
        Ok(())
    };
    let context = CallContext::new();
    rig.calls
        .run(Operation::Turn, "reviewer", context, work)
        .unwrap();
    let receiver = rig.flush();
    let tool = receiver.spans().remove(0);
    assert_eq!(tool.name, "execute_tool shell");
    assert_eq!(tool.attributes["gen_ai.agent.name"], "reviewer");
    assert_eq!(tool.attributes["gen_ai.tool.type"], "extension");
    assert_eq!(tool.attributes["codex.item.id"], "item_3");
    assert_eq!(tool.attribute("gen_ai.tool.call.id"), None);
    // Start and end of the turn are first and last.
    for log in &receiver.logs()[1..3] {
        assert_eq!(log.attributes["gen_ai.agent.name"], "reviewer");
    }
}

#[test]
fn a_cleanup_is_an_internal_span_with_its_counts() {
    let span = span_of(Operation::AttachmentCleanup, "", |context| {
        context.record(names::CLEANUP_REMOVED, 3);
        context.record(names::CLEANUP_BYTES, 4096);
    });
    assert_eq!(span.name, "codex.attachment.cleanup");
    assert_eq!(span.kind, SpanKind::Internal);
    assert_eq!(span.attributes["codex.attachment.removed"], 3);
    assert_eq!(span.attributes["codex.attachment.removed_bytes"], 4096);
    assert!(!span.attributes.contains_key("gen_ai.operation.name"));
}

#[test]
fn a_custom_operation_is_an_internal_span() {
    let span = span_of(Operation::Custom("billing.sync"), "nightly", |_| {});
    assert_eq!(span.name, "billing.sync nightly");
    assert_eq!(span.kind, SpanKind::Internal);
}

#[test]
fn a_span_of_an_unnamed_call_has_the_name_of_its_operation() {
    assert_eq!(span_of(Operation::Turn, "", |_| {}).name, "invoke_agent");
    assert_eq!(span_of(Operation::Tool, "", |_| {}).name, "execute_tool");
}

#[test]
fn a_span_has_the_start_and_end_of_its_call() {
    let span = span_of(Operation::Tool, "ls", |context| context.add_event("retry"));
    assert_eq!(span.start_nanos, nanos(millis(0)));
    assert_eq!(span.end_nanos, nanos(millis(250)));
    assert_eq!(span.events.len(), 1);
    assert_eq!(span.events[0].name, "retry");
    assert_eq!(span.events[0].time_nanos, nanos(millis(0)));
    assert_eq!(span.status, StatusCode::Unset);
}

#[test]
fn a_key_that_was_recorded_twice_has_its_latest_value() {
    let span = span_of(Operation::Tool, "ls", |context| {
        context.record("queue.depth", 1);
        context.record("queue.depth", 2);
    });
    assert_eq!(span.attributes["queue.depth"], 2);
}

#[test]
fn a_recorded_value_does_not_replace_an_attribute_of_the_crate_on_a_span() {
    let span = span_of(Operation::Tool, "ls", |context| {
        context.record("gen_ai.tool.name", "recorded");
        context.record("codex.outcome", "recorded");
    });
    assert_eq!(span.attributes["gen_ai.tool.name"], "ls");
    assert_eq!(span.attributes["codex.outcome"], "ok");
}

#[test]
fn a_span_contains_no_content() {
    let span = span_of(Operation::Turn, "reviewer", |_| {});
    let content = ["messages", "prompt", "arguments", "result", "instructions"];
    for key in span.attributes.keys() {
        assert!(!content.iter().any(|word| key.contains(word)), "{key}");
    }
    assert_eq!(span.events, []);
    assert_eq!(span.links, 0);
}

#[test]
fn spans_have_the_scope_of_the_crate_and_the_resource_of_the_program() {
    let rig = Rig::with(|config| config.service_name("release-bot"));
    rig.calls.ok(Operation::Tool, "ls", 1);
    let span = rig.flush().spans().remove(0);
    assert_eq!(span.origin.scope, "codex-telemetry");
    assert_eq!(span.origin.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(
        span.origin.scope_schema,
        "https://opentelemetry.io/schemas/1.45.0"
    );
    assert_eq!(span.origin.resource["service.name"], "release-bot");
}

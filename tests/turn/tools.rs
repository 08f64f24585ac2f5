//! Items that are tool calls.

use codex_telemetry::{ErrorClass, Operation, Outcome, event::names};

use crate::support::{Stack, fake_codex, request};

/// Runs a turn with one completed item, and returns its tool calls: name, type and error class.
async fn tools(item: &str) -> Vec<(String, String, Option<ErrorClass>)> {
    let stack = Stack::new(fake_codex());
    let script = format!(
        r#"echo '{{"type":"item.completed","item":{{"id":"item_0",{item}}}}}'
        echo '{{"type":"turn.completed"}}'"#
    );
    stack.run(request(&script)).await.unwrap();
    let mut events = stack.sink.events();
    events.retain(|event| event.kind().is_terminal() && event.operation() == Operation::Tool);
    let tool = |event: &codex_telemetry::Event| {
        assert_eq!(
            event.outcome() == Some(Outcome::Ok),
            event.error_class().is_none()
        );
        let kind = event.attribute(names::TOOL_TYPE).unwrap().as_str();
        let name = event.call_name().unwrap().to_owned();
        (name, kind.into_owned(), event.error_class())
    };
    events.iter().map(tool).collect()
}

#[tokio::test]
async fn an_item_of_a_tool_is_a_call_with_its_name_type_and_class() {
    #[rustfmt::skip]
    let items = [
        (r#""type":"command_execution","status":"completed""#, "command_execution", "extension", None),
        (r#""type":"command_execution","status":"declined""#, "command_execution", "extension",
            Some(ErrorClass::ApprovalDenied)),
        (r#""type":"file_change","status":"completed""#, "file_change", "extension", None),
        (r#""type":"file_change","status":"failed""#, "file_change", "extension",
            Some(ErrorClass::ToolFailed)),
        (r#""type":"file_change","status":"declined""#, "file_change", "extension",
            Some(ErrorClass::ApprovalDenied)),
        (r#""type":"web_search","query":"weather""#, "web_search", "extension", None),
        (r#""type":"collab_tool_call","tool":"spawn","status":"failed""#, "spawn", "extension",
            Some(ErrorClass::ToolFailed)),
        (r#""type":"mcp_tool_call","server":"s","tool":"read","status":"completed""#, "read", "function", None),
    ];
    for (item, name, kind, class) in items {
        let tool = (name.to_owned(), kind.to_owned(), class);
        assert_eq!(tools(item).await, [tool], "{item}");
    }
}

#[tokio::test]
async fn an_item_that_is_no_tool_is_no_call() {
    for kind in ["agent_message", "reasoning", "todo_list", "error"] {
        let item = format!(r#""type":"{kind}""#);
        assert_eq!(tools(&item).await, [], "{kind}");
    }
}

#[tokio::test]
async fn a_turn_tells_how_many_tools_it_called() {
    let stack = Stack::new(fake_codex());
    let item = |stage: &str, id: &str, kind: &str| {
        format!(r#"echo '{{"type":"item.{stage}","item":{{"id":"{id}","type":"{kind}"}}}}'"#)
    };
    let script = [
        item("started", "a", "command_execution"),
        item("completed", "a", "command_execution"),
        item("completed", "b", "file_change"),
        item("completed", "c", "agent_message"),
        // It never ends.
        item("started", "d", "command_execution"),
        r#"echo '{"type":"turn.completed"}'"#.to_owned(),
    ];
    stack.run(request(&script.join("\n"))).await.unwrap();
    let turn = stack.turn_event();
    assert_eq!(turn.attribute(names::TOOL_CALLS), Some(&3.into()));
}

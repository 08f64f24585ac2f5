use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::{
    Call, Event, MemorySink, Operation, TimingLayer,
    event::names,
    turn::{CommandOutput, ItemStatus},
};

/// Runs `act` in a turn, and returns the terminal events of its tool calls.
fn tools(act: impl FnOnce(&CallContext)) -> Vec<Event> {
    let sink = MemorySink::capturing_content();
    let mut act = Some(act);
    let service = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<()>| {
        if let Some(act) = act.take() {
            act(&call.context);
        }
        std::future::ready(Ok::<_, ()>(()))
    }));
    tokio_test::block_on(service.oneshot(Call::new(Operation::Turn, ()))).unwrap();
    let mut events = sink.events();
    events.retain(|event| event.kind().is_terminal() && event.operation() == Operation::Tool);
    events
}

fn command(status: ItemStatus) -> Item {
    let kind = ItemKind::CommandExecution {
        command: "make".to_owned(),
        cwd: None,
        output: CommandOutput::default(),
        exit_code: None,
        status,
    };
    Item::new("call_1", kind)
}

fn edit(diff: &str) -> Item {
    let change = FileUpdateChange::new("a.rs", "update").with_diff(diff);
    let kind = ItemKind::FileChange {
        changes: vec![change.with_move_path("b.rs")],
        status: ItemStatus::Completed,
    };
    Item::new("call_2", kind)
}

fn mcp_tool(id: &str) -> Item {
    let kind = ItemKind::McpToolCall {
        server: "files".to_owned(),
        tool: "read".to_owned(),
        arguments: json!({}).into(),
        result: None,
        error: None,
        status: ItemStatus::InProgress,
    };
    Item::new(id, kind)
}

fn host_tool() -> Item {
    let kind = ItemKind::DynamicToolCall {
        namespace: None,
        tool: "lookup".to_owned(),
        arguments: json!({"id": 7}).into(),
        content_items: Some(json!([{"type": "inputText", "text": "open"}]).into()),
        status: ItemStatus::Failed,
    };
    Item::new("call_3", kind)
}

fn refusal() -> Classification {
    Classification::from(ErrorClass::ApprovalDenied).with_message("not today")
}

/// Returns the event of a command that an approver refused and that ended so.
fn refused(status: ItemStatus) -> Event {
    let events = tools(|turn| {
        let mut open = OpenTools::of_calls(None, false);
        assert!(open.apply(turn, Stage::Started, &command(ItemStatus::InProgress)));
        open.refuse("call_1", refusal());
        assert!(!open.apply(turn, Stage::Completed, &command(status)));
        assert!(open.is_empty());
    });
    assert_eq!(events.len(), 1);
    events[0].clone()
}

#[test]
fn a_refusal_counts_before_the_failure_that_the_item_tells() {
    for status in [ItemStatus::Failed, ItemStatus::Declined] {
        let event = refused(status);
        assert_eq!(event.error_class(), Some(ErrorClass::ApprovalDenied));
        assert_eq!(event.error_message(), Some("not today"));
    }
}

#[test]
fn a_refusal_does_not_count_for_a_tool_that_succeeded() {
    assert_eq!(refused(ItemStatus::Completed).error_class(), None);
}

#[test]
fn a_refused_tool_that_never_ends_is_refused_and_another_one_is_not() {
    let events = tools(|turn| {
        let mut open = OpenTools::of_calls(None, false);
        open.apply(turn, Stage::Started, &command(ItemStatus::InProgress));
        open.apply(turn, Stage::Started, &host_tool());
        open.refuse("call_1", refusal());
        open.refuse("no call", refusal());
        open.fail_all(turn, ErrorClass::Interrupted);
        assert!(open.is_empty());
    });
    let class = |name| {
        let event = events.iter().find(|event| event.call_name() == Some(name));
        event.unwrap().error_class()
    };
    let denied = Some(ErrorClass::ApprovalDenied);
    assert_eq!(class("command_execution"), denied);
    assert_eq!(class("lookup"), Some(ErrorClass::Interrupted));
}

#[test]
fn the_id_is_that_of_the_models_call_or_of_the_item() {
    let event = |mut open: OpenTools| {
        let events = tools(|turn| {
            open.apply(turn, Stage::Completed, &command(ItemStatus::Completed));
        });
        let item = events[0].attribute(names::ITEM_ID);
        let item = item.map(|id| id.as_str().into_owned());
        (events[0].call_id().map(str::to_owned), item)
    };
    let id = Some("call_1".to_owned());
    assert_eq!(event(OpenTools::of_calls(None, false)), (id.clone(), None));
    assert_eq!(event(OpenTools::of_items(None)), (None, id));
}

#[test]
fn what_only_the_app_server_reports_is_a_tool_if_the_model_called_it() {
    let image = ItemKind::ImageView {
        path: "a.png".into(),
    };
    let plan = ItemKind::Plan {
        text: String::new(),
    };
    let other = ItemKind::Other {
        name: "hologram".to_owned(),
    };
    let events = tools(|turn| {
        let mut open = OpenTools::of_calls(None, false);
        assert!(open.apply(turn, Stage::Completed, &host_tool()));
        assert!(open.apply(turn, Stage::Completed, &Item::new("i", image)));
        for kind in [plan, other, ItemKind::ContextCompaction] {
            assert!(!open.apply(turn, Stage::Started, &Item::new("i", kind)));
        }
        assert!(open.is_empty());
    });
    let seen = events.iter().map(|event| {
        let kind = event.attribute(names::TOOL_TYPE).unwrap().as_str();
        let name = event.call_name().unwrap();
        (name, kind.into_owned(), event.error_class())
    });
    let failed = Some(ErrorClass::ToolFailed);
    assert!(seen.eq([
        ("lookup", "function".to_owned(), failed),
        ("image_view", "extension".to_owned(), None),
    ]));
}

/// Returns the arguments and the result of a tool.
fn contents(item: &Item) -> (Value, Option<Value>) {
    let events = tools(|turn| {
        OpenTools::of_calls(None, false).apply(turn, Stage::Completed, item);
    });
    let content = |key: &str| {
        let mut content = events[0].content().iter();
        let text = content.find(|kv| kv.key.as_str() == key)?.value.as_str();
        Some(serde_json::from_str(&text).unwrap())
    };
    let arguments = content(names::TOOL_CALL_ARGUMENTS);
    (arguments.unwrap(), content(names::TOOL_CALL_RESULT))
}

#[test]
fn a_tool_of_the_host_has_its_arguments_and_what_it_answered() {
    let answered = json!([{"type": "inputText", "text": "open"}]);
    assert_eq!(contents(&host_tool()), (json!({"id": 7}), Some(answered)));
}

#[test]
fn the_difference_of_an_edit_is_one_of_its_arguments_and_is_cut() {
    let change = json!({"kind": "update", "path": "a.rs", "move_path": "b.rs", "diff": "+a"});
    let (arguments, result) = contents(&edit("+a"));
    assert_eq!((arguments, result), (json!({"changes": [change]}), None));

    let (arguments, _) = contents(&edit(&"+\u{e4}\n".repeat(100_000)));
    let change = &arguments["changes"][0];
    assert_eq!(change["path"], "a.rs");
    let diff = change["diff"].as_str().unwrap();
    assert!(diff.ends_with('…'), "{}", diff.len());
    assert!(arguments.to_string().len() <= 64 * 1024);
}

#[test]
fn what_a_question_does_not_say_is_known_of_the_tool_that_it_is_about() {
    tools(|turn| {
        let mut open = OpenTools::of_calls(None, false);
        open.apply(turn, Stage::Started, &edit("+a"));
        open.apply(turn, Stage::Started, &mcp_tool("call_4"));
        open.apply(turn, Stage::Started, &mcp_tool("call_5"));
        assert_eq!(open.changes("call_2").unwrap()[0].diff(), Some("+a"));
        assert_eq!(open.changes("call_4"), None);
        assert!(open.ask("call_4").unwrap().0.is_recording());
        assert!(open.ask("no call").is_none());

        assert_eq!(open.find_mcp_tool("files", "write", &json!({})), None);
        let mut found = [(); 3].map(|()| open.find_mcp_tool("files", "read", &json!({})));
        found.sort();
        let ids = [None, Some("call_4".to_owned()), Some("call_5".to_owned())];
        assert_eq!(found, ids);
        open.fail_all(turn, ErrorClass::Interrupted);
    });
}

#[test]
fn a_question_is_about_the_call_with_its_arguments_or_else_about_any() {
    tools(|turn| {
        let mut open = OpenTools::of_calls(None, false);
        for number in 0..8 {
            let mut item = mcp_tool(&format!("call_{number}"));
            if let ItemKind::McpToolCall { arguments, .. } = &mut item.kind {
                // As a text they are different from what the question has.
                let text = format!(r#"{{"b": 1, "a": {number}}}"#);
                *arguments = JsonText::new(text).unwrap();
            }
            open.apply(turn, Stage::Started, &item);
        }
        for number in 0..7 {
            let arguments = json!({"a": number, "b": 1});
            let found = open.find_mcp_tool("files", "read", &arguments);
            assert_eq!(found, Some(format!("call_{number}")));
        }
        let found = open.find_mcp_tool("files", "read", &Value::Null);
        assert_eq!(found.as_deref(), Some("call_7"));
        open.fail_all(turn, ErrorClass::Interrupted);
    });
}

#[test]
fn nobody_asks_about_the_tools_of_codex_exec() {
    tools(|turn| {
        let mut open = OpenTools::of_items(None);
        open.apply(turn, Stage::Started, &edit("+a"));
        open.apply(turn, Stage::Started, &mcp_tool("call_4"));
        assert_eq!(open.changes("call_2"), None);
        assert_eq!(open.find_mcp_tool("files", "read", &json!({})), None);
        open.fail_all(turn, ErrorClass::Interrupted);
    });
}

// --- The program's own tools

/// Returns an item of a tool of the program.
fn host_item(id: &str, status: ItemStatus) -> Item {
    let kind = ItemKind::DynamicToolCall {
        namespace: Some("crm".to_owned()),
        tool: "look".to_owned(),
        arguments: json!({"id": 7}).into(),
        content_items: None,
        status,
    };
    Item::new(id, kind)
}

/// Returns a ticket whose call was opened, by a stack with another sink, or was not.
fn ticket(turn: &CallContext, is_used: bool) -> Ticket {
    let (context, ticket) = turn.with_ticket_of_child(Vec::new());
    if is_used {
        let mut request = Call::new(Operation::Tool, ());
        request.context = context;
        let mut stack = TimingLayer::new(MemorySink::new()).layer(service_fn(|_: Call<()>| {
            std::future::pending::<Result<(), ()>>()
        }));
        drop(tower::Service::call(&mut stack, request));
    }
    assert_eq!(ticket.is_used(), is_used);
    ticket
}

fn of_program() -> OpenTools {
    OpenTools::of_calls(None, true)
}

#[test]
fn a_tool_of_the_program_has_the_event_of_its_stack_or_else_one_of_its_item() {
    for (is_used, count) in [(true, 0), (false, 1)] {
        let events = tools(|turn| {
            let mut open = of_program();
            let ticket = ticket(turn, is_used);
            assert!(open.apply(
                turn,
                Stage::Started,
                &host_item("c", ItemStatus::InProgress)
            ));
            assert!(open.host_called("c", ticket.clone()));
            assert!(!open.is_empty());
            open.host.answered("c", &ticket, Ok(()));
            assert!(!open.apply(
                turn,
                Stage::Completed,
                &host_item("c", ItemStatus::Completed)
            ));
            assert!(open.is_empty());
        });
        assert_eq!(events.len(), count);
        for event in events {
            // As the registry has it.
            assert_eq!(event.call_name(), Some("crm.look"));
            assert_eq!(event.call_id(), Some("c"));
        }
    }
}

#[test]
fn one_of_two_calls_with_the_same_id_that_has_an_event_is_enough() {
    for is_first_used in [true, false] {
        let events = tools(|turn| {
            let mut open = of_program();
            let (first, second) = (ticket(turn, is_first_used), ticket(turn, !is_first_used));
            open.host_called("c", first.clone());
            open.host_called("c", second.clone());
            open.host.answered("c", &first, Ok(()));
            assert!(!open.host.waits_for("c", &first));
            assert!(open.host.waits_for("c", &second));
            open.apply(
                turn,
                Stage::Completed,
                &host_item("c", ItemStatus::Completed),
            );
            assert!(!open.host.waits_for("c", &second));
        });
        assert!(events.is_empty(), "{events:?}");
    }
}

#[test]
fn the_item_of_another_programs_tool_is_a_tool_like_any_other() {
    let events = tools(|turn| {
        let mut open = OpenTools::of_calls(None, false);
        open.apply(
            turn,
            Stage::Started,
            &host_item("c", ItemStatus::InProgress),
        );
        open.refuse("c", refusal());
        open.apply(turn, Stage::Completed, &host_item("c", ItemStatus::Failed));
    });
    assert_eq!(events[0].error_class(), Some(ErrorClass::ApprovalDenied));
}

#[test]
fn an_answer_after_the_end_of_the_item_changes_nothing() {
    let events = tools(|turn| {
        let mut open = of_program();
        let late = ticket(turn, false);
        open.apply(
            turn,
            Stage::Started,
            &host_item("c", ItemStatus::InProgress),
        );
        open.host_called("c", late.clone());
        open.apply(turn, Stage::Completed, &host_item("c", ItemStatus::Failed));
        open.host.answered("c", &late, Err(refusal()));
        assert!(open.is_empty());
        open.fail_all(turn, ErrorClass::Incomplete);
    });
    let [event] = &events[..] else {
        panic!("{events:?}")
    };
    // It ran when Codex ended it.
    assert_eq!(event.error_class(), Some(ErrorClass::Interrupted));
}

#[test]
fn with_the_turn_end_the_items_without_an_event_of_a_stack() {
    let class = |end: fn(&mut OpenTools, &CallContext)| {
        let events = tools(|turn| {
            let mut open = of_program();
            for (id, is_used) in [("used", true), ("unused", false), ("no item", false)] {
                if id != "no item" {
                    open.apply(turn, Stage::Started, &host_item(id, ItemStatus::InProgress));
                }
                open.host_called(id, ticket(turn, is_used));
            }
            end(&mut open, turn);
            assert!(open.is_empty());
        });
        let [event] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(event.call_id(), Some("unused"));
        event.error_class()
    };
    let failed = class(|open, turn| open.fail_all(turn, ErrorClass::Incomplete));
    assert_eq!(failed, Some(ErrorClass::Incomplete));
    let cancelled = class(|open, turn| open.host.cancel_all(turn));
    assert_eq!(cancelled, Some(ErrorClass::Cancelled));
}

#[test]
fn calls_that_have_answered_without_an_item_make_room_and_those_that_run_do_not() {
    tools(|turn| {
        let mut open = of_program();
        let ticket = ticket(turn, false);
        for number in 0..OpenTools::MAX {
            assert!(open.host_called(&number.to_string(), ticket.clone()));
        }
        // An id that is known needs no room.
        assert!(open.host_called("0", ticket.clone()));
        assert!(!open.host_called("one more", ticket.clone()));
        for id in ["1", "2"] {
            open.host.answered(id, &ticket, Ok(()));
        }
        assert!(open.host_called("one more", ticket.clone()));
        assert!(open.host_called("another one", ticket.clone()));
        assert!(!open.host_called("too many", ticket.clone()));
        open.fail_all(turn, ErrorClass::Incomplete);
    });
}

#[test]
fn a_tool_of_the_program_for_which_there_was_no_room_has_its_event_with_its_end() {
    let events = tools(|turn| {
        let mut open = of_program();
        for number in 0..OpenTools::MAX {
            let id = number.to_string();
            assert!(open.apply(
                turn,
                Stage::Started,
                &host_item(&id, ItemStatus::InProgress)
            ));
        }
        open.apply(
            turn,
            Stage::Started,
            &host_item("one more", ItemStatus::InProgress),
        );
        assert!(!open.host_called("one more", ticket(turn, false)));
        open.apply(
            turn,
            Stage::Completed,
            &host_item("one more", ItemStatus::Failed),
        );
    });
    let event = events
        .iter()
        .find(|event| event.call_id() == Some("one more"));
    assert_eq!(event.unwrap().error_class(), Some(ErrorClass::ToolFailed));
}

#[test]
fn an_mcp_tool_of_the_program_has_the_event_of_its_item_only_if_its_stack_makes_none() {
    let (calls, used, unused) = (
        ServedCalls::default(),
        Ticket::new(None, Vec::new()),
        Ticket::new(None, Vec::new()),
    );
    let events = tools(|turn| {
        let mut open = OpenTools::of_calls(None, false);
        open.set_mcp_server(Some(("files".to_owned(), calls.clone())));
        for id in ["used", "unused", "refused", "unfinished"] {
            assert!(open.apply(turn, Stage::Started, &mcp_tool(id)));
        }
        for (id, ticket) in [("unused", &unused), ("used", &used)] {
            calls.began("read".to_owned(), Some(id.to_owned()), ticket.clone());
        }
        let call = turn.open_child(Operation::Tool, Some("of the stack".into()), None);
        used.opened(call.context().open_record().unwrap());
        call.finish();
        for id in ["used", "unused", "refused"] {
            assert!(!open.apply(turn, Stage::Completed, &mcp_tool(id)));
        }
        open.fail_all(turn, ErrorClass::Interrupted);
        assert!(open.is_empty());
    });
    let events: Vec<_> = events
        .iter()
        .map(|event| (event.call_id(), event.error_class()))
        .collect();
    let expected = [
        (None, None),
        (Some("unused"), None),
        (Some("refused"), None),
        (Some("unfinished"), Some(ErrorClass::Interrupted)),
    ];
    assert_eq!(events, expected);
}

#[test]
fn calls_of_an_mcp_tool_without_known_ids_have_the_failures_that_fit_their_items() {
    let calls = ServedCalls::default();
    let events = tools(|turn| {
        let tickets = [0, 1, 2].map(|_| ticket(turn, false));
        let mut open = OpenTools::of_items(None);
        open.set_mcp_server(Some(("files".to_owned(), calls.clone())));
        for (id, ticket) in ["item_0", "item_1", "item_2"].iter().zip(&tickets) {
            open.apply(turn, Stage::Started, &mcp_tool(id));
            calls.began("read".to_owned(), None, ticket.clone());
        }
        // The first one still runs.
        calls.answered(&tickets[1], Ok(()));
        calls.answered(&tickets[2], Err(ErrorClass::Timeout.into()));
        for (id, ended) in [
            ("item_2", ItemStatus::Failed),
            ("item_1", ItemStatus::Completed),
        ] {
            let mut item = mcp_tool(id);
            if let ItemKind::McpToolCall { status, .. } = &mut item.kind {
                *status = ended;
            }
            open.apply(turn, Stage::Completed, &item);
        }
        open.fail_all(turn, ErrorClass::Interrupted);
    });
    let classes: Vec<_> = events.iter().map(Event::error_class).collect();
    let expected = [
        Some(ErrorClass::Timeout),
        None,
        Some(ErrorClass::Interrupted),
    ];
    assert_eq!(classes, expected);
}

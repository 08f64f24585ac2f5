//! The model calls tools of this program: what they get, what the model is told, and the event of each call.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use codex_telemetry::{
    ApprovalLayer, CallContext, Decision, ErrorClass, Event, Originator, Outcome,
    ServiceBuilderExt,
    approval::Action,
    event::names,
    tool::{ToolCall, ToolError, ToolFailure, ToolOutput, ToolService, ToolSpec, tool_fn},
    turn::{ApprovalPolicy, ItemKind, ItemStatus},
};
use opentelemetry::Value as Attribute;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tower::{ServiceBuilder, service_fn};

use crate::{
    app_server_approvals::{Approver, decision},
    bench::{Bench, DEADLINE},
    calls::{assert_ok, number},
    host_rig::{registry_of, spec},
    reply::{Reply, Tokens},
};

/// Returns an attribute that has milliseconds.
fn millis(event: &Event, key: &str) -> f64 {
    match event.attribute(key) {
        Some(Attribute::F64(millis)) => *millis,
        other => panic!("{key} is {other:?}"),
    }
}

fn named<'a>(events: &'a [Event], name: &str) -> &'a Event {
    let mut named = events
        .iter()
        .filter(|event| event.call_name() == Some(name));
    let event = named.next().unwrap_or_else(|| panic!("no call of {name}"));
    assert_eq!(named.count(), 0, "two events of {name}");
    event
}

/// Returns whether two calls ran at the same time.
fn overlap(one: &Event, other: &Event) -> bool {
    one.start_time() < other.time() && other.start_time() < one.time()
}

#[tokio::test]
async fn of_two_tools_that_are_called_at_once_one_fails_and_one_is_approved_and_each_is_one_event_in_the_turn()
 {
    let calls = Reply::calls([
        ("lookup", json!({"ticket": 7})),
        ("refund", json!({"cents": 500})),
        ("exec_command", json!({"cmd": "touch one"})),
    ]);
    let answer = Reply::message("refunded", Tokens::FEW);
    let Some(bench) = Bench::start([calls, answer]) else {
        return;
    };
    // Each waits for the other: one after the other would never end.
    let both = Arc::new(Barrier::new(2));
    let lookup = {
        let both = Arc::clone(&both);
        tool_fn(move |arguments: Value, _: CallContext| {
            let both = Arc::clone(&both);
            async move {
                both.wait().await;
                let ticket = &arguments["ticket"];
                Err::<Value, _>(ToolFailure::new(format!("there is no ticket {ticket}")))
            }
        })
    };
    let refund = tool_fn(move |arguments: Value, context: CallContext| {
        let both = Arc::clone(&both);
        async move {
            context.record("refund.cents", 500);
            both.wait().await;
            Ok::<_, ToolError>(json!({"refunded": arguments["cents"]}))
        }
    });
    // The same approver is asked about the tool and about Codex's own command.
    let approver = Approver::always(Decision::Accept);
    let asking = ServiceBuilder::new()
        .timing(bench.sink.clone())
        .service(approver.service());
    let refund = ServiceBuilder::new()
        .layer(ApprovalLayer::new(asking.clone(), DEADLINE))
        .service(refund);
    let registry = ToolService::builder()
        .tool(ToolSpec::new("lookup", "Returns a ticket"), lookup)
        .tool(ToolSpec::new("refund", "Pays money back"), refund)
        .build()
        .unwrap();
    let server = bench.app_server(|builder| {
        builder
            .tools(bench.host_tools(&registry))
            .approval_policy(ApprovalPolicy::Untrusted)
            .approver(asking, DEADLINE)
    });
    let turn = server.complete(bench.ask("Refund ticket 7")).await;
    assert_eq!(turn.final_message.as_deref(), Some("refunded"));

    // What the model was told.
    assert_eq!(
        bench.told_of("lookup"),
        ["tool `lookup` failed: there is no ticket 7"]
    );
    assert_eq!(bench.told_of("refund"), [r#"{"refunded":500}"#]);
    let requests = bench.model.asked();
    assert_eq!(requests.len(), 2);

    // The events: one for each call.
    let calls = bench.calls(1);
    assert_ok(calls.turn());
    assert_eq!(number(calls.turn(), names::TOOL_CALLS), Some(3));
    assert_eq!(calls.tools.len(), 3, "{:?}", calls.tools);
    let lookup = named(&calls.tools, "lookup");
    let refund = named(&calls.tools, "refund");
    for (event, called) in [lookup, refund].into_iter().zip(requests[1].calls()) {
        assert_eq!(event.parent_span_id(), Some(calls.turn().span_id()));
        assert_eq!(event.trace_id(), calls.turn().trace_id());
        assert_eq!(event.thread_id(), turn.thread_id.as_deref());
        assert_eq!(event.turn_id(), turn.turn_id.as_deref());
        assert_eq!(event.originator(), Some(&Originator::Sdk));
        assert_eq!(event.call_name(), Some(&*called.tool));
        assert_eq!(event.call_id(), Some(&*called.id));
        assert_eq!(
            event.attribute(names::TOOL_TYPE),
            Some(&Attribute::from("function"))
        );
        assert!(event.duration().unwrap() <= calls.turn().duration().unwrap());
    }
    assert_eq!(lookup.outcome(), Some(Outcome::Error));
    assert_eq!(lookup.error_class(), Some(ErrorClass::ToolFailed));
    assert_eq!(lookup.attribute(names::APPROVAL_WAIT), None);
    assert_ok(refund);
    assert_eq!(number(refund, "refund.cents"), Some(500));
    assert!(overlap(lookup, refund));

    // The approvals.
    assert_eq!(decision(refund).as_deref(), Some("accept"));
    let wait = millis(refund, names::APPROVAL_WAIT);
    assert!(0.0 < wait && wait <= refund.duration().unwrap().as_secs_f64() * 1e3);
    let command = named(&calls.tools, "command_execution");
    assert_eq!(decision(command).as_deref(), Some("accept"));
    let mut asked: Vec<_> = approver.asked();
    asked.sort_by(|one, other| one.tool.cmp(&other.tool));
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(asked[0].tool, "command_execution");
    assert_eq!(asked[1].tool, "refund");
    let Action::ToolCall { arguments, .. } = &asked[1].action else {
        panic!("{:?}", asked[1]);
    };
    assert_eq!(arguments, &json!({"cents": 500}));
    let parents: Vec<_> = calls.approvals.iter().map(Event::parent_span_id).collect();
    assert_eq!(parents.len(), 2);
    assert!(parents.contains(&Some(command.span_id())));
    assert!(parents.contains(&Some(refund.span_id())));
    assert!(bench.has("one"));

    // The items and the stats.
    let mut statuses: Vec<_> = turn.items.iter().filter_map(host_item).collect();
    statuses.sort_by_key(|(tool, _)| *tool);
    assert_eq!(
        statuses,
        [
            ("lookup", &ItemStatus::Failed),
            ("refund", &ItemStatus::Completed)
        ]
    );
    let stats = registry.stats();
    assert_eq!((stats["lookup"].success, stats["lookup"].failure), (0, 1));
    assert_eq!(
        stats["lookup"].last_error_class,
        Some(ErrorClass::ToolFailed)
    );
    assert_eq!((stats["refund"].success, stats["refund"].failure), (1, 0));
    assert!(stats["refund"].last_latency.unwrap().as_secs_f64() * 1e3 >= wait);
    server.end().await;
}

/// Returns the tool and the status of a host tool's item.
fn host_item(item: &codex_telemetry::turn::Item) -> Option<(&str, &ItemStatus)> {
    match &item.kind {
        ItemKind::DynamicToolCall { tool, status, .. } => Some((tool, status)),
        _ => None,
    }
}

/// A PNG of one pixel.
const PIXEL: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\xdac\xfc\xcf\xc0P\x0f\0\x04\x85\x01\x80\x84\xa9\x8c!\0\0\0\0IEND\xaeB`\x82";

#[tokio::test]
async fn the_model_is_told_a_string_as_it_is_another_result_as_json_and_an_image_beside_it() {
    let names = ["text", "json", "nothing", "picture", "both"];
    let calls = Reply::calls(names.map(|name| (name, json!({}))));
    let Some(bench) = Bench::start([calls, Reply::done()]) else {
        return;
    };
    let returns = |output: ToolOutput| {
        service_fn(move |_: ToolCall| ready(Ok::<_, ToolError>(output.clone())))
    };
    let [text, json, nothing, picture, both] = [
        ToolOutput::new("two\n\"lines\"".into()),
        ToolOutput::new(json!({"title": "Broken", "open": true})),
        ToolOutput::new(Value::Null),
        ToolOutput::new(Value::Null).with_image("image/png", PIXEL),
        ToolOutput::new("A pixel".into()).with_image("image/png", PIXEL),
    ]
    .map(returns);
    let registry = ToolService::builder()
        .tool(spec("text"), text)
        .tool(spec("json"), json)
        .tool(spec("nothing"), nothing)
        .tool(spec("picture"), picture)
        .tool(spec("both"), both)
        .build()
        .unwrap();
    let server = bench.hosting(&registry);
    server.complete(bench.ask("Go")).await;
    assert_eq!(bench.told_of("text"), ["two\n\"lines\""]);
    assert_eq!(bench.told_of("json"), [r#"{"open":true,"title":"Broken"}"#]);
    assert_eq!(bench.told_of("nothing"), ["null"]);
    let is_pixel = |part: &Value| {
        let url = part["image_url"].as_str().unwrap_or_default();
        part["type"] == "input_image" && url.starts_with("data:image/png;base64,iVBORw0KGgo")
    };
    let [picture, both] = ["picture", "both"].map(|tool| bench.told_of(tool).remove(0));
    assert!(
        picture.as_array().unwrap().iter().all(is_pixel),
        "{picture}"
    );
    assert_eq!(both[0], json!({"type": "input_text", "text": "A pixel"}));
    assert!(is_pixel(&both[1]), "{both}");
    for tool in &bench.calls(1).tools {
        assert_ok(tool);
    }
    server.end().await;
}

#[tokio::test]
async fn tools_of_the_same_name_in_two_namespaces_and_in_none_are_told_apart() {
    let names = ["crm.look", "wiki.look", "look"];
    let calls = Reply::calls(names.map(|name| (name, json!({"of": name}))));
    let Some(bench) = Bench::start([calls, Reply::done()]) else {
        return;
    };
    let look = |place: &'static str| {
        tool_fn(move |arguments: Value, _: CallContext| {
            let of = arguments["of"].as_str().unwrap().to_owned();
            ready(Ok::<_, ToolError>(format!("{place} for {of}")))
        })
    };
    let registry = ToolService::builder()
        .namespace("crm", "Customers")
        .namespace("wiki", "Articles")
        .tool(spec("crm.look"), look("a customer"))
        .tool(spec("wiki.look"), look("an article"))
        .tool(spec("look"), look("anything"))
        .build()
        .unwrap();
    let server = bench.hosting(&registry);
    server.complete(bench.ask("Go")).await;
    assert_eq!(bench.told_of("crm.look"), ["a customer for crm.look"]);
    assert_eq!(bench.told_of("wiki.look"), ["an article for wiki.look"]);
    assert_eq!(bench.told_of("look"), ["anything for look"]);
    let calls = bench.calls(1);
    let mut called: Vec<_> = calls.tools.iter().filter_map(Event::call_name).collect();
    called.sort_unstable();
    assert_eq!(called, ["crm.look", "look", "wiki.look"]);
    for name in names {
        assert_eq!(registry.stats()[name].success, 1, "{name}");
    }
    // What the model reads of them.
    let tools = bench.model.asked()[0].json()["tools"].clone();
    let find = |name: &str| {
        let mut tools = tools.as_array().unwrap().iter();
        tools.find(|tool| tool["name"] == name).cloned().unwrap()
    };
    assert_eq!(find("crm")["type"], "namespace");
    assert_eq!(find("crm")["description"], "Customers");
    assert_eq!(find("crm")["tools"][0]["name"], "look");
    assert_eq!(find("look")["description"], "A tool of the test");
    server.end().await;
}

#[tokio::test]
async fn a_tool_gets_arguments_of_a_megabyte_and_returns_ten() {
    let argument = "a".repeat(1 << 20);
    let calls = Reply::calls([("grow", json!({"text": argument}))]);
    let Some(bench) = Bench::start([calls, Reply::done()]) else {
        return;
    };
    let got = Arc::new(AtomicUsize::new(0));
    let grow = {
        let got = Arc::clone(&got);
        tool_fn(move |arguments: Value, _: CallContext| {
            let text = arguments["text"].as_str().unwrap();
            got.store(text.len(), Relaxed);
            ready(Ok::<_, ToolError>("b".repeat(10 << 20)))
        })
    };
    let registry = registry_of("grow", grow);
    let server = bench.hosting(&registry);
    let turn = server.complete(bench.ask("Go")).await;
    assert_eq!(turn.final_message.as_deref(), Some("done"));
    assert_eq!(got.load(Relaxed), 1 << 20);
    // Codex cuts it for the model.
    let told = bench.told_of("grow");
    let told = told[0].as_str().unwrap();
    assert!(told.contains(&"b".repeat(10_000)), "{} bytes", told.len());
    assert_ok(bench.calls(1).tool());
    server.end().await;
}

#[tokio::test]
async fn fifty_calls_of_one_response_run_at_once() {
    let count = 50;
    let calls = Reply::calls((0..count).map(|number| ("meet", json!({"number": number}))));
    let Some(bench) = Bench::start([calls, Reply::done()]) else {
        return;
    };
    let all = Arc::new(Barrier::new(count));
    let meet = tool_fn(move |arguments: Value, _: CallContext| {
        let all = Arc::clone(&all);
        async move {
            all.wait().await;
            Ok::<_, ToolError>(arguments["number"].clone())
        }
    });
    let registry = registry_of("meet", meet);
    let server = bench.hosting(&registry);
    server.complete(bench.ask("Go")).await;
    let numbers: Vec<_> = (0..count).map(|number| number.to_string()).collect();
    assert_eq!(bench.told_of("meet"), numbers);
    let calls = bench.calls(1);
    assert_eq!(calls.tools.len(), count);
    calls.tools.iter().for_each(assert_ok);
    assert_eq!(number(calls.turn(), names::TOOL_CALLS), Some(50));
    server.end().await;
}

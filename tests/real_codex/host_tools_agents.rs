//! Tools of this program that a sub-agent calls, in a turn that Codex has of its own for it.

use std::{future::ready, time::SystemTime};

use codex_telemetry::{
    CallContext, Event,
    tool::{ToolError, tool_fn},
};
use serde_json::{Value, json};

use crate::{bench::Bench, calls::assert_ok, gate::Gate, host_rig::registry_of, reply::Reply};

/// A text of the conversation of a sub-agent.
const IS_AGENT: &str = "You are now a newly spawned child agent.";

#[tokio::test]
async fn a_tool_that_a_sub_agent_calls_is_one_event_in_the_turn_that_it_works_for() {
    let Some(bench) = Bench::start([]) else {
        return;
    };
    let lookup = || Reply::calls([("lookup", json!({}))]);
    // The sub-agent has the conversation of the turn as well.
    bench.model.then_to(IS_AGENT, [lookup(), Reply::done()]);
    let spawn = json!({"message": "Look it up", "task_name": "look"});
    let last = Gate::new();
    let wait = json!({"timeout_ms": 60_000});
    bench.model.then([
        Reply::calls([("collaboration.spawn_agent", spawn)]),
        Reply::calls([("collaboration.wait_agent", wait)]),
        lookup(),
        Reply::done().held(&last),
    ]);
    let tool = tool_fn(|_: Value, _: CallContext| ready(Ok::<_, ToolError>("found")));
    let registry = registry_of("lookup", tool);
    let server = bench.app_server(|builder| {
        builder
            .tools(bench.host_tools(&registry))
            .config("features.multi_agent_v2", true)
    });
    let hold = async {
        last.reached().await;
        let waited = SystemTime::now();
        last.open();
        waited
    };
    let (turn, waited) = tokio::join!(server.complete(bench.ask("Go")), hold);
    assert_eq!(turn.final_message.as_deref(), Some("done"));
    assert_eq!(registry.stats()["lookup"].success, 2);
    let calls = bench.calls(1);
    let is_lookup = |event: &&Event| event.call_name() == Some("lookup");
    let [of_agent, own] = calls.tools.iter().filter(is_lookup).collect::<Vec<_>>()[..] else {
        panic!("{:?}", calls.tools);
    };
    for event in [of_agent, own] {
        assert_ok(event);
        assert_eq!(event.parent_span_id(), Some(calls.turn().span_id()));
        assert_eq!(event.turn_id(), turn.turn_id.as_deref());
    }
    let own_calls = bench.model.asked().pop().unwrap().calls();
    let is_own = |event: &Event| {
        let mut ids = own_calls.iter().map(|call| &*call.id);
        ids.any(|id| event.call_id() == Some(id))
    };
    assert!(is_own(own) && !is_own(of_agent));
    // The model is waited for again from the end of the turn's own tool.
    assert_eq!(calls.chats.len(), 4);
    let last = &calls.chats[3];
    assert!(own.time() <= last.start_time(), "{last:?}");
    assert!(last.start_time() <= waited, "{last:?}");
    server.end().await;
}

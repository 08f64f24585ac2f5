use codex_telemetry::{
    ApprovalRequest, BoxError, CallContext, ErrorClass, ToolCall, ToolError, ToolOutput,
    ToolService, tool_fn,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{Service, ServiceExt};

use crate::{
    checked::MemorySink,
    support::{deny, echo, every_way_to_fail, guarded, layered},
};

const SECRET: &str = "hunter2";

fn assert_private(what: &str, text: &str) {
    assert!(!text.contains(SECRET), "{what} tells: {text}");
}

#[test]
fn no_debug_shows_content() {
    let call = ToolCall::new("login", json!({ "password": SECRET, SECRET: 1 }));
    assert_private("a call", &format!("{call:?}"));
    assert!(format!("{call:?}").contains("login"));
    let request = ApprovalRequest::new(&call);
    assert_private("a request", &format!("{request:?}"));
    let output = ToolOutput::new(json!(SECRET));
    assert_private("an output", &format!("{output:?}"));

    let mut service = ToolService::builder().tool("login", echo()).build();
    assert_private("a service", &format!("{service:?}"));
    let future = service.call(call.clone());
    assert_private("a future", &format!("{future:?}"));
}

#[tokio::test]
async fn no_debug_of_an_approval_shows_content() {
    let call = ToolCall::new("login", json!(SECRET));
    let future = guarded(echo(), deny("no")).call(call);
    assert_private("a future", &format!("{future:?}"));
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Login {
    name: String,
    tries: u32,
}

#[tokio::test]
async fn no_error_and_no_event_repeats_the_arguments() {
    let login = tool_fn(|_: Login, _: CallContext| async { Ok::<_, BoxError>(()) });
    let tools = every_way_to_fail().tool("login", login).build();
    tools.set_enabled("switched_off", false).unwrap();
    let names = [
        "nobody",
        "switched_off",
        "typed",
        "denied",
        "fails",
        "panics",
        "login",
    ];
    let all_arguments: [Value; 5] = [
        json!(SECRET),
        json!([SECRET]),
        json!({ SECRET: SECRET }),
        json!({ "name": "x", "tries": SECRET }),
        json!({ "name": [SECRET], "tries": 1 }),
    ];
    for name in names {
        for arguments in &all_arguments {
            let sink = MemorySink::new();
            let call = ToolCall::new(name, arguments.clone());
            let error: ToolError = layered(&sink, tools.clone())
                .oneshot(call)
                .await
                .unwrap_err();
            assert_private(name, &format!("{error} {error:?}"));
            let event = &sink.events()[1];
            assert_private(name, event.error_message().unwrap());
            assert_ne!(event.error_class(), Some(ErrorClass::Other));
        }
    }
}

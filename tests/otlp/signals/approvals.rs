//! What is exported of an approval when the approver is layered like any other service.

use std::time::Duration;

use codex_telemetry::{
    ApprovalLayer, ApprovalRequest, BoxError, CodexClassifier, Decision, Operation,
    ServiceBuilderExt as _, ToolCall, ToolService, ToolSpec, tool_fn,
};
use serde_json::{Value, json};
use tower::{Layer as _, ServiceBuilder, ServiceExt as _, service_fn};

use super::support::Rig;
use crate::{checked::Checked, receiver::Attributes};

/// Declines `delete`, fails for `format`, and accepts anything else.
async fn decide(request: ApprovalRequest) -> Result<Decision, BoxError> {
    match &*request.tool {
        "delete" => Ok(Decision::decline("not on a Friday")),
        "format" => Err("no signal".into()),
        _ => Ok(Decision::Accept),
    }
}

/// Calls three tools, each with a layered approver and in the crate's layers.
fn call_three_tools(rig: &Rig) {
    let sink = Checked::over(rig.sink.clone());
    let approver = ServiceBuilder::new()
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service(service_fn(decide));
    let guarded = ApprovalLayer::new(approver, Duration::from_secs(60)).layer(tool_fn(
        |value: Value, _| async move { Ok::<_, BoxError>(value) },
    ));
    let names = ["delete", "echo", "format"];
    let registry = names
        .into_iter()
        .fold(ToolService::builder(), |tools, name| {
            tools.tool(ToolSpec::new(name, "A tool of the tests"), guarded.clone())
        });
    let tools = ServiceBuilder::new()
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service(registry.build().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(async {
        for name in names {
            let _ = tools.clone().oneshot(ToolCall::new(name, json!(1))).await;
        }
    });
}

fn value(attributes: &Attributes, key: &str) -> String {
    let value = attributes.get(key);
    value.map_or_else(String::new, |value| value.as_str().unwrap().to_owned())
}

#[test]
fn the_decision_of_a_layered_approver_is_counted_once() {
    let rig = Rig::new();
    call_three_tools(&rig);
    let metric = rig.flush().wait_for_metric("codex.approval.duration");
    let mut decisions: Vec<_> = metric
        .points
        .iter()
        .map(|point| {
            let decision = value(&point.attributes, "codex.approval.decision");
            (decision, point.as_histogram().unwrap().count)
        })
        .collect();
    decisions.sort();
    let once = |decision: &str| (decision.to_owned(), 1);
    assert_eq!(decisions, [once("accept"), once("decline"), once("error")]);
}

#[test]
fn the_span_of_an_approval_is_a_child_of_the_tool_that_has_the_decision() {
    let rig = Rig::new();
    call_three_tools(&rig);
    let spans = rig.flush().spans();
    let mut found: Vec<_> = spans
        .iter()
        .filter(|span| span.name.starts_with(Operation::Approval.as_str()))
        .map(|approval| {
            let parent = spans
                .iter()
                .find(|span| Some(&span.span_id) == approval.parent_span_id.as_ref());
            let tool = parent.expect("the tool's span");
            let decision = "codex.approval.decision";
            assert_eq!(approval.attributes.get(decision), None);
            [
                tool.name.clone(),
                value(&tool.attributes, decision),
                value(&tool.attributes, "error.type"),
                value(&approval.attributes, "error.type"),
            ]
        })
        .collect();
    found.sort();
    let expected = [
        ["execute_tool delete", "decline", "approval_denied", ""],
        ["execute_tool echo", "accept", "", ""],
        ["execute_tool format", "error", "approval_denied", "_OTHER"],
    ];
    assert_eq!(found, expected.map(|row| row.map(str::to_owned)));
}

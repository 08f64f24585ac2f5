//! Questions that are open when their tool ends, for ends that are hard to get from the real Codex.

use std::{convert::Infallible, fs, future::pending, sync::Arc};

use codex_telemetry::{
    Decision, Operation, ServiceBuilderExt, approval::ApprovalRequest, event::names,
};
use tokio::sync::Notify;
use tower::ServiceBuilder;

use crate::{
    checked::MemorySink,
    support::{DEADLINE, Rig, in_time},
};

/// Runs a turn that asks about a command, and ends in some way while its approver thinks. Returns what has ended, in
/// order. The sink checks that no call ends after its parent.
async fn ended(end: &str) -> Vec<Operation> {
    let script = format!(
        r#"
        command() {{ tell item/$1 '"item":{{"type":"commandExecution","id":"c1","command":"serve","status":"'$2'"}}'; }}
        turn() {{
            command started inProgress
            printf '{{"id":0,"method":"item/commandExecution/requestApproval","params":{{"threadId":"%s","turnId":"%s","itemId":"c1","command":"serve"}}}}\n' "$thread" "$turn"
            until [ -e "$FAKE_DIRECTORY/go" ]; do sleep 0.02; done
            {end}
        }}
        serve"#
    );
    let (sink, asked) = (MemorySink::new(), Arc::new(Notify::new()));
    let approver = {
        let asked = Arc::clone(&asked);
        ServiceBuilder::new()
            .timing(sink.clone())
            .service_fn(move |_: ApprovalRequest| {
                asked.notify_one();
                pending::<Result<Decision, Infallible>>()
            })
    };
    let mut rig = Rig::with(&script, |builder| builder.approver(approver, DEADLINE));
    rig.sink = sink;
    let ends = async {
        in_time(asked.notified()).await;
        fs::write(rig.directory().join("go"), "").unwrap();
    };
    let (turn, ()) = tokio::join!(rig.turn(), ends);
    turn.unwrap_err();
    let mut events = rig.sink.events();
    // The responses of the model end beside them.
    events.retain(|event| event.kind().is_terminal() && event.operation() != Operation::Chat);
    let tool = events
        .iter()
        .find(|event| event.operation() == Operation::Tool);
    let decision = tool.and_then(|tool| tool.attribute(names::APPROVAL_DECISION));
    assert_eq!(decision, Some(&"unanswered".into()));
    events.iter().map(|event| event.operation()).collect()
}

#[tokio::test]
async fn an_approval_that_is_open_when_the_server_dies_ends_before_its_tool() {
    let ended = ended("exit 1").await;
    assert_eq!(
        ended,
        [Operation::Approval, Operation::Tool, Operation::Turn]
    );
}

#[tokio::test]
async fn an_approval_that_is_open_when_codex_ends_its_tool_and_the_turn_ends_before_the_tool() {
    let ended = ended("command completed failed; end interrupted").await;
    assert_eq!(
        ended,
        [Operation::Approval, Operation::Tool, Operation::Turn]
    );
}

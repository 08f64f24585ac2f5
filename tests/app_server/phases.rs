//! Where the time of a turn goes, for orders of messages that are hard to get from the real Codex.

use std::{
    fs,
    future::ready,
    time::{Duration, Instant},
};

use codex_telemetry::{
    Decision, Phase,
    approval::ApprovalRequest,
    event::names,
    turn::{Progress, TurnError, TurnRequest},
};
use tokio::sync::mpsc;
use tower::service_fn;

use crate::support::{DEADLINE, Rig, in_time};

/// What the scripts tell, and how they wait for the test.
const TELL: &str = r#"
    usage() { echo '"inputTokens":'$1',"outputTokens":'$2; }
    response() { tell rawResponse/completed '"responseId":"'$1'","usage":{'$(usage $2 $3)'}'; }
    used() { tell thread/tokenUsage/updated '"tokenUsage":{"last":{'$(usage $1 $2)'},"total":{'$(usage $3 $4)'}}'; }
    command() { tell item/$1 '"item":{"type":"commandExecution","id":"'$2'","command":"serve","status":"'$3'"}'; }
    held() { until [ -e "$FAKE_DIRECTORY/go" ]; do sleep 0.02; done; }
"#;

fn script(turn: &str) -> String {
    format!("{TELL} turn() {{ {turn}\n }}; serve")
}

#[tokio::test]
async fn a_command_that_is_told_before_the_end_of_its_response_takes_no_time_of_the_model() {
    // The first response ends after its command. The second one takes its time, and its command is told before its end.
    let rig = Rig::new(&script(
        "command started c1 inProgress; command completed c1 completed; response r1 10 2; used 10 2 10 2
         held
         command started c2 inProgress; response r2 10 2; command completed c2 completed; used 10 2 20 4
         say done; end completed",
    ));
    let (sender, mut progress) = mpsc::channel(64);
    let holds = async {
        while !matches!(progress.recv().await, Some(Progress::TokenUsage { .. })) {}
        let began = Instant::now();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let held = began.elapsed();
        fs::write(rig.directory().join("go"), "").unwrap();
        held
    };
    let turn = rig.run(TurnRequest::new("a prompt").with_progress(sender));
    let (turn, held) = tokio::join!(turn, in_time(holds));
    let phases = turn.unwrap().phases;
    assert!(phases.get(Phase::Model) >= Some(held), "{phases:?}");
}

#[tokio::test]
async fn a_turn_that_its_approver_cancels_was_in_approval() {
    let ask = r#"printf '{"id":0,"method":"item/commandExecution/requestApproval","params":{"threadId":"%s","turnId":"%s","itemId":"c1","command":"serve"}}\n' "$thread" "$turn""#;
    // Codex ends the command and asks the model no more before it ends the turn.
    let turn = format!(
        "command started c1 inProgress; {ask}; read_line; command completed c1 declined; end interrupted"
    );
    let approver = service_fn(|_: ApprovalRequest| ready(Ok::<_, TurnError>(Decision::Cancel)));
    let rig = Rig::with(&script(&turn), |builder| {
        builder.approver(approver, DEADLINE)
    });
    let error = rig.turn().await.unwrap_err();
    assert!(
        matches!(error, TurnError::CancelledByApprover { .. }),
        "{error:?}"
    );
    let event = rig.turn_events().remove(0);
    assert_eq!(event.attribute(names::PHASE), Some(&"approval".into()));
}

//! What became of all turns, as the program says.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    callers::{CALLERS, Caller},
    events::Events,
    ledger::{End, Ledger, Turn},
    session::Session,
};

/// All turns, by caller and id, with the answers of `GET /turns/{id}`.
pub(crate) type Turns = BTreeMap<(Caller, u64), Value>;

/// Asks for all turns of all callers. Their ids are the numbers from 1 on.
pub(crate) async fn all(session: &mut Session<'_>) -> Turns {
    let mut turns = Turns::new();
    for caller in CALLERS {
        session.caller = caller;
        for id in 1.. {
            let path = format!("/turns/{id}");
            let answer = session.send(&path, session.get(&path)).await;
            let answer = answer.expect("an answer");
            if answer.status != 200 {
                break;
            }
            turns.insert((caller, id), answer.body);
        }
    }
    turns
}

/// Checks that each turn has ended, and as its client has seen it.
pub(crate) fn check(turns: &Turns, ledger: &Ledger, lives_killed: usize) {
    for (key, turn) in turns {
        let status = &turn["status"];
        assert!(
            ["ok", "error", "cancelled", "lost"]
                .iter()
                .any(|end| status == end),
            "{key:?} has not ended: {turn}"
        );
    }
    for (key, seen) in &ledger.lock().turns {
        let Some(turn) = turns.get(key) else {
            panic!("{key:?}, which began as {seen:?}, is unknown");
        };
        assert!(
            fits(seen, turn, lives_killed),
            "{key:?} is {turn}, and its client has seen {seen:?}"
        );
    }
}

fn fits(seen: &Turn, turn: &Value, lives_killed: usize) -> bool {
    let status = turn["status"].as_str().unwrap_or_default();
    match &seen.end {
        End::Done => status == "ok",
        End::Error(class) => status == "error" && turn["class"] == **class,
        End::Left => status != "lost" || seen.life < lives_killed,
        End::Killed => true,
    }
}

/// Checks that only those turns are lost whose requests were active when the program was killed.
pub(crate) fn check_lost(turns: &Turns, events: &[Events]) {
    for (key, turn) in turns.iter().filter(|(_, turn)| turn["status"] == "lost") {
        let trace = turn["trace"].as_str().unwrap_or_default();
        let is_open = |events: &Events| events.open_requests().contains(trace);
        assert!(
            events.iter().any(is_open),
            "{key:?} is lost, and no life was killed while its request was active: {turn}"
        );
    }
}

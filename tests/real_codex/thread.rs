//! Turns that resume a thread, and their usage.

use codex_telemetry::{
    ErrorClass,
    event::names,
    turn::{TurnRequest, Usage},
};

use crate::{
    bench::Bench,
    calls::{assert_ok, number},
    reply::{Reply, Tokens},
};

pub(crate) fn assert_used(usage: Option<Usage>, tokens: Tokens) {
    let usage = usage.expect("the usage is known");
    let got = (
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.output_tokens,
        usage.reasoning_output_tokens,
    );
    assert_eq!(
        got,
        (tokens.input, tokens.cached, tokens.output, tokens.reasoning)
    );
}

fn used(factor: u64) -> Reply {
    Reply::message("done", Tokens::FEW.times(factor))
}

impl Bench {
    fn resume(&self, thread: &str) -> TurnRequest {
        self.request("On").with_resume(thread)
    }
}

#[tokio::test]
async fn each_turn_of_a_thread_has_its_own_usage() {
    let Some(bench) = Bench::start([1, 10, 100].map(used)) else {
        return;
    };
    let first = bench
        .run(bench.request("Remember the word plum"))
        .await
        .unwrap();
    let thread = first.thread_id.unwrap();
    assert_used(first.usage, Tokens::FEW);
    for (own, total) in [(10, 11), (100, 111)] {
        let turn = bench.run(bench.resume(&thread)).await.unwrap();
        assert_eq!(turn.thread_id.as_ref(), Some(&thread));
        assert_used(turn.usage, Tokens::FEW.times(own));
        assert_used(turn.thread_usage, Tokens::FEW.times(total));
    }

    let calls = bench.calls(3);
    let tokens = calls
        .turns
        .iter()
        .map(|event| number(event, names::INPUT_TOKENS));
    assert!(tokens.eq([10, 100, 1000].map(Some)));
    // The model gets the same conversation.
    let asked = bench.model.asked();
    let last = asked.last().unwrap().texts();
    assert!(last.iter().any(|text| text.contains("plum")), "{last:?}");
}

#[tokio::test]
async fn the_usage_of_a_failed_turn_is_not_in_the_next_one() {
    let script = [
        used(1),
        // The failed turn: one request is answered and counted, then one fails.
        Reply::shell("true"),
        Reply::status(400, "{}"),
        used(7),
    ];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let first = bench.run(bench.request("Go")).await.unwrap();
    let thread = first.thread_id.unwrap();
    let error = bench.run(bench.resume(&thread)).await.unwrap_err();
    let third = bench.run(bench.resume(&thread)).await.unwrap();
    assert_used(third.usage, Tokens::FEW.times(7));
    // Codex itself has counted the failed turn's request.
    assert_used(third.thread_usage, Tokens::FEW.times(9));

    let calls = bench.calls(3);
    assert_ok(&calls.turns[0]);
    assert_eq!(
        calls.turns[1].error_class(),
        Some(ErrorClass::InvalidRequest),
        "{error}"
    );
    assert_eq!(calls.turns[1].thread_id(), Some(&*thread));
    assert_ok(&calls.turns[2]);
}

#[tokio::test]
async fn the_previous_usage_of_the_request_counts() {
    let Some(bench) = Bench::start([2, 3].map(used)) else {
        return;
    };
    let first = bench.run(bench.request("Go")).await.unwrap();
    let request = bench
        .resume(&first.thread_id.unwrap())
        .with_previous_usage(Usage::default());
    let second = bench.run(request).await.unwrap();
    assert_used(second.usage, Tokens::FEW.times(5));
    bench.calls(2);
}

#[tokio::test]
async fn the_usage_is_unknown_without_the_earlier_total() {
    let Some(bench) = Bench::start([2, 3].map(used)) else {
        return;
    };
    let first = bench.run(bench.request("Go")).await.unwrap();
    strip_totals(bench.home.path());
    let second = bench
        .run(bench.resume(&first.thread_id.unwrap()))
        .await
        .unwrap();
    assert!(second.thread_usage.is_some());
    assert_eq!(second.usage, None);
    let calls = bench.calls(2);
    assert_eq!(number(&calls.turns[1], names::INPUT_TOKENS), None);
}

/// Removes the lines with a total from every file below `sessions`.
fn strip_totals(home: &std::path::Path) {
    let mut directories = vec![home.join("sessions")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let kept = text
                .lines()
                .filter(|line| !line.contains("\"token_count\""));
            let kept: String = kept.map(|line| format!("{line}\n")).collect();
            std::fs::write(&path, kept).unwrap();
        }
    }
}

//! A fleet of programs that export to one receiver. The sums over their metrics are right.

#[path = "../support/checked/mod.rs"]
mod checked;
mod program;
#[path = "../otlp/receiver/mod.rs"]
mod receiver;
mod store;

use program::{Fleet, PROGRAMS};
use receiver::Receiver;
use store::Store;

/// Asserts that the store has the calls of `runs` fleets.
#[track_caller]
fn assert_sums(receiver: &Receiver, runs: u64) {
    let store = Store::of(receiver);
    let turns = runs * program::all_turns();
    let tools = turns * program::TOOLS;
    assert_eq!(store.count("gen_ai.invoke_agent.duration"), turns);
    assert_eq!(store.count("gen_ai.execute_tool.duration"), tools);
    assert_eq!(store.count("gen_ai.invoke_agent.tool_calls"), turns);
    assert_eq!(store.count("gen_ai.client.token.usage"), 2 * turns);
    let input = "gen_ai.client.inference.usage.input_tokens";
    assert_eq!(store.sum(input), turns * program::INPUT_TOKENS);
    let output = "gen_ai.client.inference.usage.output_tokens";
    assert_eq!(store.sum(output), turns * program::OUTPUT_TOKENS);
    assert_eq!(store.sum("codex.call.active"), 0);
}

#[test]
fn the_sums_of_eight_programs_at_once_are_right_with_totals() {
    let receiver = Receiver::http();
    Fleet::start(&receiver, "cumulative", None).run();
    assert_sums(&receiver, 1);
}

#[test]
fn the_sums_of_eight_programs_at_once_are_right_with_deltas() {
    for temporality in ["delta", "lowmemory"] {
        let receiver = Receiver::http();
        Fleet::start(&receiver, temporality, None).run();
        assert_sums(&receiver, 1);
    }
}

#[test]
fn the_sums_are_right_after_all_programs_were_restarted() {
    for temporality in ["cumulative", "delta"] {
        let receiver = Receiver::http();
        for _ in 0..2 {
            Fleet::start(&receiver, temporality, None).run();
        }
        assert_sums(&receiver, 2);
        assert_eq!(Store::of(&receiver).instances(), 2 * PROGRAMS);
    }
}

#[test]
fn the_sums_are_right_after_restarts_of_programs_with_given_instances() {
    for temporality in ["cumulative", "delta"] {
        let receiver = Receiver::http();
        for _ in 0..2 {
            Fleet::start(&receiver, temporality, Some("replica")).run();
        }
        assert_sums(&receiver, 2);
        assert_eq!(Store::of(&receiver).instances(), PROGRAMS);
    }
}

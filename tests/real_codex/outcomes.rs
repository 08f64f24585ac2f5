//! The result and the event of a completed turn.

use codex_telemetry::event::names;
use opentelemetry::Value;

use crate::{
    bench::Bench,
    calls::{assert_ok, number},
    reply::{Reply, Tokens},
};

#[tokio::test]
async fn a_message_is_the_result_of_a_turn_and_its_tokens_are_on_the_event() {
    let Some(bench) = Bench::start([Reply::message("hi there", Tokens::FEW)]) else {
        return;
    };
    let turn = bench.run(bench.request("Say hi")).await.unwrap();
    assert_eq!(turn.final_message.as_deref(), Some("hi there"));
    assert_eq!((turn.retries, turn.unknown_events), (0, 0));
    let used = turn.usage.unwrap();
    assert_eq!((used.input_tokens, used.output_tokens), (10, 5));
    assert_eq!(turn.thread_usage, turn.usage);

    let calls = bench.calls(1);
    let event = calls.turn();
    assert_ok(event);
    assert_eq!(event.thread_id(), turn.thread_id.as_deref());
    for (key, value) in [
        (names::INPUT_TOKENS, 10),
        (names::OUTPUT_TOKENS, 5),
        (names::CACHE_READ_TOKENS, 3),
        (names::CACHE_WRITE_TOKENS, 0),
        (names::REASONING_TOKENS, 2),
        (names::EXIT_CODE, 0),
    ] {
        assert_eq!(number(event, key), Some(value), "{key}");
    }
    let model = event.attribute(names::REQUEST_MODEL).map(Value::as_str);
    assert_eq!(model.as_deref(), Some("gpt-5.5"));
    let Some(Value::F64(first)) = event.attribute(names::TIME_TO_FIRST_EVENT) else {
        panic!("no time to the first event");
    };
    assert!(*first > 0.0 && *first <= event.duration().unwrap().as_secs_f64() * 1e3);
    assert!(calls.tools.is_empty());

    let asked = bench.model.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].texts().contains(&"Say hi".to_owned()));
    assert_eq!(asked[0].header("thread-id"), turn.thread_id.unwrap());
}

#[tokio::test]
async fn an_agent_names_the_call_and_turns_at_the_same_time_do_not_mix() {
    let Some(bench) = Bench::start([Reply::done(), Reply::done()]) else {
        return;
    };
    let run = |agent: &'static str| bench.run(bench.request("Go").with_agent(agent));
    let (a, b) = tokio::join!(run("reviewer"), run("writer"));
    let calls = bench.calls(2);
    for (agent, turn) in [("reviewer", a.unwrap()), ("writer", b.unwrap())] {
        let of_agent = |event: &&codex_telemetry::Event| event.call_name() == Some(agent);
        let event = calls.turns.iter().find(of_agent).unwrap();
        assert_ok(event);
        assert_eq!(event.thread_id(), turn.thread_id.as_deref());
    }
    assert_ne!(calls.turns[0].trace_id(), calls.turns[1].trace_id());
}

#[tokio::test]
async fn an_ephemeral_thread_leaves_nothing_to_resume() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let turns = bench.turns().ephemeral(true).build();
    let turn = bench.run_by(turns, bench.request("Go")).await.unwrap();
    assert!(!bench.home.path().join("sessions").exists());

    let request = bench.request("On").with_resume(turn.thread_id.unwrap());
    let error = bench.run(request).await.unwrap_err();
    assert!(error.to_string().contains("no rollout found"), "{error}");
    bench.calls(2);
}

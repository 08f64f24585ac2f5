//! The responses of the model within a turn by an app-server: calls, tokens, and the time to the first one.

use codex_telemetry::{
    ErrorClass, Event, Outcome,
    event::names,
    turn::{Progress, TurnUpdate, turn_stream},
};
use futures_util::StreamExt;
use opentelemetry::Value;
use serde_json::json;

use crate::{
    bench::{Bench, in_time},
    calls::{assert_ok, number},
    gate::Gate,
    reply::{Ending, Reply, Tokens},
    thread::assert_used,
};

fn float(event: &Event, key: &str) -> Option<f64> {
    match event.attribute(key)? {
        Value::F64(number) => Some(*number),
        other => panic!("{key} is {other:?}"),
    }
}

/// Asserts that the calls of the model's responses are those with these factors of a few tokens, one after the other.
fn assert_chats(chats: &[&Event], factors: &[i64]) {
    let input: Vec<_> = chats
        .iter()
        .map(|chat| number(chat, names::INPUT_TOKENS))
        .collect();
    let expected: Vec<_> = factors.iter().map(|factor| Some(10 * factor)).collect();
    assert_eq!(input, expected);
    for chat in chats {
        assert_ok(chat);
        assert_eq!(chat.call_name(), Some("gpt-5.5"));
        let provider = chat.attribute(names::PROVIDER_NAME).map(Value::to_string);
        assert_eq!(provider.as_deref(), Some("mock"));
    }
    for pair in chats.windows(2) {
        assert!(pair[0].time() <= pair[1].start_time(), "{pair:?} overlap");
    }
}

#[tokio::test]
async fn each_response_of_the_model_is_a_call_with_its_tokens_also_in_a_resumed_thread() {
    let used = |factor| Reply::message("on", Tokens::FEW.times(factor));
    let script = [
        Reply::shell("true"),
        used(2),
        Reply::shell("true"),
        Reply::shell("true"),
        used(3),
    ];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let first = server.complete(bench.ask("Go")).await;
    server.end().await;
    // Of a thread that another server has started, Codex tells less.
    let server = bench.app_server(|builder| builder);
    let second = server.complete(bench.ask_on(&first, "On")).await;
    server.end().await;

    let calls = bench.calls(2);
    assert_chats(&calls.of(&first).chats, &[1, 2]);
    assert_chats(&calls.of(&second).chats, &[1, 1, 3]);
    for (turn, count, factor) in [(&first, 2, 3), (&second, 3, 5)] {
        assert_used(turn.usage, Tokens::FEW.times(factor));
        let event = calls.of(turn).turn;
        assert_eq!(number(event, names::INFERENCE_CALLS), Some(count));
        let factor = i64::try_from(factor).unwrap();
        assert_eq!(number(event, names::INPUT_TOKENS), Some(10 * factor));
    }
}

#[tokio::test]
async fn a_response_that_fails_is_a_call_that_fails_with_the_turn() {
    let script = [
        Reply::shell("true"),
        Reply::error(401, "no", "no"),
        Reply::done(),
    ];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    server.run(bench.ask("Go")).await.unwrap_err();
    let calls = bench.calls(1);
    let of_turn = calls.inside(calls.turn());
    let [asked, failed] = of_turn.chats[..] else {
        panic!("{:?}", of_turn.chats);
    };
    assert_chats(&[asked], &[1]);
    assert_eq!(failed.outcome(), Some(Outcome::Error));
    assert_eq!(failed.error_class(), Some(ErrorClass::Unauthorized));
    assert_eq!(of_turn.turn.error_class(), Some(ErrorClass::Unauthorized));
    assert_eq!(number(of_turn.turn, names::INPUT_TOKENS), Some(10));
    assert_ok(of_turn.tools[0]);
    server.end().await;
}

#[tokio::test]
async fn the_usage_that_codex_repeats_after_a_failure_is_not_counted_again() {
    let used = |factor| Reply::message("on", Tokens::FEW.times(factor));
    let script = [used(1), Reply::status(400, "{}"), used(7)];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let first = server.complete(bench.ask("Go")).await;
    server.run(bench.ask_on(&first, "On")).await.unwrap_err();
    let third = server.complete(bench.ask_on(&first, "On")).await;
    server.end().await;
    assert_used(third.usage, Tokens::FEW.times(7));
    assert_used(third.thread_usage, Tokens::FEW.times(8));
    let calls = bench.calls(3);
    assert_eq!(number(&calls.turns[1], names::INPUT_TOKENS), None);
    assert_chats(&calls.of(&third).chats, &[7]);
}

#[tokio::test]
async fn the_time_to_the_first_token_ends_with_the_first_part_of_a_text() {
    let gate = Gate::new();
    let parts = ["Hel", "lo"];
    // The item and its first part come before the gate.
    let held = Reply::streamed(&parts, Tokens::FEW).held_after(3, &gate);
    let Some(bench) = Bench::start([held]) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let (progress, mut received) = tokio::sync::mpsc::channel(64);
    let request = bench.ask("Go").with_progress(progress);
    let turn = server.complete(request);
    let waiting = async {
        let mut first = None;
        while first.is_none() {
            let progress = in_time(received.recv()).await.unwrap();
            if let Progress::MessageDelta { delta, .. } = progress {
                first = Some(delta);
            }
        }
        // A time that is in the turn, and not before its first token.
        let held = std::time::Duration::from_millis(300);
        tokio::time::sleep(held).await;
        gate.open();
        (first, held)
    };
    let (turn, (first, held)) = tokio::join!(turn, waiting);
    assert_eq!(first.as_deref(), Some("Hel"));
    assert_eq!(turn.final_message.as_deref(), Some("Hello"));
    server.end().await;

    let calls = bench.calls(1);
    let (turn, chat) = (calls.turn(), &calls.chats[0]);
    let to_token = float(turn, names::TIME_TO_FIRST_TOKEN).unwrap();
    let took = turn.duration().unwrap().as_secs_f64() * 1e3;
    assert!(
        to_token > 0.0 && to_token + held.as_secs_f64() * 1e3 <= took,
        "{to_token} of {took}"
    );
    let to_chunk = float(chat, names::RESPONSE_TIME_TO_FIRST_CHUNK).unwrap();
    let took = chat.duration().unwrap().as_secs_f64();
    assert!(
        to_chunk > 0.0 && to_chunk + held.as_secs_f64() <= took,
        "{to_chunk} of {took}"
    );
}

#[tokio::test]
async fn a_model_that_does_not_stream_has_no_time_to_its_first_token() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    server.complete(bench.ask("Go")).await;
    server.end().await;
    let calls = bench.calls(1);
    assert_eq!(float(calls.turn(), names::TIME_TO_FIRST_TOKEN), None);
    assert_eq!(
        float(&calls.chats[0], names::RESPONSE_TIME_TO_FIRST_CHUNK),
        None
    );
}

#[tokio::test]
async fn the_parts_of_the_progress_are_the_texts_of_the_items() {
    let thoughts = ["I think", " of plums"];
    let script = [Reply::reasoned(&thoughts, "wait", Tokens::FEW)];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    bench.model.then([]);
    let server = bench.app_server(|builder| builder);
    let service = bench.layered(server.turns.clone());
    let updates: Vec<_> = in_time(turn_stream(service, bench.ask("Go")).collect()).await;
    let (mut reasoning, mut done) = (String::new(), false);
    for update in &updates {
        match update {
            TurnUpdate::Progress(Progress::ReasoningDelta { delta, .. }) => reasoning += delta,
            TurnUpdate::Done(result) => done = result.is_ok(),
            TurnUpdate::Progress(_) => {}
        }
    }
    assert!(done, "{updates:?}");
    assert_eq!(reasoning, "I think of plums");

    bench
        .model
        .then([Reply::streamed(&["Pl", "um", "s"], Tokens::FEW)]);
    let service = bench.layered(server.turns.clone());
    let updates: Vec<_> = in_time(turn_stream(service, bench.ask("Go")).collect()).await;
    let mut text = String::new();
    let mut usage = None;
    for update in &updates {
        match update {
            TurnUpdate::Progress(Progress::MessageDelta { delta, .. }) => text += delta,
            TurnUpdate::Progress(Progress::TokenUsage { last, .. }) => usage = Some(*last),
            _ => {}
        }
    }
    let Some(TurnUpdate::Done(Ok(turn))) = updates.last() else {
        panic!("{updates:?}");
    };
    assert_eq!(turn.final_message.as_deref(), Some("Plums"));
    assert_eq!(text, "Plums");
    assert_used(usage, Tokens::FEW);
    server.end().await;
}

#[tokio::test]
async fn a_reconnection_is_counted_and_a_span_event_with_codexs_kind_of_the_error() {
    let script = [Reply::unfinished(Ending::Closed), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let server =
        bench.app_server(|builder| builder.config("model_providers.mock.stream_max_retries", 2));
    let turn = server.complete(bench.ask("Go")).await;
    server.end().await;
    assert_eq!(turn.retries, 1);
    let calls = bench.calls(1);
    let event = calls.turn();
    assert_ok(event);
    assert_eq!(number(event, names::RETRIES), Some(1));
    let [retry] = event.span_events() else {
        panic!("{:?}", event.span_events());
    };
    assert!(retry.name.starts_with("Reconnecting... 1/2"), "{retry:?}");
    let attributes = format!("{retry:?}");
    assert!(
        attributes.contains("responseStreamDisconnected"),
        "{attributes}"
    );
}

#[tokio::test]
async fn the_limits_of_the_account_are_a_span_event_and_progress() {
    let reply = Reply::done()
        .with_header("x-codex-primary-used-percent", "42.3")
        .with_header("x-codex-primary-window-minutes", "300")
        .with_header("x-codex-primary-reset-at", "1900000000")
        .with_header("x-codex-secondary-used-percent", "7")
        .with_header("x-codex-secondary-window-minutes", "10080");
    let Some(bench) = Bench::start([reply]) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let (progress, mut received) = tokio::sync::mpsc::channel(64);
    server
        .complete(bench.ask("Go").with_progress(progress))
        .await;
    server.end().await;
    let mut limits = None;
    while let Ok(progress) = received.try_recv() {
        if let Progress::RateLimits(told) = progress {
            limits = Some(told);
        }
    }
    let limits = limits.expect("no limits");
    let (primary, secondary) = (limits.primary.unwrap(), limits.secondary.unwrap());
    assert_eq!(
        (primary.used_percent, primary.window_minutes),
        (42.0, Some(300)),
        "{limits:?}"
    );
    assert_eq!(secondary.used_percent, 7.0);
    let calls = bench.calls(1);
    let events = calls.turn().span_events();
    let told = events.iter().find(|event| event.name == names::RATE_LIMITS);
    let told = format!("{:?}", told.unwrap_or_else(|| panic!("{events:?}")));
    assert!(told.contains("42.0") && told.contains("300"), "{told}");
}

#[tokio::test]
async fn what_a_broken_response_has_said_is_said_again_by_the_next_and_is_one_call() {
    let done = json!({"type": "response.output_item.done", "item": {
        "type": "message", "role": "assistant", "id": "m9",
        "content": [{"type": "output_text", "text": "again"}],
    }});
    let script = [
        Reply::stream([done], Ending::Cut),
        Reply::message("again", Tokens::FEW),
    ];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let server =
        bench.app_server(|builder| builder.config("model_providers.mock.stream_max_retries", 2));
    let turn = server.complete(bench.ask("Go")).await;
    server.end().await;
    assert_eq!(turn.items.len(), 2, "{:?}", turn.items);
    assert_eq!(turn.final_message.as_deref(), Some("again"));
    let calls = bench.calls(1);
    assert_chats(&calls.of(&turn).chats, &[1]);
}

#[tokio::test]
async fn the_usage_of_a_resumed_thread_is_right_also_with_a_compaction() {
    let script = [
        Reply::message("long", Tokens::FEW.times(1000)),
        Reply::message("a summary", Tokens::FEW.times(1001)),
        Reply::message("on", Tokens::FEW.times(3)),
        Reply::message("on", Tokens::FEW.times(5)),
    ];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let compacting =
        || bench.app_server(|builder| builder.config("model_auto_compact_token_limit", 5000));
    let server = compacting();
    let first = server.complete(bench.ask("Go")).await;
    server.end().await;
    let server = compacting();
    let second = server.complete(bench.ask_on(&first, "On")).await;
    let third = server.complete(bench.ask_on(&first, "On")).await;
    server.end().await;
    let calls = bench.calls(3);
    let counts = [&second, &third].map(|turn| calls.of(turn).chats.len());
    assert_eq!(counts, [2, 1]);
    assert_used(second.usage, Tokens::FEW.times(1004));
    assert_used(third.usage, Tokens::FEW.times(5));
    assert_eq!(bench.model.left(), 0);
}

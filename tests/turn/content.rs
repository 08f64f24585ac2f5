//! Prompts, answers, commands and outputs, which are recorded only for a sink that captures content.

use codex_telemetry::{Event, Operation, ServiceBuilderExt, event::names, turn::TurnRequest};
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt};

use crate::{
    checked::MemorySink,
    support::{DEADLINE, fake_codex, prompt},
};

/// Runs a turn, and returns the terminal events of its calls.
async fn run(sink: MemorySink, request: TurnRequest) -> Vec<Event> {
    let turns = ServiceBuilder::new().timing(sink.clone());
    let turn = turns.service(fake_codex().build()).oneshot(request);
    let _ = tokio::time::timeout(DEADLINE, turn)
        .await
        .expect("the turn hangs");
    let mut events = sink.take();
    events.retain(|event| event.kind().is_terminal());
    events
}

/// Returns a script that prints these items as completed, and then `end`.
fn script(items: &[Value], end: &Value) -> String {
    let items = items.iter();
    let lines = items.map(|item| json!({"type": "item.completed", "item": item}).to_string());
    let lines: Vec<_> = lines.chain([end.to_string()]).collect();
    format!("cat <<'END'\n{}\nEND\n", lines.join("\n"))
}

fn completed() -> Value {
    json!({"type": "turn.completed"})
}

fn message(text: &str) -> Value {
    json!({"id": "item_9", "type": "agent_message", "text": text})
}

fn content(event: &Event, key: &str) -> Option<String> {
    let mut content = event.content().iter();
    let content = content.find(|kv| kv.key.as_str() == key)?;
    Some(content.value.as_str().into_owned())
}

/// Returns a content that is JSON.
fn json_content(event: &Event, key: &str) -> Value {
    let content = content(event, key).unwrap_or_else(|| panic!("no {key}: {event:?}"));
    serde_json::from_str(&content).unwrap()
}

#[tokio::test]
async fn a_turn_has_its_prompt_and_its_last_answer_in_the_form_of_the_conventions() {
    let items = [message("Let me see."), message("It is \"done\".")];
    let script = script(&items, &completed());
    let request = prompt("Fix \"it\"", &script);
    let events = run(MemorySink::capturing_content(), request).await;
    assert_eq!(
        json_content(&events[0], names::INPUT_MESSAGES),
        json!([{"role": "user", "parts": [{"type": "text", "content": "Fix \"it\""}]}])
    );
    assert_eq!(
        json_content(&events[0], names::OUTPUT_MESSAGES),
        json!([{
            "role": "assistant",
            "finish_reason": "stop",
            "parts": [{"type": "text", "content": "It is \"done\"."}],
        }])
    );
}

#[tokio::test]
async fn a_turn_that_failed_after_a_message_ended_with_an_error() {
    let failed = json!({"type": "turn.failed", "error": {"message": "overloaded"}});
    let request = prompt("Go", &script(&[message("I am on it.")], &failed));
    let events = run(MemorySink::capturing_content(), request).await;
    let output = json_content(&events[0], names::OUTPUT_MESSAGES);
    assert_eq!(output[0]["finish_reason"], "error");
    assert_eq!(output[0]["parts"][0]["content"], "I am on it.");
}

#[tokio::test]
async fn a_turn_that_ended_in_any_other_way_has_its_last_answer() {
    for ending in ["exit 3", "echo garbage", "kill -KILL $$", "exec sleep 1000"] {
        let sink = MemorySink::capturing_content();
        let (progress, mut reader) = tokio::sync::mpsc::channel(8);
        let script = format!(
            "echo '{}'\n{ending}",
            json!({"type": "item.completed",
            "item": message("I am on it.")})
        );
        let turns = ServiceBuilder::new().timing(sink.clone());
        let turns = turns.service(fake_codex().build());
        let turn = turns.oneshot(prompt("Go", &script).with_progress(progress));
        let cancelled = async {
            while reader.recv().await.is_some() {
                if ending.contains("sleep") {
                    return;
                }
            }
            std::future::pending::<()>().await;
        };
        let ended = async {
            tokio::select! {
                result = turn => assert!(result.is_err(), "{ending}"),
                () = cancelled => {}
            }
        };
        let ended = tokio::time::timeout(DEADLINE, ended).await;
        ended.expect("the turn hangs");
        let output = json_content(&sink.events()[1], names::OUTPUT_MESSAGES);
        assert_eq!(output[0]["finish_reason"], "error", "{ending}");
        assert_eq!(output[0]["parts"][0]["content"], "I am on it.");
    }
}

#[tokio::test]
async fn an_image_is_a_reference_with_its_type_and_without_its_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("a photo.PNG");
    std::fs::write(&image, "bytes").unwrap();
    let request = prompt("What is it?", &script(&[], &completed())).with_image(&image);
    let events = run(MemorySink::capturing_content(), request).await;
    let input = json_content(&events[0], names::INPUT_MESSAGES);
    let uri = format!("file://{}/a%20photo.PNG", directory.path().display());
    assert_eq!(
        input[0]["parts"],
        json!([
            {"type": "uri", "modality": "image", "mime_type": "image/png", "uri": uri},
            {"type": "text", "content": "What is it?"},
        ])
    );
}

#[tokio::test]
async fn the_files_of_a_prompt_are_in_it_as_codex_gets_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("notes.txt");
    std::fs::write(&file, "plum").unwrap();
    let request = prompt("Sum it up", &script(&[], &completed())).with_file(&file);
    let events = run(MemorySink::capturing_content(), request).await;
    let input = json_content(&events[0], names::INPUT_MESSAGES);
    let file = file.display();
    let text = format!("Sum it up\n\nFiles attached by the user:\n- notes.txt: {file}");
    assert_eq!(
        input[0]["parts"],
        json!([{"type": "text", "content": text}])
    );
}

#[tokio::test]
async fn the_tools_of_a_turn_have_their_arguments_and_results() {
    let items = [
        json!({"id": "1", "type": "command_execution", "status": "completed", "exit_code": 0,
            "command": "cat \"a b\"", "aggregated_output": "two\nlines"}),
        json!({"id": "2", "type": "mcp_tool_call", "status": "completed", "server": "s", "tool": "t",
            "arguments": {"path": "/etc"}, "result": {"content": []}}),
        json!({"id": "3", "type": "mcp_tool_call", "status": "failed", "server": "s", "tool": "t",
            "arguments": {}, "error": {"message": "no such file"}}),
        json!({"id": "4", "type": "file_change", "status": "completed",
            "changes": [{"path": "a.rs", "kind": "add"}]}),
        json!({"id": "5", "type": "web_search", "query": "weather"}),
        json!({"id": "6", "type": "collab_tool_call", "tool": "spawn", "status": "completed"}),
    ];
    let request = prompt("Go", &script(&items, &completed()));
    let events = run(MemorySink::capturing_content(), request).await;
    let tools: Vec<_> = events
        .iter()
        .filter(|event| event.operation() == Operation::Tool)
        .map(|event| {
            [names::TOOL_CALL_ARGUMENTS, names::TOOL_CALL_RESULT].map(|key| content(event, key))
        })
        .collect();
    let expected = [
        [Some(r#"{"command":"cat \"a b\""}"#), Some("two\nlines")],
        [Some(r#"{"path":"/etc"}"#), Some(r#"{"content":[]}"#)],
        [Some("{}"), Some("no such file")],
        [Some(r#"{"changes":[{"kind":"add","path":"a.rs"}]}"#), None],
        [Some(r#"{"query":"weather"}"#), None],
        [None, None],
    ];
    assert_eq!(
        tools,
        expected.map(|contents| contents.map(|it| it.map(str::to_owned)))
    );
}

#[tokio::test]
async fn a_command_that_has_not_ended_has_its_arguments() {
    let started = json!({"type": "item.started", "item":
        {"id": "1", "type": "command_execution", "command": "make", "status": "in_progress"}});
    let script = format!("echo '{started}'\necho '{}'", completed());
    let events = run(MemorySink::capturing_content(), prompt("Go", &script)).await;
    assert_eq!(
        json_content(&events[0], names::TOOL_CALL_ARGUMENTS),
        json!({"command": "make"})
    );
    assert_eq!(content(&events[0], names::TOOL_CALL_RESULT), None);
}

#[tokio::test]
async fn messages_that_are_cut_are_valid_json() {
    let prompt = prompt(
        &"ä\"\n".repeat(40_000),
        r#"text=$(head -c 100000 /dev/zero | tr '\0' x)
        echo "{\"type\":\"item.completed\",\"item\":{\"type\":\"agent_message\",\"text\":\"$text\"}}"
        echo '{"type":"turn.completed"}'"#,
    );
    let events = run(MemorySink::capturing_content(), prompt).await;
    for key in [names::INPUT_MESSAGES, names::OUTPUT_MESSAGES] {
        assert!(content(&events[0], key).unwrap().len() <= 64 * 1024);
        let messages = json_content(&events[0], key);
        let text = messages[0]["parts"][0]["content"].as_str().unwrap();
        assert!(text.ends_with('…') && text.len() > 30_000, "{key}");
    }
    let output = json_content(&events[0], names::OUTPUT_MESSAGES);
    assert_eq!(output[0]["finish_reason"], "stop");
}

#[tokio::test]
async fn by_default_no_call_has_content() {
    let items = [
        json!({"id": "1", "type": "command_execution", "status": "completed",
            "command": "ls", "aggregated_output": "file"}),
        message("Done."),
    ];
    let request = prompt("Go", &script(&items, &completed()));
    let events = run(MemorySink::new(), request).await;
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event.content().is_empty()));
}

//! Stands in for `codex app-server`, and for the model behind it, which has a command run, calls three tools of the
//! program at once, and says what they answered.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Write},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

const THREAD: &str = "01a20238-fc46-71c0-94c6-3674d2d01ec3";
const TURN: &str = "01a20238-fc52-7e11-a3a5-0c5f9b6f2d47";

/// What the model calls: the names of the tools and their arguments.
const CALLS: [(&str, &str); 3] = [
    ("closed_tickets", r#"{"release":"1.4"}"#),
    ("read_page", r#"{"path":"/old-notes"}"#),
    ("publish", r#"{"text":"Faster start"}"#),
];

/// Answers the program until it closes standard input.
pub(crate) fn serve() -> io::Result<()> {
    let mut answers = BTreeMap::new();
    for line in io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line?)?;
        let id = &message["id"];
        match message["method"].as_str() {
            Some("thread/start") => {
                let thread = json!({"id": THREAD});
                send(&json!({"id": id, "result": {"thread": thread, "model": "stand-in"}}))?;
            }
            Some("turn/start") => {
                send(&json!({"id": id, "result": {"turn": {"id": TURN}}}))?;
                begin()?;
            }
            Some(_) if id.is_null() => {}
            Some(_) => send(&json!({"id": id, "result": {}}))?,
            // The answer to a call, which has the name of the tool as its id.
            None => {
                let tool = id.as_str().unwrap_or_default().to_owned();
                let answer = ended(&tool, &message["result"])?;
                answers.insert(tool, answer);
                if answers.len() == CALLS.len() {
                    finish(&answers)?;
                }
            }
        }
    }
    Ok(())
}

/// The first response of the model, with a command, and the second one, with the calls.
fn begin() -> io::Result<()> {
    notify("turn/started", json!({"turn": {"id": TURN}}))?;
    notify(
        "item/completed",
        json!({"item": {"id": "prompt", "type": "userMessage"}}),
    )?;
    respond(3310, 35)?;
    let mut command = json!({
        "id": "call_0", "type": "commandExecution", "command": "cat NOTES.md", "status": "inProgress",
    });
    notify("item/started", json!({"item": command}))?;
    pause();
    command["status"] = "completed".into();
    command["exitCode"] = 0.into();
    notify("item/completed", json!({"item": command}))?;
    respond(3480, 96)?;
    for (tool, arguments) in CALLS {
        notify("item/started", json!({"item": call(tool, "inProgress")}))?;
        let arguments: Value = serde_json::from_str(arguments)?;
        let params = json!({
            "threadId": THREAD, "turnId": TURN, "callId": call_id(tool), "tool": tool, "arguments": arguments,
        });
        send(&json!({"id": tool, "method": "item/tool/call", "params": params}))?;
    }
    Ok(())
}

/// Ends a call, and returns what the model reads of the answer.
fn ended(tool: &str, answer: &Value) -> io::Result<String> {
    let status = match answer["success"] {
        Value::Bool(true) => "completed",
        _ => "failed",
    };
    notify("item/completed", json!({"item": call(tool, status)}))?;
    let text = answer["contentItems"][0]["text"].as_str();
    Ok(text.unwrap_or_default().to_owned())
}

/// The last response of the model, and the end of the turn.
fn finish(answers: &BTreeMap<String, String>) -> io::Result<()> {
    respond(3680, 64)?;
    let mut text = "your tools answered".to_owned();
    for (tool, answer) in answers {
        text += &format!("\n  {tool}: {answer}");
    }
    let message = json!({"id": "message", "type": "agentMessage", "text": text});
    notify("item/completed", json!({"item": message}))?;
    let turn = json!({"id": TURN, "status": "completed"});
    notify("turn/completed", json!({"turn": turn}))
}

/// Lets the model think, for some tokens.
fn respond(input: u32, output: u32) -> io::Result<()> {
    pause();
    let usage = json!({"inputTokens": input, "outputTokens": output});
    notify("rawResponse/completed", json!({"usage": usage}))
}

fn call(tool: &str, status: &str) -> Value {
    json!({"id": call_id(tool), "type": "dynamicToolCall", "tool": tool, "status": status})
}

fn call_id(tool: &str) -> String {
    format!("call_{tool}")
}

fn notify(method: &str, mut params: Value) -> io::Result<()> {
    params["threadId"] = THREAD.into();
    params["turnId"] = TURN.into();
    send(&json!({"method": method, "params": params}))
}

fn send(message: &Value) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{message}")?;
    stdout.flush()
}

/// Long enough to make the bars of the timeline visible.
fn pause() {
    thread::sleep(Duration::from_millis(20));
}

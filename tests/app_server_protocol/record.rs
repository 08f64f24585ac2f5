//! Records the transcripts.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    binary, mcp_stub,
    recorder::{Place, Recorder},
    reply::{Ending, Reply, Tokens},
    transcript::Transcript,
};

const PATCH: &str = "*** Begin Patch\n*** Update File: a.txt\n@@\n-one\n+two\n*** End Patch";

#[test]
#[ignore = "writes tests/data/app_server; run scripts/record-transcripts"]
fn the_transcripts_are_recorded() {
    let Some(codex) = binary::codex() else {
        panic!("run scripts/fetch-codex");
    };
    fs::create_dir_all(Transcript::directory()).unwrap();
    for record in [
        messages,
        tools,
        approvals,
        file_changes,
        mcp,
        host_tools,
        failures,
        retries,
        interrupt,
        resume,
        compaction,
    ] {
        record(codex, &Place::new());
    }
}

/// Returns the parameters of a thread in which everything is allowed.
fn unasked() -> Value {
    json!({"sandbox": "danger-full-access", "approvalPolicy": "never"})
}

/// Returns the parameters of a thread in which commands are asked for.
fn asked() -> Value {
    json!({"sandbox": "danger-full-access", "approvalPolicy": "untrusted"})
}

/// Returns the last event of a response.
fn completed() -> Value {
    let usage = json!({
        "input_tokens": 10, "input_tokens_details": {"cached_tokens": 3},
        "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 15,
    });
    json!({"type": "response.completed", "response": {"id": "r1", "usage": usage}})
}

/// Returns a response with these items, and their events before.
fn response(events: impl IntoIterator<Item = Value>) -> Reply {
    Reply::stream(events.into_iter().chain([completed()]), Ending::Closed)
}

fn done(item: &Value) -> Value {
    json!({"type": "response.output_item.done", "item": item})
}

/// Text and reasoning in parts, a plan, a search, and the ends of the responses themselves.
fn messages(codex: &Path, place: &Place) {
    let message = |content: Value| json!({"type": "message", "role": "assistant", "id": "m1", "content": content});
    let reasoning = |summary: Value, content: Value| json!({"type": "reasoning", "id": "rs1", "summary": summary, "content": content});
    let summary = |text: &str| json!({"type": "response.reasoning_summary_text.delta", "item_id": "rs1", "summary_index": 0, "delta": text});
    let text =
        |text: &str| json!({"type": "response.output_text.delta", "item_id": "m1", "delta": text});
    let search = json!({
        "type": "web_search_call", "id": "ws1", "status": "completed",
        "action": {"type": "search", "query": "weather"},
    });
    let plan = json!({"plan": [
        {"step": "look", "status": "completed"},
        {"step": "write", "status": "in_progress"},
        {"step": "check", "status": "pending"},
    ]});
    place.model.then([
        response([
            json!({"type": "response.output_item.added", "item": reasoning(json!([]), json!([]))}),
            json!({"type": "response.reasoning_summary_part.added", "item_id": "rs1", "summary_index": 0}),
            summary("thinking "),
            summary("hard"),
            json!({"type": "response.reasoning_text.delta", "item_id": "rs1", "content_index": 0, "delta": "raw"}),
            done(&reasoning(
                json!([{"type": "summary_text", "text": "thinking hard"}]),
                json!([{"type": "reasoning_text", "text": "raw"}]),
            )),
            done(&search),
        ]),
        Reply::call("update_plan", &plan.to_string()),
        response([
            json!({"type": "response.output_item.added", "item": message(json!([]))}),
            text("do"),
            text("ne"),
            done(&message(json!([{"type": "output_text", "text": "done"}]))),
        ]),
    ]);
    let config = [
        "show_raw_agent_reasoning=true",
        "model_reasoning_summary=\"detailed\"",
        "tools.update_plan={enabled=true}",
    ];
    let mut server = place.start(codex, &config);
    let mut params = unasked();
    params["experimentalRawEvents"] = json!(true);
    let thread = server.start_thread(&params);
    // The search alone needs no second response, so the plan is another turn.
    for _ in 0..2 {
        let turn = server.turn(&thread);
        assert_eq!(turn["status"], "completed", "{turn}");
    }
    server.save("messages");
}

/// Commands that work, fail, write in parts, and run at once.
fn tools(codex: &Path, place: &Place) {
    place.model.then([
        Reply::shell("echo one; sleep 0.3; echo two"),
        Reply::shell("exit 3"),
        Reply::shells(["sleep 0.4; echo slow", "sleep 0.2; echo fast"]),
        Reply::message("done", Tokens::FEW.times(2)),
    ]);
    let mut server = place.start(codex, &[]);
    let mut params = unasked();
    params["experimentalRawEvents"] = json!(true);
    let thread = server.start_thread(&params);
    server.turn(&thread);
    server.save("commands");
}

/// A command that is accepted, declined, cancelled and answered with an error.
fn approvals(codex: &Path, place: &Place) {
    const METHOD: &str = "item/commandExecution/requestApproval";
    let mut server = place.start(codex, &[]);
    let thread = server.start_thread(&asked());
    for decision in ["accept", "decline", "cancel"] {
        let ends = (decision == "cancel").then(Vec::new);
        let command = format!("touch {decision}");
        place.model.then([Reply::shell(&command)]);
        place
            .model
            .then(ends.unwrap_or_else(|| vec![Reply::done()]));
        server.start_turn(&thread);
        server.answer(METHOD, &json!({"decision": decision}));
        server.end_turn();
    }
    server.save("command_approvals");
}

/// An edit that is accepted, declined, and cancelled.
fn file_changes(codex: &Path, place: &Place) {
    let mut server = place.start(codex, &[]);
    let policy = json!({"sandbox": "read-only", "approvalPolicy": "on-request"});
    let thread = server.start_thread(&policy);
    for decision in ["decline", "accept"] {
        place.model.then([Reply::patch(PATCH), Reply::done()]);
        server.start_turn(&thread);
        server.answer(
            "item/fileChange/requestApproval",
            &json!({"decision": decision}),
        );
        server.end_turn();
    }
    let patch = PATCH.replace("+two", "+three").replace("-one", "-two");
    place.model.then([Reply::patch(&patch)]);
    server.start_turn(&thread);
    server.answer(
        "item/fileChange/requestApproval",
        &json!({"decision": "cancel"}),
    );
    server.end_turn();
    server.save("file_changes");
}

/// A tool of an MCP server that is accepted, and declined.
fn mcp(codex: &Path, place: &Place) {
    let path = place.home.path().join("server.sh");
    // The tool writes, and so has to be asked for.
    let tools = r#"[{"name":"write","inputSchema":{"type":"object"}}]"#;
    let calls = r#"*'"tools/call"'*) answer '{"content":[{"type":"text","text":"fine"}]}' ;;"#;
    fs::write(&path, mcp_stub::script(tools, calls)).unwrap();
    let config = format!(
        "mcp_servers.stub={{command=\"/bin/sh\",args=[\"{}\"]}}",
        path.display()
    );
    let mut server = place.start(codex, &[&config]);
    let policy = json!({"sandbox": "danger-full-access", "approvalPolicy": "on-request"});
    let thread = server.start_thread(&policy);
    for action in ["accept", "decline"] {
        place
            .model
            .then([Reply::mcp("stub", "write"), Reply::done()]);
        server.start_turn(&thread);
        let answer = json!({"action": action, "content": {}, "_meta": null});
        server.answer("mcpServer/elicitation/request", &answer);
        server.end_turn();
    }
    server.save("mcp");
}

/// A tool of the client that works, and one that fails.
fn host_tools(codex: &Path, place: &Place) {
    let mut server = place.start(codex, &[]);
    let mut params = unasked();
    params["dynamicTools"] = json!([{
        "type": "function", "name": "lookup", "description": "Looks it up.",
        "inputSchema": {"type": "object", "properties": {"id": {"type": "string"}}},
    }]);
    let thread = server.start_thread(&params);
    for success in [true, false] {
        place
            .model
            .then([Reply::call("lookup", r#"{"id":"7"}"#), Reply::done()]);
        server.start_turn(&thread);
        let content = json!([{"type": "inputText", "text": "the answer"}]);
        server.answer(
            "item/tool/call",
            &json!({"contentItems": content, "success": success}),
        );
        server.end_turn();
    }
    server.save("host_tools");
}

/// Turns that fail, each by another answer of the model.
fn failures(codex: &Path, place: &Place) {
    let mut server = place.start(codex, &[]);
    let thread = server.start_thread(&unasked());
    for reply in [
        Reply::error(429, "slow_down", "slow down"),
        Reply::error(429, "usage_limit_reached", "the limit"),
        Reply::failure("insufficient_quota", "no money"),
        Reply::failure("rate_limit_exceeded", "Try again in 7s."),
        Reply::error(401, "invalid_api_key", "a wrong key"),
        Reply::error(403, "forbidden", "not you"),
        Reply::error(404, "model_not_found", "no such model"),
        Reply::error(400, "bad", "a bad request"),
        Reply::error(500, "internal", "broken"),
        Reply::failure("server_is_overloaded", "busy"),
        Reply::failure("invalid_prompt", "not that"),
        Reply::unfinished(Ending::Closed),
        Reply::failure("context_length_exceeded", "too long"),
        // The thread is compacted first, and that fails.
        Reply::failure("invalid_prompt", "not that"),
    ] {
        place.model.then([reply]);
        let turn = server.turn(&thread);
        assert_eq!(turn["status"], "failed", "{turn}");
    }
    server.save("failures");
}

/// A turn that works after two broken responses.
fn retries(codex: &Path, place: &Place) {
    let message = json!({"type": "message", "role": "assistant", "id": "m1", "content": []});
    place.model.then([
        Reply::stream(
            [
                json!({"type": "response.output_item.added", "item": message}),
                json!({"type": "response.output_text.delta", "item_id": "m1", "delta": "do"}),
            ],
            Ending::Cut,
        ),
        Reply::error(500, "internal", "broken"),
        Reply::done(),
    ]);
    let mut server = place.start(codex, &["model_providers.mock.stream_max_retries=3"]);
    let thread = server.start_thread(&unasked());
    let turn = server.turn(&thread);
    assert_eq!(turn["status"], "completed", "{turn}");
    server.save("retries");
}

/// A turn that is interrupted while a command runs, one while an approval waits, and one while the model streams.
fn interrupt(codex: &Path, place: &Place) {
    let mut server = place.start(codex, &[]);
    let interrupt = |server: &mut Recorder, thread: &str| {
        let params = json!({"threadId": thread, "turnId": ""});
        server.send("turn/interrupt", &params);
        server.send(
            "thread/backgroundTerminals/clean",
            &json!({"threadId": thread}),
        );
        let turn = server.end_turn();
        assert_eq!(turn["status"], "interrupted", "{turn}");
    };

    let thread = server.start_thread(&unasked());
    place.model.then([Reply::shell("sleep 60")]);
    server.start_turn(&thread);
    let started = |line: &Value| line["params"]["item"]["type"] == "commandExecution";
    server.wait("the command", started);
    interrupt(&mut server, &thread);
    // The end of the command comes after the end of the turn.
    server.wait("the end of the command", |line| {
        line["method"] == "item/completed" && started(line)
    });

    let thread = server.start_thread(&asked());
    place.model.then([Reply::shell("touch waits")]);
    server.start_turn(&thread);
    server.wait_for("item/commandExecution/requestApproval");
    interrupt(&mut server, &thread);
    server.wait_for("serverRequest/resolved");

    let thread = server.start_thread(&unasked());
    place.model.then([Reply::unfinished(Ending::Silence)]);
    server.start_turn(&thread);
    server.wait_for("turn/started");
    interrupt(&mut server, &thread);
    server.save("interrupts");
}

/// A thread that goes on in another server.
fn resume(codex: &Path, place: &Place) {
    place
        .model
        .then([Reply::done(), Reply::done(), Reply::done()]);
    let mut first = place.start(codex, &[]);
    let thread = first.start_thread(&unasked());
    first.turn(&thread);
    first.end();
    let mut server = place.start(codex, &[]);
    let params = json!({"threadId": thread, "excludeTurns": true});
    server.request("thread/resume", &params);
    server.turn(&thread);
    let missing = json!({"threadId": "019f0000-0000-7000-8000-000000000000"});
    server.request("thread/resume", &missing);
    server.request("thread/archive", &json!({"threadId": thread}));
    server.save("resume");
}

/// A compaction that the client asks for, with a turn before and after.
fn compaction(codex: &Path, place: &Place) {
    place.model.then([
        Reply::done(),
        Reply::message("a summary", Tokens::FEW),
        Reply::done(),
    ]);
    let mut server = place.start(codex, &[]);
    let thread = server.start_thread(&unasked());
    server.turn(&thread);
    server.request("thread/compact/start", &json!({"threadId": thread}));
    server.end_turn();
    server.turn(&thread);
    server.save("compaction");
}

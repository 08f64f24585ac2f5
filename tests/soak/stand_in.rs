//! A stand-in for `codex app-server`: the test's own binary, started again. A shell would take minutes for lines of
//! 10 MB.
//!
//! The prompt of a turn says which tools it calls. All are called at once; when all have answered, the turn completes,
//! and its message says what the answers were.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ffi::OsString,
    io::{self, BufRead, BufWriter, Write},
    path::PathBuf,
};

use serde_json::{Value, json};

/// The variable with the path of the binary, by which the binary knows that it is the stand-in.
pub(crate) const VARIABLE: &str = "SOAK_STAND_IN";

/// How many bytes of an answer are in the message of its turn.
const QUOTED: usize = 200;

/// Returns the script that starts the stand-in.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/soak/stand-in")
}

/// Returns the value of [`VARIABLE`].
pub(crate) fn binary() -> OsString {
    env::current_exe().unwrap().into()
}

/// Returns whether this process is the stand-in.
pub(crate) fn is_this() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// Serves the program until it closes standard input.
pub(crate) fn serve() {
    let mut server = Server {
        out: BufWriter::new(io::stdout().lock()),
        tools: 0,
        ids: 0,
        turns: BTreeMap::new(),
        calls: BTreeMap::new(),
    };
    // The harness has begun a line.
    server.write("\n");
    let mut input = io::stdin().lock();
    let mut line = String::new();
    while input.read_line(&mut line).unwrap() > 0 {
        server.take(&line);
        server.out.flush().unwrap();
        line.clear();
    }
}

struct Server<O> {
    out: O,
    /// The number of tools that the last thread was started with.
    tools: usize,
    ids: u64,
    /// The running turns, by their threads.
    turns: BTreeMap<String, Turn>,
    /// The threads of the open calls, by the ids of the requests, and the numbers of the calls.
    calls: BTreeMap<u64, (String, usize)>,
}

struct Turn {
    id: String,
    calls: Vec<Value>,
    open: BTreeSet<usize>,
    answers: Vec<Value>,
}

impl<O: Write> Server<O> {
    fn write(&mut self, text: &str) {
        // The program may be gone, which the end of standard input tells as well.
        let _ = self.out.write_all(text.as_bytes());
    }

    fn line(&mut self, line: &Value) {
        self.write(&line.to_string());
        self.write("\n");
    }

    fn take(&mut self, line: &str) {
        // An answer is not parsed: a debug build takes long for 10 MB.
        if let Some(rest) = line.strip_prefix(r#"{"id":"#)
            && let Some((id, result)) = rest.split_once(r#","result":"#)
        {
            return self.answered(id.parse().unwrap(), result.trim_end());
        }
        let request: Value = serde_json::from_str(line).unwrap();
        let (id, params) = (&request["id"], &request["params"]);
        let thread = params["threadId"].as_str().unwrap_or_default();
        let result = match request["method"].as_str().unwrap() {
            "thread/start" => {
                self.tools = params["dynamicTools"].as_array().unwrap().len();
                let id = format!("01a2021f-12be-7782-b2de-{:012}", self.next_id());
                json!({"thread": {"id": id}})
            }
            "turn/start" => {
                let id = format!("turn-{}", self.next_id());
                self.line(&json!({"id": request["id"], "result": {"turn": {"id": id}}}));
                let prompt = params["input"][0]["text"].as_str().unwrap();
                return self.begin(thread, id, prompt);
            }
            "turn/interrupt" => {
                self.interrupt(thread);
                json!({})
            }
            _ => json!({}),
        };
        if !id.is_null() {
            self.line(&json!({"id": id, "result": result}));
        }
    }

    fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Begins a turn, with a call for each object of the prompt.
    fn begin(&mut self, thread: &str, id: String, prompt: &str) {
        let of_turn = json!({"threadId": thread, "turn": {"id": id, "status": "inProgress"}});
        self.line(&json!({"method": "turn/started", "params": of_turn}));
        let calls: Vec<Value> = serde_json::from_str(prompt).unwrap();
        let turn = Turn {
            id,
            open: (0..calls.len()).collect(),
            answers: vec![Value::Null; calls.len()],
            calls,
        };
        for (number, call) in turn.calls.iter().enumerate() {
            let mut arguments = call["arguments"].clone();
            let size = usize::try_from(call["size"].as_u64().unwrap()).unwrap();
            arguments["text"] = "x".repeat(size).into();
            let tool = &call["tool"];
            let item = json!({
                "type": "dynamicToolCall", "id": format!("call-{number}"), "namespace": null, "tool": tool,
                "arguments": &arguments, "status": "inProgress", "contentItems": null, "success": null,
            });
            let params = json!({"threadId": thread, "turnId": turn.id, "item": item});
            self.line(&json!({"method": "item/started", "params": params}));
            let params = json!({
                "threadId": thread, "turnId": turn.id, "callId": format!("call-{number}"), "namespace": null,
                "tool": tool, "arguments": arguments,
            });
            let request = self.next_id();
            self.calls.insert(request, (thread.to_owned(), number));
            self.line(&json!({"method": "item/tool/call", "id": request, "params": params}));
        }
        self.turns.insert(thread.to_owned(), turn);
    }

    /// Takes the answer of a tool. Codex repeats it in the item, whole.
    fn answered(&mut self, request: u64, result: &str) {
        let Some((thread, number)) = self.calls.remove(&request) else {
            return;
        };
        // What comes after an interrupt is ignored.
        let Some(mut turn) = self.turns.remove(&thread) else {
            return;
        };
        let (_, items) = result.split_once(r#""contentItems":"#).unwrap();
        let (items, success) = items.rsplit_once(r#","success":"#).unwrap();
        let is_success = success.starts_with("true");
        let (_, text) = items.split_once(r#""text":""#).unwrap();
        let (text, _) = text.split_once('"').unwrap();
        let call = &turn.calls[number];
        let letter = call["arguments"]["letter"].as_str().unwrap();
        turn.answers[number] = json!({
            "tool": call["tool"],
            "success": is_success,
            "bytes": text.len(),
            "is_right": text == letter.repeat(text.len()),
            "text": &text[..text.len().min(QUOTED)],
        });
        let status = if is_success { "completed" } else { "failed" };
        let head = format!(
            r#"{{"method":"item/completed","params":{{"threadId":"{thread}","turnId":"{}","item":{{"type":"dynamicToolCall","id":"call-{number}","namespace":null,"tool":{},"arguments":{},"status":"{status}","success":{is_success},"contentItems":"#,
            turn.id, call["tool"], call["arguments"],
        );
        self.write(&head);
        self.write(items);
        self.write("}}}\n");
        turn.open.remove(&number);
        if turn.open.is_empty() {
            self.complete(&thread, &turn);
        } else {
            self.turns.insert(thread, turn);
        }
    }

    fn complete(&mut self, thread: &str, turn: &Turn) {
        let report = json!({"tools": self.tools, "answers": turn.answers}).to_string();
        let item = json!({"type": "agentMessage", "id": "message", "text": report});
        let params = json!({"threadId": thread, "turnId": turn.id, "item": item});
        self.line(&json!({"method": "item/completed", "params": params}));
        self.end(thread, turn, "completed");
    }

    fn interrupt(&mut self, thread: &str) {
        let Some(turn) = self.turns.remove(thread) else {
            return;
        };
        for number in &turn.open {
            let item = json!({
                "type": "dynamicToolCall", "id": format!("call-{number}"), "namespace": null,
                "tool": turn.calls[*number]["tool"], "arguments": {}, "status": "failed", "success": false,
                "contentItems": [],
            });
            let params = json!({"threadId": thread, "turnId": turn.id, "item": item});
            self.line(&json!({"method": "item/completed", "params": params}));
        }
        self.end(thread, &turn, "interrupted");
    }

    fn end(&mut self, thread: &str, turn: &Turn, status: &str) {
        let params = json!({"threadId": thread, "turn": {"id": turn.id, "status": status}});
        self.line(&json!({"method": "turn/completed", "params": params}));
    }
}

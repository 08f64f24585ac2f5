use std::{
    borrow::Cow,
    io,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    rollouts::Rollouts,
    script,
    threads::{Thread, Threads},
    usage::Usage,
    wire::send,
};

/// How long the model thinks, and pauses between the parts of a text.
const PAUSE: Duration = Duration::from_millis(15);

/// In how many parts a text is streamed.
const PARTS: usize = 4;

/// What a turn is told.
pub(super) enum Signal {
    Interrupt,
    /// What the program has answered.
    Answer(Value),
}

/// Why a turn does not complete.
pub(super) enum End {
    Interrupted,
    Failed {
        /// Codex's name of the kind.
        kind: &'static str,
        message: Cow<'static, str>,
    },
    Io(io::Error),
}

pub(super) type Step<T = ()> = Result<T, End>;

/// A turn that runs.
pub(super) struct Turn {
    thread_id: String,
    id: String,
    input: Value,
    trace: Value,
    has_raw_events: bool,
    signals: Receiver<Signal>,
    /// The tool that runs.
    open: Option<Value>,
    /// How many items there were.
    items: u32,
    /// What the last response of the model has used, and the thread with it.
    last: Usage,
    used: Usage,
}

impl Turn {
    /// Returns the turn that a request starts.
    pub(super) fn new(
        thread_id: &str,
        id: &str,
        request: &Value,
        thread: &Thread,
        signals: Receiver<Signal>,
    ) -> Self {
        Self {
            thread_id: thread_id.to_owned(),
            id: id.to_owned(),
            input: request["params"]["input"].clone(),
            trace: request["trace"].clone(),
            has_raw_events: thread.has_raw_events,
            signals,
            open: None,
            items: 0,
            last: Usage::default(),
            used: thread.used,
        }
    }

    /// Runs the turn to its end.
    pub(super) fn run(mut self, rollouts: &Rollouts, threads: &Threads) -> io::Result<()> {
        let prompt = self.prompt().to_owned();
        let played = self.begin().and_then(|()| script::play(&mut self, &prompt));
        let (status, error) = match played {
            Ok(()) => ("completed", Value::Null),
            Err(End::Interrupted) => ("interrupted", Value::Null),
            Err(End::Failed { kind, message }) => {
                let error = json!({"message": message, "codexErrorInfo": kind});
                ("failed", error)
            }
            Err(End::Io(error)) => return Err(error),
        };
        self.end_tool(
            json!({"status": "failed", "success": false, "contentItems": [], "exitCode": -1}),
        )?;
        if !error.is_null() {
            self.notify("error", json!({"willRetry": false, "error": error}))?;
        }
        let line = json!({
            "turn": self.id, "input": self.input, "trace": self.trace, "status": status,
            "last": self.last.to_json(), "used": self.used.to_json(),
        });
        rollouts.append(&self.thread_id, &line)?;
        // Before the program is told: it may start the next turn at once.
        threads.ended(&self.thread_id, self.used);
        let turn = json!({"id": self.id, "status": status, "error": error});
        self.notify("turn/completed", json!({"turn": turn}))
    }

    fn prompt(&self) -> &str {
        let inputs = self.input.as_array().into_iter().flatten();
        let mut texts = inputs.filter(|input| input["type"] == "text");
        let text = texts.next().and_then(|input| input["text"].as_str());
        text.unwrap_or_default()
    }

    fn begin(&mut self) -> Step {
        let turn = json!({"id": self.id, "status": "inProgress"});
        self.notify("turn/started", json!({"turn": turn}))?;
        let item = json!({"id": self.next_item(), "type": "userMessage"});
        self.notify("item/completed", json!({"item": item}))?;
        Ok(())
    }

    /// Has the model answer with a text, in parts.
    pub(super) fn respond(&mut self, text: &str) -> Step {
        self.pause(PAUSE)?;
        let id = self.start_message()?;
        let words: Vec<_> = text.split_inclusive(char::is_whitespace).collect();
        for part in words.chunks(words.len().div_ceil(PARTS).max(1)) {
            self.write(&id, &part.concat())?;
            self.pause(PAUSE)?;
        }
        self.complete_message(&id, text)
    }

    /// Begins a message of the model, and returns its id.
    pub(super) fn start_message(&mut self) -> Step<String> {
        let id = self.next_item();
        let item = json!({"id": id, "type": "agentMessage", "text": ""});
        self.notify("item/started", json!({"item": item}))?;
        Ok(id)
    }

    /// Adds a part to a message.
    pub(super) fn write(&self, message_id: &str, part: &str) -> Step {
        let delta = json!({"itemId": message_id, "delta": part});
        Ok(self.notify("item/agentMessage/delta", delta)?)
    }

    /// Completes a message, and the response that it is of.
    pub(super) fn complete_message(&mut self, id: &str, text: &str) -> Step {
        let item = json!({"id": id, "type": "agentMessage", "text": text});
        self.notify("item/completed", json!({"item": item}))?;
        self.last = Usage {
            input: 3000 + self.used.output,
            output: 10 + u64::from(self.items),
        };
        self.used += self.last;
        if self.has_raw_events {
            let usage = self.last.to_json();
            let response = json!({"responseId": format!("resp_{id}"), "usage": usage});
            self.notify("rawResponse/completed", response)?;
        }
        Ok(())
    }

    /// Tells the usage of the last response, whose tools have ended.
    pub(super) fn tell_usage(&self) -> Step {
        let usage = json!({"last": self.last.to_json(), "total": self.used.to_json()});
        let usage = json!({"tokenUsage": usage});
        Ok(self.notify("thread/tokenUsage/updated", usage)?)
    }

    /// Starts a command.
    pub(super) fn start_command(&mut self, command: &str) -> Step {
        let item = json!({
            "id": self.next_item(), "type": "commandExecution", "command": command, "status": "inProgress",
        });
        self.start_tool(item)
    }

    /// Pretends that the command has run.
    pub(super) fn run_command(&mut self, output: &str) -> Step {
        self.pause(PAUSE)?;
        let end = json!({"status": "completed", "exitCode": 0, "aggregatedOutput": output});
        Ok(self.end_tool(end)?)
    }

    /// Asks whether the command may run. Returns whether it may; if not, it has ended.
    pub(super) fn approve_command(&mut self, command: &str) -> Step<bool> {
        let params = json!({
            "kind": "command", "itemId": self.open_id(), "command": command,
            "reason": "the command changes files",
        });
        let answer = self.ask("item/commandExecution/requestApproval", params)?;
        let status = match answer["decision"].as_str() {
            Some("accept" | "acceptForSession") => return Ok(true),
            Some("decline" | "cancel") => "declined",
            _ => "failed",
        };
        self.end_tool(json!({"status": status}))?;
        if answer["decision"] == "cancel" {
            return Err(End::Interrupted);
        }
        Ok(false)
    }

    /// Calls a tool of the program, and returns what it says.
    pub(super) fn call(&mut self, tool: &str, arguments: &Value) -> Step<String> {
        let item = json!({
            "id": self.next_item(), "type": "dynamicToolCall", "tool": tool, "arguments": arguments,
            "status": "inProgress",
        });
        self.start_tool(item)?;
        let params = json!({"callId": self.open_id(), "tool": tool, "arguments": arguments});
        let answer = self.ask("item/tool/call", params)?;
        let is_success = answer["success"] == true;
        let status = if is_success { "completed" } else { "failed" };
        let content = &answer["contentItems"];
        let text = content[0]["text"].as_str().unwrap_or_default().to_owned();
        self.end_tool(json!({"status": status, "success": is_success, "contentItems": content}))?;
        Ok(text)
    }

    /// Waits, unless the turn is interrupted.
    pub(super) fn pause(&self, time: Duration) -> Step {
        match self.signals.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            // Nothing was asked, so it is no answer.
            Ok(_) | Err(RecvTimeoutError::Disconnected) => Err(End::Interrupted),
        }
    }

    /// Asks the program something, and waits for the answer.
    fn ask(&self, method: &str, mut params: Value) -> Step<Value> {
        let id = format!("{}:{}", self.id, self.items);
        self.add_ids(&mut params);
        send(&json!({"id": id, "method": method, "params": params}))?;
        match self.signals.recv() {
            Ok(Signal::Answer(answer)) => Ok(answer),
            Ok(Signal::Interrupt) | Err(_) => Err(End::Interrupted),
        }
    }

    fn start_tool(&mut self, item: Value) -> Step {
        self.notify("item/started", json!({"item": item}))?;
        self.open = Some(item);
        Ok(())
    }

    /// Ends the tool that runs, if there is one.
    fn end_tool(&mut self, end: Value) -> io::Result<()> {
        let Some(mut item) = self.open.take() else {
            return Ok(());
        };
        if let (Some(item), Value::Object(end)) = (item.as_object_mut(), end) {
            item.extend(end);
        }
        self.notify("item/completed", json!({"item": item}))
    }

    fn open_id(&self) -> Value {
        self.open
            .as_ref()
            .map_or(Value::Null, |item| item["id"].clone())
    }

    fn next_item(&mut self) -> String {
        self.items += 1;
        // The program knows a tool by it, also in the next turn of the thread.
        format!("item_{:.8}_{}", self.id, self.items)
    }

    fn notify(&self, method: &str, mut params: Value) -> io::Result<()> {
        self.add_ids(&mut params);
        send(&json!({"method": method, "params": params}))
    }

    fn add_ids(&self, params: &mut Value) {
        params["threadId"] = self.thread_id.as_str().into();
        params["turnId"] = self.id.as_str().into();
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

//! The replies of the model.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde_json::{Value, json};

use crate::gate::Gate;

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Server-sent events.
    Stream {
        headers: Vec<(&'static str, String)>,
        events: Vec<Value>,
        ending: Ending,
    },
    /// An HTTP status, headers and a body that is not a stream.
    Plain {
        status: u16,
        headers: Vec<(&'static str, &'static str)>,
        body: Vec<u8>,
    },
    /// A reply of which a number of events is sent at once, and the rest when the gate is open. One that is not a
    /// stream waits as a whole. A reply may be held more than once.
    Held {
        gate: Gate,
        after: usize,
        reply: Box<Reply>,
    },
}

/// The end of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// The body ends.
    Closed,
    /// The connection is cut.
    Cut,
    /// The connection stays open.
    Silence,
    /// The whole body comes after this time, and then ends.
    #[allow(dead_code, reason = "only benchmarks use it")]
    After(Duration),
}

/// The usage of a request, as the model reports it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tokens {
    pub(crate) input: u64,
    pub(crate) cached: u64,
    pub(crate) output: u64,
    pub(crate) reasoning: u64,
}

// === impl Tokens ===

impl Tokens {
    pub(crate) const FEW: Self = Self {
        input: 10,
        cached: 3,
        output: 5,
        reasoning: 2,
    };

    pub(crate) const fn times(self, factor: u64) -> Self {
        Self {
            input: self.input * factor,
            cached: self.cached * factor,
            output: self.output * factor,
            reasoning: self.reasoning * factor,
        }
    }
}

// === impl Reply ===

impl Reply {
    pub(crate) fn message(text: &str, used: Tokens) -> Self {
        let content = json!([{"type": "output_text", "text": text}]);
        let message =
            json!({"type": "message", "role": "assistant", "id": "m1", "content": content});
        Self::items([message], used)
    }

    /// A message that the model writes in parts.
    pub(crate) fn streamed(parts: &[&str], used: Tokens) -> Self {
        let id = unique("m");
        let message = |content: Value| json!({"type": "message", "role": "assistant", "id": id, "content": content});
        let delta =
            |part| json!({"type": "response.output_text.delta", "item_id": id, "delta": part});
        let mut events =
            vec![json!({"type": "response.output_item.added", "item": message(json!([]))})];
        events.extend(parts.iter().map(delta));
        let whole = message(json!([{"type": "output_text", "text": parts.concat()}]));
        Self::items([whole], used).after(events)
    }

    /// Reasoning, with a summary in parts, and a message.
    pub(crate) fn reasoned(parts: &[&str], text: &str, used: Tokens) -> Self {
        let id = unique("rs");
        let reasoning = |summary: Value| json!({"type": "reasoning", "id": id, "summary": summary});
        let about = |kind: &str, mut event: Value| {
            event["type"] = format!("response.{kind}").into();
            event["item_id"] = id.as_str().into();
            event["summary_index"] = 0.into();
            event
        };
        let part = json!({"type": "summary_text", "text": ""});
        let mut events = vec![
            json!({"type": "response.output_item.added", "item": reasoning(json!([]))}),
            about("reasoning_summary_part.added", json!({"part": part})),
        ];
        let delta = |part: &&str| about("reasoning_summary_text.delta", json!({"delta": part}));
        events.extend(parts.iter().map(delta));
        let whole = reasoning(json!([{"type": "summary_text", "text": parts.concat()}]));
        let content = json!([{"type": "output_text", "text": text}]);
        let message =
            json!({"type": "message", "role": "assistant", "id": unique("m"), "content": content});
        Self::items([whole, message], used).after(events)
    }

    /// Sends some events before those of the reply, and after the one of its begin.
    fn after(mut self, before: Vec<Value>) -> Self {
        if let Self::Stream { events, .. } = &mut self {
            events.splice(1..1, before);
        }
        self
    }

    /// Adds a header to the answer.
    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        match &mut self {
            Self::Stream { headers, .. } => headers.push((name, value.to_owned())),
            other => panic!("{other:?} is not a stream"),
        }
        self
    }

    /// Holds the reply until the gate is open. A stream has begun by then.
    pub(crate) fn held(self, gate: &Gate) -> Self {
        self.held_after(1, gate)
    }

    /// Holds the rest of the reply after a number of events until the gate is open.
    pub(crate) fn held_after(self, after: usize, gate: &Gate) -> Self {
        let (gate, reply) = (gate.clone(), Box::new(self));
        Self::Held { gate, after, reply }
    }

    /// Sends a number of events, and once the gate is open a failure instead of the rest.
    pub(crate) fn failing_after(self, after: usize, gate: &Gate) -> Self {
        let failure = Self::failure("invalid_prompt", "no");
        match (self, failure) {
            (
                Self::Stream { mut events, .. },
                Self::Stream {
                    events: failure, ..
                },
            ) => {
                events.splice(after.., failure.into_iter().skip(1));
                Self::stream(events.into_iter().skip(1), Ending::Closed).held_after(after, gate)
            }
            (other, _) => panic!("{other:?} is not a stream"),
        }
    }

    /// A last message.
    pub(crate) fn done() -> Self {
        Self::message("done", Tokens::FEW)
    }

    pub(crate) fn shell(command: &str) -> Self {
        Self::shells([command])
    }

    /// Several commands at once.
    pub(crate) fn shells<'a>(commands: impl IntoIterator<Item = &'a str>) -> Self {
        let calls = commands.into_iter();
        Self::items(calls.map(|cmd| exec(&json!({"cmd": cmd}))), Tokens::FEW)
    }

    /// A command that still runs when Codex asks the model again.
    pub(crate) fn shell_in_background(command: &str) -> Self {
        let call = exec(&json!({"cmd": command, "yield_time_ms": 300}));
        Self::items([call], Tokens::FEW)
    }

    pub(crate) fn patch(patch: &str) -> Self {
        let call = json!({
            "type": "custom_tool_call", "call_id": call_id(), "name": "apply_patch", "input": patch,
        });
        Self::items([call], Tokens::FEW)
    }

    /// A script, by which newer models call tools.
    pub(crate) fn script(script: &str) -> Self {
        let call = json!({
            "type": "custom_tool_call", "call_id": call_id(), "name": "exec", "input": script,
        });
        Self::items([call], Tokens::FEW)
    }

    /// A call of an MCP server's tool.
    pub(crate) fn mcp(server: &str, tool: &str) -> Self {
        let call = json!({
            "type": "function_call", "call_id": call_id(), "namespace": format!("mcp__{server}"),
            "name": tool, "arguments": "{}",
        });
        Self::items([call], Tokens::FEW)
    }

    /// A last message that takes the model this time.
    #[allow(dead_code, reason = "only benchmarks use it")]
    pub(crate) fn done_after(time: Duration) -> Self {
        let mut reply = Self::done();
        if let Self::Stream { ending, .. } = &mut reply {
            *ending = Ending::After(time);
        }
        reply
    }

    pub(crate) fn failure(code: &str, message: &str) -> Self {
        let error = json!({"code": code, "message": message});
        let failed = json!({"type": "response.failed", "response": {"id": "r1", "error": error}});
        Self::stream([failed], Ending::Closed)
    }

    /// A response that reports that it is incomplete.
    pub(crate) fn incomplete(reason: &str) -> Self {
        let response = json!({"id": "r1", "incomplete_details": {"reason": reason}});
        let incomplete = json!({"type": "response.incomplete", "response": response});
        Self::stream([incomplete], Ending::Closed)
    }

    /// A reply that is not a stream.
    pub(crate) fn plain(
        status: u16,
        headers: impl Into<Vec<(&'static str, &'static str)>>,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        Self::Plain {
            status,
            headers: headers.into(),
            body: body.into(),
        }
    }

    /// A status with a JSON body.
    pub(crate) fn status(status: u16, body: impl Into<String>) -> Self {
        let json = [("content-type", "application/json")];
        Self::plain(status, json, body.into())
    }

    /// A status with an error code in its body, in OpenAI's format.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let error = json!({"error": {"type": code, "code": code, "message": message}});
        Self::status(status, error.to_string())
    }

    /// A stream of any bytes.
    pub(crate) fn bytes(body: impl Into<Vec<u8>>) -> Self {
        Self::plain(200, [("content-type", "text/event-stream")], body)
    }

    /// A stream without its last event.
    pub(crate) fn unfinished(ending: Ending) -> Self {
        Self::stream([], ending)
    }

    /// A call of a tool by name, with any arguments.
    pub(crate) fn call(name: &str, arguments: &str) -> Self {
        let call = json!({
            "type": "function_call", "call_id": call_id(), "name": name, "arguments": arguments,
        });
        Self::items([call], Tokens::FEW)
    }

    /// Calls of tools by name at once, with their arguments. The name of a tool in a namespace has that before a dot.
    pub(crate) fn calls<'a>(calls: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let call = |(name, arguments): (&str, Value)| {
            let mut call = json!({
                "type": "function_call", "call_id": call_id(), "name": name,
                "arguments": arguments.to_string(),
            });
            if let Some((namespace, name)) = name.split_once('.') {
                call["namespace"] = namespace.into();
                call["name"] = name.into();
            }
            call
        };
        Self::items(calls.into_iter().map(call), Tokens::FEW)
    }

    fn items(items: impl IntoIterator<Item = Value>, used: Tokens) -> Self {
        let done = |item| json!({"type": "response.output_item.done", "item": item});
        let mut events: Vec<_> = items.into_iter().map(done).collect();
        let usage = json!({
            "input_tokens": used.input,
            "input_tokens_details": {"cached_tokens": used.cached},
            "output_tokens": used.output,
            "output_tokens_details": {"reasoning_tokens": used.reasoning},
            "total_tokens": used.input + used.output,
        });
        let response = json!({"id": unique("r"), "usage": usage});
        events.push(json!({"type": "response.completed", "response": response}));
        Self::stream(events, Ending::Closed)
    }

    pub(crate) fn stream(rest: impl IntoIterator<Item = Value>, ending: Ending) -> Self {
        let mut events = vec![json!({"type": "response.created", "response": {"id": "r1"}})];
        events.extend(rest);
        Self::Stream {
            headers: Vec::new(),
            events,
            ending,
        }
    }
}

fn exec(arguments: &Value) -> Value {
    json!({
        "type": "function_call", "call_id": call_id(), "name": "exec_command",
        "arguments": arguments.to_string(),
    })
}

/// Unique also among the turns of a thread, whose requests repeat the earlier calls.
fn call_id() -> String {
    unique("c")
}

fn unique(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}{}", NEXT.fetch_add(1, Relaxed))
}

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::turn::{Usage, app_server::CodexAppServerBuilder};

/// A line of the server about a turn, without its ids: the method, and its fields.
type News = (&'static str, Value);

fn item_id() -> impl Strategy<Value = &'static str> {
    select(&["i", "j", "k"][..])
}

fn word() -> impl Strategy<Value = &'static str> {
    select(
        &[
            "",
            "hello",
            "completed",
            "failed",
            "inProgress",
            "declined",
            "x y",
        ][..],
    )
}

fn item() -> impl Strategy<Value = Value> {
    let kinds = [
        "agentMessage",
        "reasoning",
        "plan",
        "commandExecution",
        "fileChange",
        "mcpToolCall",
        "dynamicToolCall",
        "collabAgentToolCall",
        "webSearch",
        "contextCompaction",
        "userMessage",
        "hologram",
    ];
    let fields = (
        select(kinds.to_vec()),
        item_id(),
        word(),
        word(),
        any::<u8>(),
    );
    fields.prop_map(|(kind, id, text, status, number)| {
        json!({
            "type": kind, "id": id, "text": text, "command": text, "aggregatedOutput": text,
            "server": text, "tool": text, "status": status, "exitCode": number, "durationMs": number,
            "changes": [{"path": text, "kind": {"type": "update"}, "diff": text}],
        })
    })
}

fn tokens() -> impl Strategy<Value = Value> {
    let count = prop_oneof![4 => 0..100_u64, 1 => any::<u64>()];
    (count.clone(), count)
        .prop_map(|(input, output)| json!({"inputTokens": input, "outputTokens": output}))
}

/// News of a turn that has begun, other than its end.
fn news() -> impl Strategy<Value = News> {
    let delta = [
        "item/agentMessage/delta",
        "item/reasoning/summaryTextDelta",
        "item/commandExecution/outputDelta",
    ];
    let stage = ["item/started", "item/completed"];
    let others = [
        "turn/plan/updated",
        "warning",
        "hologram/shown",
        "turn/diff/updated",
    ];
    prop_oneof![
        6 => (select(stage.to_vec()), item()).prop_map(|(method, item)| (method, json!({"item": item}))),
        3 => (select(delta.to_vec()), item_id(), word())
            .prop_map(|(method, id, delta)| (method, json!({"itemId": id, "delta": delta}))),
        2 => (tokens(), tokens()).prop_map(|(last, total)| {
            ("thread/tokenUsage/updated", json!({"tokenUsage": {"last": last, "total": total}}))
        }),
        2 => (word(), proptest::option::of(tokens())).prop_map(|(id, usage)| {
            ("rawResponse/completed", json!({"responseId": id, "usage": usage}))
        }),
        1 => (any::<bool>(), word()).prop_map(|(will_retry, message)| {
            ("error", json!({"willRetry": will_retry, "error": {"message": message}}))
        }),
        1 => (select(others.to_vec()), word())
            .prop_map(|(method, text)| (method, json!({"message": text, "plan": [{"step": text}]}))),
    ]
}

fn completed() -> impl Strategy<Value = News> {
    let status = ["completed", "failed", "interrupted", "odd"];
    (select(status.to_vec()), word()).prop_map(|(status, message)| {
        let turn = json!({"status": status, "error": {"message": message}});
        ("turn/completed", json!({"turn": turn}))
    })
}

fn notification((method, fields): &News, thread: &str, turn: &str) -> String {
    let mut params = json!({"threadId": thread, "turnId": turn});
    if let (Value::Object(params), Value::Object(fields)) = (&mut params, fields) {
        params.extend(fields.clone());
    }
    json!({"method": method, "params": params}).to_string()
}

fn question() -> impl Strategy<Value = News> {
    let methods = [
        "item/commandExecution/requestApproval",
        "item/fileChange/requestApproval",
        "item/permissions/requestApproval",
        "mcpServer/elicitation/request",
        "item/tool/call",
        "weather/ask",
    ];
    let tools = ["t", "u", "v", "w", "unknown"];
    let fields = (
        select(methods.to_vec()),
        item_id(),
        word(),
        select(tools.to_vec()),
    );
    fields.prop_map(|(method, id, text, tool)| {
        let fields = json!({
            "itemId": id, "command": text, "permissions": {"network": text},
            "_meta": {"codex_approval_kind": "mcp_tool_call"}, "serverName": text, "mode": "form",
            "proposedExecpolicyAmendment": [text], "callId": id, "tool": tool, "arguments": {"a": text},
        });
        (method, fields)
    })
}

/// A whole turn, from the answer to its request to its end, as lines.
fn turn(place: usize) -> impl Strategy<Value = Vec<String>> {
    (vec(news(), 0..10), completed()).prop_map(move |(news, end)| {
        let (thread, id) = (THREADS[place], format!("turn-{place}"));
        let answer = json!({"id": FIRST_START + place, "result": {"turn": {"id": id}}});
        let started = ("turn/started", json!({}));
        let all = [started].into_iter().chain(news).chain([end]);
        let lines = all.map(|news| notification(&news, thread, &id));
        [answer.to_string()].into_iter().chain(lines).collect()
    })
}

/// Any line, of a known form or not.
fn any_line() -> impl Strategy<Value = String> {
    let thread = || select(&["a", "b", "c", "d"][..]);
    let turn = || select(&["turn-0", "turn-1", "turn-2", "turn-9"][..]);
    let other = [
        "turn/started",
        "thread/closed",
        "turn/completed",
        "account/rateLimits/updated",
    ];
    prop_oneof![
        6 => (news(), thread(), turn()).prop_map(|(news, thread, turn)| notification(&news, thread, turn)),
        2 => (completed(), thread(), turn()).prop_map(|(news, thread, turn)| notification(&news, thread, turn)),
        2 => (select(other.to_vec()), thread(), turn())
            .prop_map(|(method, thread, turn)| notification(&(method, json!({})), thread, turn)),
        2 => (question(), thread(), turn(), 0..4_u8).prop_map(|(question, thread, turn, id)| {
            let line = notification(&question, thread, turn);
            format!("{{\"id\":{id},{}", &line[1..])
        }),
        2 => (0..12_u64, turn(), any::<bool>()).prop_map(|(id, turn, is_error)| {
            let key = if is_error { "error" } else { "result" };
            json!({"id": id, key: {"turn": {"id": turn}, "code": 7, "message": "no"}}).to_string()
        }),
        1 => any::<String>().prop_map(|text| text.replace('\n', "")),
        1 => vec(any::<u8>(), 0..40).prop_map(|bytes| String::from_utf8_lossy(&bytes).replace('\n', "")),
    ]
}

fn joined(lines: &[String]) -> Vec<u8> {
    lines
        .iter()
        .flat_map(|line| [line.as_bytes(), b"\n"].concat())
        .collect()
}

/// Merges lists by picks, and keeps the order of each.
fn merged(lists: &[Vec<String>], picks: &[prop::sample::Index]) -> Vec<String> {
    let mut rests: Vec<_> = lists.iter().map(|list| list.iter()).collect();
    let mut merged = Vec::new();
    for pick in picks {
        merged.extend(rests[pick.index(lists.len())].next().cloned());
    }
    merged.extend(rests.into_iter().flatten().cloned());
    merged
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn turns_end_whatever_their_server_writes(
        lines in vec(any_line(), 0..40),
        sizes in vec(0..400_u16, 0..4),
        choice in any::<u8>(),
    ) {
        any_server(&joined(&lines), &sizes, choice);
    }

    #[test]
    fn turns_end_whatever_bytes_are_among_the_lines(
        lines in vec(any_line(), 0..10),
        bytes in vec(any::<u8>(), 0..100),
        more in vec(any_line(), 0..10),
        choice in any::<u8>(),
    ) {
        any_server(&[joined(&lines), bytes, joined(&more)].concat(), &[], choice);
    }

    #[test]
    fn results_do_not_depend_on_the_sizes_of_the_reads(
        lines in vec(any_line(), 0..40),
        sizes in vec(0..200_u16, 1..6),
    ) {
        any_reads(&joined(&lines), &sizes);
    }

    #[test]
    fn a_turn_is_made_of_its_own_lines_alone(
        turns in (turn(0), turn(1), turn(2)),
        strays in vec((news(), any::<bool>()), 0..6),
        picks in vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let turns = [turns.0, turns.1, turns.2];
        // News of threads that are not there, and of other turns of those that are. What a thread has used
        // counts for its next turn, whichever turn it was.
        let strays: Vec<_> = strays
            .into_iter()
            .map(|((method, fields), has_thread)| {
                let has_thread = has_thread && method != "thread/tokenUsage/updated";
                let (thread, turn) = if has_thread { ("b", "turn-9") } else { ("d", "turn-1") };
                notification(&(method, fields), thread, turn)
            })
            .collect();
        let all = [&turns[..], &[strays]].concat();
        let together = run(&joined(&merged(&all, &picks)), &[], 0);
        for (place, turn) in turns.iter().enumerate() {
            let alone = run(&joined(turn), &[], 0);
            prop_assert_eq!(&together[place], &alone[place]);
        }
    }

    #[test]
    fn a_call_of_a_tool_of_the_program_is_one_event_in_its_turn_in_any_order_of_the_lines(
        calls in vec(host_call(), 1..8),
        picks in vec(any::<prop::sample::Index>(), 0..24),
        sizes in vec(0..400_u16, 0..4),
        is_timed in any::<bool>(),
        status in select(&["completed", "interrupted"][..]),
    ) {
        let lists: Vec<_> = calls.iter().enumerate().map(|(place, call)| call.lines(place)).collect();
        let answer = json!({"id": FIRST_START, "result": {"turn": {"id": "turn-0"}}});
        let mut lines = vec![answer.to_string()];
        lines.push(notification(&("turn/started", json!({})), "a", "turn-0"));
        lines.extend(merged(&lists, &picks));
        let end = ("turn/completed", json!({"turn": {"status": status}}));
        lines.push(notification(&end, "a", "turn-0"));
        let sink = MemorySink::new();
        let (_, tools) = host_tools(&sink, is_timed);
        let events = events_with(&joined(&lines), &sizes, &sink, |builder| builder.tools(tools));
        check_calls(&events);
        let ends = |operation| {
            let mut ends = events.clone();
            ends.retain(|event| event.kind().is_terminal() && event.operation() == operation);
            ends
        };
        let turn = &ends(Operation::Turn)[0];
        let tools = ends(Operation::Tool);
        let mut ids: Vec<_> = tools.iter().filter_map(Event::call_id).collect();
        ids.sort_unstable();
        let expected: Vec<_> = (0..calls.len()).map(|place| format!("call-{place}")).collect();
        prop_assert_eq!(ids, expected, "{:#?}", lines);
        for tool in &tools {
            prop_assert_eq!(tool.parent_span_id(), Some(turn.span_id()));
        }
    }

    #[test]
    fn the_tokens_of_the_responses_are_those_of_the_turn(
        responses in vec(response(), 1..5),
        has_ends in any::<bool>(),
    ) {
        let mut lines = Vec::new();
        let mut total = Usage::default();
        lines.push(json!({"id": FIRST_START, "result": {"turn": {"id": "turn-0"}}}).to_string());
        lines.push(notification(&("turn/started", json!({})), "a", "turn-0"));
        for (place, response) in responses.iter().enumerate() {
            for news in response.news(place, has_ends, &mut total) {
                lines.push(notification(&news, "a", "turn-0"));
            }
        }
        let end = ("turn/completed", json!({"turn": {"status": "completed"}}));
        lines.push(notification(&end, "a", "turn-0"));
        let [turn, _, _] = run(&joined(&lines), &[], 0);
        let turn = turn.expect("it has completed");
        prop_assert_eq!(turn.usage, Some(total), "{:#?}", lines);
        prop_assert_eq!(turn.thread_usage, Some(total));
        let events = events_of(&joined(&lines));
        let is_chat = |event: &&Event| event.kind().is_terminal() && event.operation() == Operation::Chat;
        let chats: Vec<_> = events.iter().filter(is_chat).collect();
        prop_assert_eq!(chats.len(), responses.len(), "{:#?}", lines);
        let sum = |name| chats.iter().filter_map(|chat| number(chat, name)).sum::<i64>();
        prop_assert_eq!(sum(names::INPUT_TOKENS), i64::try_from(total.input_tokens).unwrap(), "{:#?}", lines);
        prop_assert_eq!(sum(names::OUTPUT_TOKENS), i64::try_from(total.output_tokens).unwrap(), "{:#?}", lines);
    }
}

/// A call of a tool of the program, and what its server tells of it.
#[derive(Clone, Debug)]
struct HostCall {
    tool: &'static str,
    is_item_first: bool,
    is_completed: bool,
}

fn host_call() -> impl Strategy<Value = HostCall> {
    let tools = ["t", "u", "v", "w", "unknown"];
    (select(tools.to_vec()), any::<bool>(), any::<bool>()).prop_map(
        |(tool, is_item_first, is_completed)| HostCall {
            tool,
            is_item_first,
            is_completed,
        },
    )
}

impl HostCall {
    fn lines(&self, place: usize) -> Vec<String> {
        let id = format!("call-{place}");
        let item = |stage: &'static str, status: &str| {
            let item =
                json!({"type": "dynamicToolCall", "id": id, "tool": self.tool, "status": status});
            notification(&(stage, json!({"item": item})), "a", "turn-0")
        };
        let fields = json!({"callId": id, "tool": self.tool, "arguments": {}});
        let call = notification(&("item/tool/call", fields), "a", "turn-0");
        let mut lines = vec![
            item("item/started", "inProgress"),
            format!("{{\"id\":{place},{}", &call[1..]),
        ];
        if !self.is_item_first {
            lines.reverse();
        }
        if self.is_completed {
            lines.push(item("item/completed", "completed"));
        }
        lines
    }
}

/// A response of the model, and the order in which Codex tells of it.
#[derive(Clone, Debug)]
struct Response {
    has_text: bool,
    streams: bool,
    tools: usize,
    input: u64,
    output: u64,
    /// Where the ends of the response and its usage are among the news of the tools.
    end: prop::sample::Index,
    usage: prop::sample::Index,
}

fn response() -> impl Strategy<Value = Response> {
    let index = any::<prop::sample::Index>;
    (
        any::<bool>(),
        any::<bool>(),
        0..3_usize,
        1..100_u64,
        1..100_u64,
        index(),
        index(),
    )
        .prop_map(
            |(has_text, streams, tools, input, output, end, usage)| Response {
                has_text,
                streams,
                tools,
                input,
                output,
                end,
                usage,
            },
        )
}

impl Response {
    fn news(&self, place: usize, has_ends: bool, total: &mut Usage) -> Vec<News> {
        let text = format!("text-{place}");
        let mut news = Vec::new();
        let message = json!({"type": "agentMessage", "id": text, "text": "hello"});
        if self.has_text {
            if self.streams {
                news.push(("item/started", json!({"item": message})));
                let delta = json!({"itemId": text, "delta": "hello"});
                news.push(("item/agentMessage/delta", delta));
            }
            news.push(("item/completed", json!({"item": message})));
        }
        let mut after = Vec::new();
        let tool = |status, tool| {
            let id = format!("tool-{place}-{tool}");
            json!({"item": {"type": "commandExecution", "id": id, "command": "x", "status": status}})
        };
        after.extend((0..self.tools).map(|number| ("item/started", tool("inProgress", number))));
        after.extend((0..self.tools).map(|number| ("item/completed", tool("completed", number))));
        let last = json!({"inputTokens": self.input, "outputTokens": self.output});
        *total += Usage {
            input_tokens: self.input,
            output_tokens: self.output,
            ..Usage::default()
        };
        let all = json!({"inputTokens": total.input_tokens, "outputTokens": total.output_tokens});
        let mut earliest = 0;
        if has_ends {
            let end = json!({"responseId": text, "usage": last});
            // It has ended before any of its tools has, and its usage comes later.
            earliest = self.end.index(self.tools + 1);
            after.insert(earliest, ("rawResponse/completed", end));
            earliest += 1;
        }
        let usage = json!({"tokenUsage": {"last": last, "total": all}});
        let place = earliest + self.usage.index(after.len() - earliest + 1);
        after.insert(place, ("thread/tokenUsage/updated", usage));
        news.extend(after);
        news
    }
}

/// Returns the events of the first turn.
fn events_of(output: &[u8]) -> Vec<Event> {
    events_with(output, &[], &MemorySink::new(), |builder| builder)
}

/// Returns the events of the first turn, of a service that is configured in a way.
fn events_with(
    output: &[u8],
    sizes: &[u16],
    sink: &MemorySink,
    configure: impl FnOnce(CodexAppServerBuilder) -> CodexAppServerBuilder,
) -> Vec<Event> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let service = |server| {
        let builder = configure(CodexAppServer::builder());
        builder.build().with_server(server)
    };
    let _ = runtime.block_on(converse(output, sizes, sink, service));
    let events = sink.events();
    let is_first = |event: &&Event| event.thread_id() == Some("a");
    let first = events.iter().find(is_first).map(Event::trace_id);
    events
        .iter()
        .filter(|event| Some(event.trace_id()) == first)
        .cloned()
        .collect()
}

//! Properties that hold for anything that a server writes. Property tests and a fuzz target check them.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::ready,
    process::ExitStatus,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use opentelemetry::SpanId;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream},
    sync::oneshot,
    task::yield_now,
    time::timeout,
};
use tower::{ServiceExt, service_fn};
use tower_layer::Layer;

use super::{
    CodexAppServer,
    peer::{Options, PipeEnd, connect, pipe},
    server::Server,
};
use crate::{
    approval::{ApprovalRequest, Decision},
    event::{Event, EventKind, Operation, names},
    sink::MemorySink,
    timing::TimingLayer,
    turn::{Turn, TurnRequest},
};

/// The threads of the turns that run while the server writes. The requests that start the turns have the ids from
/// [`FIRST_START`] on, in the same order.
const THREADS: [&str; 3] = ["a", "b", "c"];

#[cfg(test)]
const FIRST_START: usize = 1 + THREADS.len();

/// The longest line, in bytes.
const LINE_LIMIT: usize = 16 * 1024;

/// How far apart two times may be that are the same: the clock is read twice.
const TOLERANCE: Duration = Duration::from_millis(1);

/// How often turns are run whose times are not in order. A thread may be suspended between two readings of the clock.
const TRIES: usize = 5;

/// How the turns of a server ended: their results, or the texts of their errors.
type Results = [Result<Turn, String>; THREADS.len()];

/// Checks that three turns end whatever their server writes before it exits, that each call has one start and one
/// end, that the responses of the model add up to their turn, and that Codex is told a yes only if the approver
/// said so. `choice` is what the approver says.
#[allow(unreachable_pub, reason = "a fuzz target reaches it")]
pub fn any_server(output: &[u8], sizes: &[u16], choice: u8) {
    let _ = run(output, sizes, choice);
}

/// Checks that the results of turns do not depend on the sizes of the reads.
#[allow(unreachable_pub, reason = "a fuzz target reaches it")]
pub fn any_reads(output: &[u8], sizes: &[u16]) {
    let whole = run(output, &[], 0);
    let pieces = run(output, sizes, 0);
    assert!(whole == pieces, "{whole:?}\n{pieces:?}");
}

/// Runs three turns with a server that writes `output` once it has their requests, in pieces of given sizes, in a
/// cycle.
fn run(output: &[u8], sizes: &[u16], choice: u8) -> Results {
    for _ in 1..TRIES {
        if let (results, true) = try_to_run(output, sizes, choice) {
            return results;
        }
    }
    let (results, is_in_order) = try_to_run(output, sizes, choice);
    assert!(
        is_in_order,
        "responses of the model overlap, or are not within their turn"
    );
    results
}

/// Returns the results of the turns, and whether the responses are within their turns, one after the other.
fn try_to_run(output: &[u8], sizes: &[u16], choice: u8) -> (Results, bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let decision = match choice % 4 {
        0 => Decision::decline("no"),
        1 => Decision::Cancel,
        2 => Decision::Accept,
        _ => Decision::AcceptForSession,
    };
    let accepts = choice % 4 >= 2;
    let sink = MemorySink::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let (results, written) = runtime.block_on(async {
        let service = |server| {
            let asked = Arc::clone(&asked);
            let approver = service_fn(move |_: ApprovalRequest| {
                asked.fetch_add(1, Relaxed);
                ready(Ok::<_, Infallible>(decision.clone()))
            });
            let builder = CodexAppServer::builder().codex("/no/such/codex");
            let builder = builder.approver(approver, Duration::from_secs(60));
            builder.build().with_server(server)
        };
        timeout(
            Duration::from_secs(60),
            converse(output, sizes, &sink, service),
        )
        .await
        .expect("it hangs")
    });
    let accepted = written.iter().filter(|line| is_acceptance(line)).count();
    let asked = asked.load(Relaxed);
    assert!(accepted <= if accepts { asked } else { 0 }, "{written:?}");
    (results, check_calls(&sink.events()))
}

/// Returns the results of the turns, and what the program has written.
async fn converse(
    output: &[u8],
    sizes: &[u16],
    sink: &MemorySink,
    service: impl FnOnce(Server) -> CodexAppServer,
) -> (Results, Vec<Value>) {
    let options = Options {
        line_limit: LINE_LIMIT,
        ..Options::default()
    };
    let (stdout, mut theirs) = pipe();
    let (stderr, _) = pipe();
    let (exit, exited) = oneshot::channel();
    let (router, _, stdin, serving) = connect(&options, stdout, stderr, exited);
    let service = service(Server::of_router(Arc::clone(&router)));
    let turns = THREADS.map(|_| {
        let layered = TimingLayer::new(sink.clone()).layer(service.clone());
        tokio::spawn(layered.oneshot(TurnRequest::new("a prompt")))
    });
    let mut stdin = BufReader::new(stdin);
    for thread in THREADS {
        let request = line(&mut stdin).await.expect("a request");
        let answer = json!({"id": request["id"], "result": {"thread": {"id": thread}}});
        let answer = format!("{answer}\n");
        theirs.write_all(answer.as_bytes()).await.expect("a pipe");
    }
    for thread in THREADS {
        let request = line(&mut stdin).await.expect("a request");
        assert_eq!(request["params"]["threadId"], thread);
    }
    let written = tokio::spawn(async move {
        let mut lines = Vec::new();
        while let Some(line) = line(&mut stdin).await {
            lines.push(line);
        }
        lines
    });
    feed(&mut theirs, output, sizes).await;
    drop(theirs);
    // An error means that it was killed before.
    let _ = exit.send(ExitStatus::default());
    serving.await.expect("the connection does not panic");
    assert!(router.over().is_some());
    assert_eq!(router.thread_count(), 0);
    let [first, second, third] = turns.map(|turn| async {
        let turn = turn.await.expect("a turn does not panic");
        turn.map_err(|error| format!("{error:?}"))
    });
    let results = [first.await, second.await, third.await];
    assert_eq!(service.active(), 0);
    (results, written.await.expect("lines"))
}

async fn feed(pipe: &mut PipeEnd, output: &[u8], sizes: &[u16]) {
    let mut sizes = sizes.iter().cycle();
    let mut rest = output;
    while !rest.is_empty() {
        let size = sizes.next().map_or(rest.len(), |size| (*size).into());
        let (piece, after) = rest.split_at(size.clamp(1, rest.len()));
        rest = after;
        if pipe.write_all(piece).await.is_err() {
            // The program does not read any more.
            return;
        }
        // Of a size of 0 the turns get no time after the piece.
        for _ in 0..size.min(4) {
            yield_now().await;
        }
    }
}

async fn line(stdin: &mut BufReader<DuplexStream>) -> Option<Value> {
    let mut line = String::new();
    stdin.read_line(&mut line).await.expect("a pipe");
    serde_json::from_str(&line).ok()
}

/// Returns whether a line tells Codex that it may do something.
fn is_acceptance(line: &Value) -> bool {
    let result = &line["result"];
    let decision = &result["decision"];
    let is_yes = decision.is_object()
        || decision
            .as_str()
            .is_some_and(|decision| decision.starts_with("accept"));
    let has_permissions = result["permissions"]
        .as_object()
        .is_some_and(|all| !all.is_empty());
    is_yes || has_permissions || result["action"] == "accept" || result["success"] == true
}

/// Checks that each call has one start and one end, and that the responses of the model are as many as their turns
/// say. Returns whether they are within their turns, one after the other.
fn check_calls(events: &[Event]) -> bool {
    let mut open: HashMap<SpanId, Option<SpanId>> = HashMap::new();
    let mut ended = Vec::new();
    for event in events {
        if event.kind() == EventKind::Start {
            let parent = event.parent_span_id();
            assert!(
                parent.is_none_or(|parent| open.contains_key(&parent)),
                "{event:?}"
            );
            assert!(open.insert(event.span_id(), parent).is_none(), "{event:?}");
        } else {
            assert!(open.remove(&event.span_id()).is_some(), "{event:?}");
            let is_parent = open.values().any(|parent| *parent == Some(event.span_id()));
            assert!(!is_parent, "{event:?}");
            ended.push(event);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    let turns = ended
        .iter()
        .filter(|event| event.operation() == Operation::Turn);
    let mut is_in_order = true;
    for turn in turns {
        let of_turn = |event: &&&Event| {
            event.operation() == Operation::Chat && event.parent_span_id() == Some(turn.span_id())
        };
        let responses: Vec<_> = ended.iter().filter(of_turn).copied().collect();
        is_in_order &= are_in_order(turn, &responses);
        let count = number(turn, names::INFERENCE_CALLS).unwrap_or_default();
        assert_eq!(usize::try_from(count), Ok(responses.len()), "{turn:?}");
    }
    is_in_order
}

fn are_in_order(turn: &Event, responses: &[&Event]) -> bool {
    let mut spans: Vec<_> = responses.iter().map(|event| span(event)).collect();
    spans.sort();
    let (mut earliest, latest) = span(turn);
    spans.into_iter().all(|(begins, ends)| {
        let is_after = begins + TOLERANCE >= earliest;
        earliest = ends;
        is_after && begins <= ends && ends <= latest + TOLERANCE
    })
}

/// Returns when a call began and ended.
fn span(event: &Event) -> (SystemTime, SystemTime) {
    (event.start_time(), event.time())
}

fn number(event: &Event, name: &str) -> Option<i64> {
    match event.attribute(name) {
        Some(opentelemetry::Value::I64(number)) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;
    use crate::turn::Usage;

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
        (select(methods.to_vec()), item_id(), word()).prop_map(|(method, id, text)| {
            let fields = json!({
                "itemId": id, "command": text, "permissions": {"network": text},
                "_meta": {"codex_approval_kind": "mcp_tool_call"}, "serverName": text, "mode": "form",
                "proposedExecpolicyAmendment": [text],
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
            after
                .extend((0..self.tools).map(|number| ("item/started", tool("inProgress", number))));
            after.extend(
                (0..self.tools).map(|number| ("item/completed", tool("completed", number))),
            );
            let last = json!({"inputTokens": self.input, "outputTokens": self.output});
            *total += Usage {
                input_tokens: self.input,
                output_tokens: self.output,
                ..Usage::default()
            };
            let all =
                json!({"inputTokens": total.input_tokens, "outputTokens": total.output_tokens});
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
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let sink = MemorySink::new();
        let service = |server| CodexAppServer::builder().build().with_server(server);
        let _ = runtime.block_on(converse(output, &[], &sink, service));
        let events = sink.events();
        let is_first = |event: &&Event| event.thread_id() == Some("a");
        let first = events.iter().find(is_first).map(Event::trace_id);
        events
            .iter()
            .filter(|event| Some(event.trace_id()) == first)
            .cloned()
            .collect()
    }
}

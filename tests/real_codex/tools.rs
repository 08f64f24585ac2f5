//! The tool calls inside a turn.

use std::{fs, time::Duration};

use codex_telemetry::{
    ErrorClass, Outcome,
    event::names,
    turn::{ItemKind, ItemStatus, Sandbox},
};

use crate::{
    app_server::Transport,
    bench::Bench,
    calls::{assert_ok, number},
    reply::Reply,
};

#[tokio::test]
async fn a_shell_call_is_a_tool_call_inside_the_turn() {
    let script = [Reply::shell("echo from the shell"), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let turn = bench.run(bench.request("Go")).await.unwrap();
    let ItemKind::CommandExecution {
        command,
        output,
        exit_code,
        status,
        ..
    } = &turn.items[0].kind
    else {
        panic!("{:?}", turn.items);
    };
    assert!(command.contains("echo from the shell"), "{command}");
    assert!(output.contains("from the shell"), "{output}");
    assert_eq!(
        (*exit_code, status.clone()),
        (Some(0), ItemStatus::Completed)
    );

    let calls = bench.calls(1);
    assert_ok(calls.turn());
    let tool = calls.tool();
    assert_ok(tool);
    assert_eq!(tool.name(), "codex.tool.stop");
    assert_eq!(tool.call_name(), Some("command_execution"));
    let item = tool.attribute(names::ITEM_ID).unwrap();
    assert_eq!(item.as_str(), turn.items[0].id);
    assert_eq!(number(tool, names::EXIT_CODE), Some(0));
    // Two requests of ten tokens each.
    assert_eq!(number(calls.turn(), names::INPUT_TOKENS), Some(20));
}

#[tokio::test]
async fn a_command_that_fails_fails_the_tool_call_and_not_the_turn() {
    let script = [Reply::shell("echo secret; exit 3"), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let turn = bench.run(bench.request("Go")).await.unwrap();
    assert_eq!(turn.final_message.as_deref(), Some("done"));

    let calls = bench.calls(1);
    assert_ok(calls.turn());
    let tool = calls.tool();
    assert_eq!(tool.name(), "codex.tool.exception");
    assert_eq!(tool.outcome(), Some(Outcome::Error));
    assert_eq!(tool.error_class(), Some(ErrorClass::ToolFailed));
    assert_eq!(number(tool, names::EXIT_CODE), Some(3));
    let message = tool.error_message().unwrap();
    assert!(
        message.contains('3') && !message.contains("secret"),
        "{message}"
    );
}

#[tokio::test]
async fn an_edit_is_on_disk_and_a_tool_call() {
    let patch = "*** Begin Patch\n*** Add File: a.txt\n+hello\n*** End Patch";
    let Some(bench) = Bench::start([Reply::patch(patch), Reply::done()]) else {
        return;
    };
    let turn = bench.run(bench.request("Go")).await.unwrap();
    let file = bench.work.path().join("a.txt");
    assert_eq!(fs::read_to_string(&file).unwrap(), "hello\n");
    let ItemKind::FileChange {
        changes, status, ..
    } = &turn.items[0].kind
    else {
        panic!("{:?}", turn.items);
    };
    assert_eq!(changes[0].path, file);
    assert_eq!(
        (&*changes[0].kind, status.clone()),
        ("add", ItemStatus::Completed)
    );

    let calls = bench.calls(1);
    assert_ok(calls.turn());
    assert_ok(calls.tool());
    assert_eq!(calls.tool().call_name(), Some("file_change"));
}

#[tokio::test]
async fn two_commands_at_once_are_two_tool_calls_that_overlap() {
    // Each one waits for the other, and then for another second, because Codex may report the start of the
    // second one late.
    let meet = |me: &str, other: &str| {
        format!("touch {me}; until [ -e {other} ]; do sleep 0.1; done; sleep 1")
    };
    let (one, two) = (meet("one", "two"), meet("two", "one"));
    let Some(bench) = Bench::start([Reply::shells([&*one, &*two]), Reply::done()]) else {
        return;
    };
    let turn = bench.run(bench.request("Go")).await.unwrap();
    assert_eq!(turn.items.len(), 3, "{:?}", turn.items);

    let calls = bench.calls(1);
    assert_ok(calls.turn());
    let [one, two] = &calls.tools[..] else {
        panic!("{} tool calls", calls.tools.len());
    };
    for tool in [one, two] {
        assert_ok(tool);
        assert_eq!(number(tool, names::EXIT_CODE), Some(0));
    }
    assert_ne!(one.attribute(names::ITEM_ID), two.attribute(names::ITEM_ID));
    assert!(
        two.start_time() < one.time(),
        "the first ended before the second began"
    );
}

#[tokio::test]
async fn a_command_that_outlives_the_turn_is_an_unfinished_tool_call() {
    for transport in Transport::ALL {
        let script = [Reply::shell_in_background("sleep 30"), Reply::done()];
        let Some(bench) = Bench::start(script) else {
            return;
        };
        let turn = bench.run_on(transport, bench.request("Go")).await.unwrap();
        assert_eq!(turn.final_message.as_deref(), Some("done"));

        let calls = bench.calls(1);
        assert_ok(calls.turn());
        let tool = calls.tool();
        assert_eq!(tool.error_class(), Some(ErrorClass::Incomplete));
        assert_eq!(number(tool, names::EXIT_CODE), None);
        assert!(tool.duration().unwrap() < Duration::from_secs(30));
    }
}

#[tokio::test]
async fn the_output_of_a_command_stays_out_of_the_events() {
    let script = [
        Reply::shell("echo s3cr3t-out; echo s3cr3t-err >&2; exit 1"),
        Reply::done(),
    ];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    bench.run(bench.request("s3cr3t-prompt")).await.unwrap();
    let calls = bench.calls(1);
    for event in [calls.turn(), calls.tool()] {
        let text = format!(
            "{event:?} {:?} {:?} {:?}",
            event.attributes(),
            event.span_events(),
            event.error_message()
        );
        assert!(!text.contains("s3cr3t"), "{text}");
    }
}

/// Returns whether Codex's sandbox works on this machine: it needs special permissions.
pub(crate) async fn sandbox_works() -> bool {
    let Some(bench) = Bench::start([Reply::shell("true"), Reply::done()]) else {
        return false;
    };
    let request = bench.request("Go").with_sandbox(Sandbox::ReadOnly);
    bench.run(request).await.unwrap();
    bench.calls(1).tool().outcome() == Some(Outcome::Ok)
}

#[tokio::test]
async fn a_write_that_the_sandbox_denies_fails_the_tool_call_and_not_the_turn() {
    if !sandbox_works().await {
        return;
    }
    for transport in Transport::ALL {
        // Codex reports no event of a command that the sandbox denies in its first moments.
        let script = [Reply::shell("sleep 1; touch denied"), Reply::done()];
        let Some(bench) = Bench::start(script) else {
            return;
        };
        let request = bench.request("Go").with_sandbox(Sandbox::ReadOnly);
        bench.run_on(transport, request).await.unwrap();
        assert!(!bench.work.path().join("denied").exists());
        let calls = bench.calls(1);
        assert_ok(calls.turn());
        assert_eq!(calls.tool().error_class(), Some(ErrorClass::SandboxDenied));
        assert_eq!(number(calls.tool(), names::EXIT_CODE), Some(1));
    }
}

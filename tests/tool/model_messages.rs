//! What a model is told of a failure: what happened and what it can do, and nothing of the program.

use std::{error::Error, fmt, io, sync::Arc, time::Duration};

use codex_telemetry::{
    BoxError, CallContext, ToolCall, ToolError, ToolOutput, ToolService,
    tool::{ArgumentsError, ToolFailure},
    tool_fn,
};
use serde_json::{Value, json};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::support::{call, every_way_to_fail, only, run, spawn, spec};

const INTERNAL: &str = "/srv/app/db.sqlite: hunter2";

fn hammer() -> Arc<str> {
    "hammer".into()
}

/// Returns a failed call of the tool `hammer` with a source.
fn failed(source: impl Into<BoxError>) -> ToolError {
    ToolError::Failed {
        tool: hammer(),
        source: source.into(),
    }
}

/// An error of a program, with another one as its source.
#[derive(Debug)]
struct Step(BoxError);

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step 3 of {INTERNAL}")
    }
}

impl Error for Step {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

#[test]
fn each_error_says_what_happened_and_what_the_model_can_do() {
    let (tool, after) = (hammer, Duration::from_secs(3));
    #[rustfmt::skip]
    let messages = [
        (ToolError::NotFound { name: tool(), known: [].into() },
            "unknown tool `hammer`: no tool is registered"),
        (ToolError::NotFound { name: tool(), known: ["saw".into()].into() },
            "unknown tool `hammer`: use one of `saw`"),
        (ToolError::Disabled { tool: tool() },
            "tool `hammer` is disabled: continue without it"),
        (ToolError::InvalidArguments { tool: tool(), source: ArgumentsError::new("id: a number is expected") },
            "invalid arguments for tool `hammer`: id: a number is expected"),
        (ToolError::Denied { tool: tool(), reason: "not on a Friday".to_owned() },
            "tool `hammer` was declined: not on a Friday; continue without it"),
        (ToolError::ApprovalTimeout { tool: tool(), after },
            "tool `hammer` was not approved in time: continue without it"),
        (ToolError::ApprovalFailed { tool: tool(), source: INTERNAL.into() },
            "tool `hammer` could not be approved: continue without it"),
        (failed(INTERNAL),
            "tool `hammer` failed: continue without it"),
        (ToolError::TimedOut { tool: tool(), after },
            "tool `hammer` did not finish in time: continue without it, or ask it for less"),
        (ToolError::OutputTooLarge { tool: tool(), limit: 9 },
            "the output of tool `hammer` is too large: ask it for less"),
        (ToolError::Panicked { tool: tool(), message: INTERNAL.to_owned() },
            "tool `hammer` failed: continue without it"),
    ];
    for (error, message) in messages {
        assert_eq!(error.message_for_model(), message, "{error:?}");
        for internal in ["hunter2", "/srv", "set_enabled", "deadline", "3s", "panic"] {
            assert!(!message.contains(internal), "{message}");
        }
    }
}

#[test]
fn the_words_of_a_tool_reach_the_model_through_any_chain() {
    let failure = || ToolFailure::new("there is no nail: buy one first");
    for error in [
        failed(failure()),
        failed(Step(failure().into())),
        failed(Step(Box::new(Step(failure().into())))),
        failed(io::Error::other(failure())),
        failed(failed(Step(failure().into()))),
    ] {
        assert_eq!(
            error.message_for_model(),
            "tool `hammer` failed: there is no nail: buy one first"
        );
    }
    // The first one counts.
    let inner = ToolFailure::new("an older story");
    let outer = io::Error::other(Step(Box::new(failed(inner))));
    assert_eq!(
        failed(outer).message_for_model(),
        "tool `hammer` failed: an older story"
    );
}

#[test]
fn a_wrapped_error_of_a_tool_has_the_message_of_that_error() {
    let disabled = ToolError::Disabled { tool: "saw".into() };
    assert_eq!(
        failed(Step(disabled.into())).message_for_model(),
        "tool `saw` is disabled: continue without it"
    );
    let arguments = ArgumentsError::new("the end is before the start");
    assert_eq!(
        failed(Step(arguments.into())).message_for_model(),
        "invalid arguments for tool `hammer`: the end is before the start"
    );
    let panicked = ToolError::Panicked {
        tool: "saw".into(),
        message: INTERNAL.to_owned(),
    };
    assert_eq!(
        failed(Step(panicked.into())).message_for_model(),
        "tool `saw` failed: continue without it"
    );
}

#[test]
fn no_text_of_another_error_reaches_the_model() {
    for error in [
        failed(Step(INTERNAL.into())),
        failed(io::Error::other(INTERNAL)),
        failed(io::Error::from(io::ErrorKind::TimedOut)),
        failed(io::Error::from(io::ErrorKind::ConnectionRefused)),
        failed(serde_json::from_str::<u8>("\"hunter2\"").unwrap_err()),
    ] {
        assert_eq!(
            error.message_for_model(),
            "tool `hammer` failed: continue without it"
        );
    }
}

#[test]
fn a_long_or_odd_name_is_cut_and_escaped() {
    let tool: Arc<str> = "\n`x".repeat(1000).into();
    let error = ToolError::NotFound {
        name: Arc::clone(&tool),
        known: std::iter::repeat_n(tool, 100).collect(),
    };
    let message = error.message_for_model();
    assert!(!message.contains('\n'), "{message}");
    assert!(message.len() < 3000, "{} bytes", message.len());
}

#[test]
fn a_long_reason_is_cut() {
    let long = || "ä".repeat(1_000_000);
    let (tool, source) = (hammer(), ArgumentsError::new(long()));
    let reason = long();
    for error in [
        failed(ToolFailure::new(long())),
        ToolError::InvalidArguments { tool, source },
        ToolError::Denied {
            tool: hammer(),
            reason,
        },
    ] {
        let message = error.message_for_model();
        assert!(message.ends_with("ä…"));
        assert!((32_000..33_000).contains(&message.len()));
    }
}

// --- By the services

#[tokio::test(start_paused = true)]
async fn a_timeout_in_the_stack_of_a_tool_is_a_late_tool() {
    let slow = ServiceBuilder::new()
        .timeout(Duration::from_secs(1))
        .service(crate::support::sleeper());
    let error = run(&only("slow", slow), "slow", json!(5_000)).await;
    assert_eq!(
        error.unwrap_err().message_for_model(),
        "tool `slow` did not finish in time: continue without it, or ask it for less"
    );
}

#[tokio::test]
async fn a_tool_that_sheds_load_is_busy() {
    let busy = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(1)
        .service(tool_fn(|_: Value, _: CallContext| {
            std::future::pending::<Result<Value, BoxError>>()
        }));
    let service = only("busy", busy);
    let mut first = spawn(&service, call("busy"));
    tokio_test::assert_pending!(first.poll());
    let second = service.clone().call(call("busy")).await;
    assert_eq!(
        second.unwrap_err().message_for_model(),
        "tool `busy` is busy: call it again later"
    );
}

#[tokio::test]
async fn a_tool_whose_worker_is_gone_has_failed() {
    let worker = service_fn(|call: ToolCall| async move {
        if call.arguments["die"] == true {
            panic!("{INTERNAL}");
        }
        Ok::<_, BoxError>(ToolOutput::new(Value::Null))
    });
    let task = service_fn(move |call: ToolCall| {
        let running = tokio::spawn(worker.oneshot(call));
        async { running.await.map_err(BoxError::from)? }
    });
    let error = run(&only("task", task), "task", json!({ "die": true })).await;
    assert_eq!(
        error.unwrap_err().message_for_model(),
        "tool `task` failed: continue without it"
    );
}

#[tokio::test]
async fn the_registrys_own_errors_have_their_messages() {
    let tools = every_way_to_fail().build().unwrap();
    tools.set_enabled("switched_off", false).unwrap();
    for (name, arguments, message) in [
        (
            "fails",
            json!(1),
            "tool `fails` failed: continue without it",
        ),
        (
            "panics",
            json!(1),
            "tool `panics` failed: continue without it",
        ),
        (
            "switched_off",
            json!(1),
            "tool `switched_off` is disabled: continue without it",
        ),
        (
            "denied",
            json!(1),
            "tool `denied` was declined: not on a Friday; continue without it",
        ),
        (
            "typed",
            json!("x"),
            "invalid arguments for tool `typed`: invalid type: string \"x\", expected u32",
        ),
        (
            "saw",
            json!(1),
            "unknown tool `saw`: use one of `denied`, `echo`, `fails`, `panics`, `switched_off`, `typed`",
        ),
    ] {
        let error = run(&tools, name, arguments).await.unwrap_err();
        assert_eq!(error.message_for_model(), message);
    }
}

#[tokio::test]
async fn what_a_tool_says_to_the_model_is_recorded_as_its_error() {
    let tool = tool_fn(|_: Value, _: CallContext| async {
        Err::<Value, _>(ToolFailure::new("no such ticket"))
    });
    let tools = ToolService::builder()
        .tool(spec("t"), tool)
        .build()
        .unwrap();
    let error = run(&tools, "t", json!(1)).await.unwrap_err();
    assert_eq!(
        error.classification().message.as_deref(),
        Some("tool `t` failed: no such ticket")
    );
}

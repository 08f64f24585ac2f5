//! Calls that fail: the class of the event, and what the model is told, which has nothing of the program's inside.

use std::{future::ready, io, time::Duration};

use codex_telemetry::{
    ApprovalLayer, BoxError, CallContext, Decision, ErrorClass, Event, Outcome, ServiceBuilderExt,
    event::names,
    tool::{HostTools, ToolCall, ToolOutput, ToolService, tool_fn},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{Service, ServiceBuilder, service_fn};

use crate::{
    app_server_approvals::{Approver, decision},
    bench::{Bench, DEADLINE},
    calls::{assert_ok, number},
    host_rig::{Endless, Stack, registry_of},
    reply::Reply,
};

/// What came of a call that failed.
struct Failed {
    event: Event,
    told: String,
    requests: String,
    events: String,
}

impl Failed {
    #[track_caller]
    fn assert(&self, class: ErrorClass, told: &str) {
        assert_eq!(
            self.event.outcome(),
            Some(Outcome::Error),
            "{:?}",
            self.event
        );
        assert_eq!(self.event.error_class(), Some(class), "{:?}", self.event);
        assert_eq!(self.told, told);
    }

    #[track_caller]
    fn assert_nowhere_for_the_model(&self, text: &str) {
        assert!(!self.requests.contains(text), "the model reads {text}");
    }
}

/// Has the model call the tool `lookup` of a registry, in a turn that completes.
async fn fail(
    stack: Stack,
    deadline: Duration,
    arguments: Value,
    registry: &ToolService,
) -> Option<Failed> {
    let bench = Bench::start([Reply::calls([("lookup", arguments)]), Reply::done()])?;
    let tools = bench.host_tools_of(stack, registry, deadline);
    Some(fail_with(&bench, tools).await)
}

async fn fail_with(bench: &Bench, tools: HostTools) -> Failed {
    let server = bench.app_server(|builder| builder.tools(tools));
    let turn = server.complete(bench.ask("Go")).await;
    assert_eq!(turn.final_message.as_deref(), Some("done"));
    let calls = bench.calls(1);
    assert_ok(calls.turn());
    assert_eq!(number(calls.turn(), names::TOOL_CALLS), Some(1));
    let tool = calls.tool();
    assert_eq!(tool.call_name(), Some("lookup"));
    assert_eq!(tool.parent_span_id(), Some(calls.turn().span_id()));
    let requests: Vec<_> = bench
        .model
        .asked()
        .iter()
        .map(|asked| asked.json().to_string())
        .collect();
    let told = bench.told_of("lookup");
    let failed = Failed {
        event: tool.clone(),
        told: told[0].as_str().unwrap().to_owned(),
        requests: requests.concat(),
        events: format!("{:?}", bench.sink.events()),
    };
    server.end().await;
    failed
}

/// Returns a registry whose tool would fail otherwise if it ran.
fn approved_by(approver: &Approver) -> ToolService {
    let tool =
        service_fn(|_: ToolCall| ready(Err::<ToolOutput, BoxError>("the tool has run".into())));
    let tool = ServiceBuilder::new()
        .layer(ApprovalLayer::new(approver.service(), DEADLINE))
        .service(tool);
    registry_of("lookup", tool)
}

#[tokio::test]
async fn a_call_that_is_declined_does_not_run_and_the_model_is_told_the_reason() {
    for stack in Stack::ALL {
        let approver = Approver::always(Decision::decline("not today"));
        let registry = approved_by(&approver);
        let Some(failed) = fail(stack, DEADLINE, json!({}), &registry).await else {
            return;
        };
        failed.assert(
            ErrorClass::ApprovalDenied,
            "tool `lookup` was declined: not today; continue without it",
        );
        if stack == Stack::Layered {
            assert_eq!(decision(&failed.event).as_deref(), Some("decline"));
            assert!(failed.event.attribute(names::APPROVAL_WAIT).is_some());
        }
        assert_eq!(approver.asked().len(), 1);
    }
}

#[tokio::test]
async fn an_approver_that_cancels_ends_the_call_and_not_the_turn() {
    for stack in Stack::ALL {
        let registry = approved_by(&Approver::always(Decision::Cancel));
        let Some(failed) = fail(stack, DEADLINE, json!({}), &registry).await else {
            return;
        };
        failed.assert(
            ErrorClass::ApprovalDenied,
            "tool `lookup` was declined: it asks to end the turn; continue without it",
        );
        if stack == Stack::Layered {
            assert_eq!(decision(&failed.event).as_deref(), Some("cancel"));
        }
    }
}

#[tokio::test]
async fn an_approver_that_does_not_answer_is_not_waited_for_longer_than_its_deadline() {
    let asking = service_fn(|_: codex_telemetry::ApprovalRequest| {
        std::future::pending::<Result<Decision, BoxError>>()
    });
    let tool = tool_fn(|_: Value, _: CallContext| ready(Ok::<_, BoxError>("not run")));
    let tool = ServiceBuilder::new()
        .layer(ApprovalLayer::new(asking, Duration::from_millis(20)))
        .service(tool);
    let registry = registry_of("lookup", tool);
    let Some(failed) = fail(Stack::Layered, DEADLINE, json!({}), &registry).await else {
        return;
    };
    failed.assert(
        ErrorClass::ApprovalDenied,
        "tool `lookup` was not approved in time: continue without it",
    );
    assert_eq!(decision(&failed.event).as_deref(), Some("timeout"));
}

#[tokio::test]
async fn an_approver_that_is_slower_than_the_deadline_of_the_call_is_dropped_and_the_call_is_late()
{
    let script = [Reply::calls([("lookup", json!({}))]), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let asking = service_fn(|_: codex_telemetry::ApprovalRequest| {
        std::future::pending::<Result<Decision, BoxError>>()
    });
    let asking = ServiceBuilder::new()
        .timing(bench.sink.clone())
        .service(asking);
    let tool = tool_fn(|_: Value, _: CallContext| ready(Ok::<_, BoxError>("not run")));
    let tool = ServiceBuilder::new()
        .layer(ApprovalLayer::new(asking, DEADLINE))
        .service(tool);
    let registry = registry_of("lookup", tool);
    let tools = bench.host_tools_of(Stack::Layered, &registry, Duration::from_millis(50));
    let failed = fail_with(&bench, tools).await;
    failed.assert(
        ErrorClass::Timeout,
        "tool `lookup` did not finish in time: continue without it, or ask it for less",
    );
    assert_eq!(decision(&failed.event).as_deref(), Some("unanswered"));
    let [approval] = &bench.calls(1).approvals[..] else {
        panic!("{:?}", bench.sink.events());
    };
    assert_eq!(approval.outcome(), Some(Outcome::Cancelled));
    assert_eq!(approval.parent_span_id(), Some(failed.event.span_id()));
}

/// An error that names what only the program should know, also in its source.
#[derive(Debug, thiserror::Error)]
#[error("cannot read /srv/secrets/tickets.db")]
struct Internal(#[source] io::Error);

#[tokio::test]
async fn the_model_is_told_that_a_tool_failed_and_nothing_of_its_error() {
    for stack in Stack::ALL {
        let tool = tool_fn(|_: Value, _: CallContext| {
            let source = io::Error::other("password hunter2 refused by db.internal");
            ready(Err::<Value, _>(Internal(source)))
        });
        let registry = registry_of("lookup", tool);
        let Some(failed) = fail(stack, DEADLINE, json!({}), &registry).await else {
            return;
        };
        failed.assert(
            ErrorClass::ToolFailed,
            "tool `lookup` failed: continue without it",
        );
        for internal in ["/srv/secrets", "hunter2", "db.internal"] {
            failed.assert_nowhere_for_the_model(internal);
        }
    }
}

#[tokio::test]
async fn a_tool_that_panics_fails_its_call_alone_and_the_model_does_not_read_the_panic() {
    /// A service that panics when it is called, before there is a future.
    #[derive(Clone)]
    struct Panicking;
    impl Service<ToolCall> for Panicking {
        type Response = ToolOutput;
        type Error = BoxError;
        type Future = std::future::Ready<Result<ToolOutput, BoxError>>;
        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), BoxError>> {
            std::task::Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: ToolCall) -> Self::Future {
            panic!("index 7 of /srv/secrets is out of bounds");
        }
    }

    for stack in Stack::ALL {
        let registry = registry_of("lookup", Panicking);
        let Some(failed) = fail(stack, DEADLINE, json!({}), &registry).await else {
            return;
        };
        failed.assert(
            ErrorClass::Panic,
            "tool `lookup` failed: continue without it",
        );
        failed.assert_nowhere_for_the_model("/srv/secrets");
    }
}

#[tokio::test]
async fn a_tool_that_does_not_end_by_its_deadline_is_dropped_and_the_model_is_told_that_it_is_late()
{
    for stack in Stack::ALL {
        let tool = Endless::new();
        let registry = registry_of("lookup", tool.service());
        let deadline = Duration::from_millis(50);
        let Some(failed) = fail(stack, deadline, json!({}), &registry).await else {
            return;
        };
        failed.assert(
            ErrorClass::Timeout,
            "tool `lookup` did not finish in time: continue without it, or ask it for less",
        );
        assert!(failed.event.duration().unwrap() >= deadline);
        assert_eq!(tool.dropped(), 1);
        // For the registry, its caller has gone.
        let stats = registry.stats();
        assert_eq!(stats["lookup"].failure, 1);
        assert_eq!(
            stats["lookup"].last_error_class,
            Some(ErrorClass::Cancelled)
        );
    }
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_explained_to_the_model_and_recorded_nowhere() {
    #[derive(Deserialize)]
    struct Lookup {
        #[expect(dead_code, reason = "the arguments have another one")]
        ticket: u32,
    }

    for stack in Stack::ALL {
        let tool = tool_fn(|_: Lookup, _: CallContext| ready(Ok::<_, BoxError>("not run")));
        let registry = registry_of("lookup", tool);
        let arguments = json!({"ticket": "the-first-one"});
        let Some(failed) = fail(stack, DEADLINE, arguments, &registry).await else {
            return;
        };
        failed.assert(
            ErrorClass::InvalidArguments,
            "invalid arguments for tool `lookup`: ticket: invalid type: string \"the-first-one\", expected u32",
        );
        assert!(
            !failed.events.contains("the-first-one"),
            "{}",
            failed.events
        );
    }
}

#[tokio::test]
async fn arguments_that_are_no_object_are_refused_by_the_tool_that_wants_one() {
    #[derive(Deserialize)]
    struct Lookup {}

    for arguments in [json!(["a"]), json!("a"), Value::Null] {
        let tool = tool_fn(|_: Lookup, _: CallContext| ready(Ok::<_, BoxError>("not run")));
        let registry = registry_of("lookup", tool);
        let Some(failed) = fail(Stack::Layered, DEADLINE, arguments.clone(), &registry).await
        else {
            return;
        };
        assert_eq!(
            failed.event.error_class(),
            Some(ErrorClass::InvalidArguments),
            "{arguments}"
        );
        let told = &failed.told;
        assert!(
            told.starts_with("invalid arguments for tool `lookup`: "),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_tool_that_is_disabled_is_not_offered_to_a_new_thread_and_refused_in_an_older_one() {
    for stack in Stack::ALL {
        let Some(bench) = Bench::start([Reply::done()]) else {
            return;
        };
        let tool = tool_fn(|_: Value, _: CallContext| ready(Ok::<_, BoxError>("not run")));
        let registry = registry_of("lookup", tool);
        let server = bench.hosting_by(stack, &registry);
        let offers = |request: usize| {
            let tools = bench.model.asked()[request].json()["tools"].clone();
            let mut tools = tools.as_array().unwrap().iter();
            tools.any(|tool| tool["name"] == "lookup")
        };
        let older = server.complete(bench.ask("Go")).await;
        assert!(offers(0));
        registry.set_enabled("lookup", false).unwrap();

        bench.model.then([Reply::done()]);
        server.complete(bench.ask("A new one")).await;
        assert!(!offers(1));

        bench
            .model
            .then([Reply::calls([("lookup", json!({}))]), Reply::done()]);
        server.complete(bench.ask_on(&older, "Go on")).await;
        assert_eq!(
            bench.told_of("lookup"),
            ["tool `lookup` is disabled: continue without it"]
        );
        let calls = bench.calls(3);
        assert_eq!(calls.tool().error_class(), Some(ErrorClass::PolicyDenied));
        server.end().await;
    }
}

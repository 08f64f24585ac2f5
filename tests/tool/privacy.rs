use std::{error::Error, fmt, fs, io, sync::Arc};

use codex_telemetry::{
    ApprovalRequest, BoxError, CallContext, Classify, CodexClassifier, Decision, ErrorClass,
    ErrorClassLayer, FanOut, JsonLinesSink, Originator, OriginatorLayer, TimingLayer, ToolCall,
    ToolError, ToolOutput, ToolService, TracingSink,
    approval::{Action, FileUpdateChange},
    tool::ArgumentsError,
    tool_fn,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{Service, ServiceBuilder, ServiceExt};

use crate::{
    checked::MemorySink,
    support::{decline, echo, every_way_to_fail, guarded, layered, spec},
};

const SECRET: &str = "hunter2";

fn assert_private(what: &str, text: &str) {
    assert!(!text.contains(SECRET), "{what} contains content: {text}");
}

#[test]
fn debug_output_contains_no_content() {
    let call = ToolCall::new("login", json!({ "password": SECRET, SECRET: 1 }));
    assert_private("a call", &format!("{call:?}"));
    assert!(format!("{call:?}").contains("login"));
    let request = ApprovalRequest::from(&call);
    assert_private("a request", &format!("{request:?}"));
    let output = ToolOutput::new(json!(SECRET));
    assert_private("an output", &format!("{output:?}"));

    let mut service = ToolService::builder()
        .tool(spec("login"), echo())
        .build()
        .unwrap();
    assert_private("a service", &format!("{service:?}"));
    let future = service.call(call);
    assert_private("a future", &format!("{future:?}"));
}

#[test]
fn debug_output_of_what_an_approver_is_asked_contains_no_content() {
    let secret = || SECRET.to_owned();
    let change = FileUpdateChange::new(SECRET, "update")
        .with_move_path(SECRET)
        .with_diff(SECRET);
    assert_private("a change", &format!("{change:?}"));
    let actions = [
        Action::tool_call(json!({ SECRET: SECRET })),
        Action::Command {
            command: secret(),
            cwd: Some(SECRET.into()),
            reason: Some(secret()),
            execpolicy_amendment: vec![secret()],
            permissions: Some(json!({ SECRET: true })),
        },
        Action::FileChange {
            changes: vec![change],
            reason: Some(secret()),
            grant_root: Some(SECRET.into()),
        },
        Action::McpToolCall {
            server: "tickets".to_owned(),
            arguments: json!([SECRET]),
            message: secret(),
        },
        Action::Permissions {
            permissions: json!(SECRET),
            reason: Some(secret()),
        },
    ];
    for action in actions {
        let request = ApprovalRequest::new("login", action);
        let shown = format!("{request:?} {request:#?}");
        assert_private("a request", &shown);
        assert!(shown.contains("login"), "{shown}");
    }
}

#[test]
fn debug_output_of_a_decision_shows_the_reason_of_the_approver() {
    let shown = format!("{:?}", Decision::decline("not on a Friday"));
    assert!(shown.contains("not on a Friday"), "{shown}");
}

#[tokio::test]
async fn debug_output_of_an_approval_contains_no_content() {
    let call = ToolCall::new("login", json!(SECRET));
    let future = guarded(echo(), decline("no")).call(call);
    assert_private("a future", &format!("{future:?}"));
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Login {
    name: String,
    tries: u32,
}

fn login_and_every_way_to_fail() -> ToolService {
    let login = tool_fn(|_: Login, _: CallContext| async { Ok::<_, BoxError>(()) });
    let tools = every_way_to_fail()
        .tool(spec("login"), login)
        .build()
        .unwrap();
    tools.set_enabled("switched_off", false).unwrap();
    tools
}

/// Calls of every tool that fail, with a secret somewhere in the arguments.
fn failing_calls() -> impl Iterator<Item = ToolCall> {
    let names = [
        "nobody",
        "switched_off",
        "typed",
        "denied",
        "fails",
        "panics",
        "login",
    ];
    let all_arguments: [Value; 6] = [
        json!(SECRET),
        json!([SECRET]),
        json!({ SECRET: SECRET }),
        json!({ "name": "x", "tries": SECRET }),
        json!({ "name": [SECRET], "tries": 1 }),
        json!({ "name": { SECRET: 1 }, "tries": 1 }),
    ];
    names.into_iter().flat_map(move |name| {
        let all_arguments = all_arguments.clone();
        all_arguments.map(|arguments| ToolCall::new(name, arguments))
    })
}

#[tokio::test]
async fn no_event_contains_arguments() {
    for call in failing_calls() {
        let sink = MemorySink::new();
        let name = call.name.to_string();
        let tools = layered(&sink, login_and_every_way_to_fail());
        tools.oneshot(call).await.unwrap_err();
        let event = &sink.events()[1];
        assert_private(&name, event.error_message().unwrap());
        assert_private(&name, &format!("{event:?}"));
        assert_ne!(event.error_class(), Some(ErrorClass::Other));
    }
}

#[tokio::test]
async fn no_sink_behind_all_layers_writes_arguments() {
    let output = tempfile::NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(Arc::new(output.reopen().unwrap()))
        .finish();
    let _default = tracing::subscriber::set_default(subscriber);
    let memory = MemorySink::new();
    let sink = FanOut::new()
        .with(memory.clone())
        .with(JsonLinesSink::new(output.reopen().unwrap()))
        .with(TracingSink::new());
    let tools = ServiceBuilder::new()
        .layer(OriginatorLayer::new(Originator::Sdk))
        .layer(TimingLayer::new(sink))
        .layer(ErrorClassLayer::new(CodexClassifier))
        .service(login_and_every_way_to_fail());
    for call in failing_calls() {
        tools.clone().oneshot(call).await.unwrap_err();
    }
    let output = fs::read_to_string(output.path()).unwrap();
    assert!(output.contains("invalid arguments for tool `login`"));
    assert!(
        output.contains("\"error_class\":\"invalid_arguments\""),
        "{output}"
    );
    assert_private("the output of the sinks", &output);
    assert_private("the timeline", &memory.timeline().to_string());
}

#[tokio::test]
async fn the_recorded_message_of_invalid_arguments_is_fixed_and_the_error_has_the_reason() {
    let sink = MemorySink::new();
    let call = ToolCall::new("login", json!({ "name": "x", "tries": SECRET }));
    let tools = layered(&sink, login_and_every_way_to_fail());
    let error = tools.oneshot(call).await.unwrap_err();
    assert!(error.to_string().contains(SECRET), "{error}");
    assert_eq!(
        sink.events()[1].error_message(),
        Some("invalid arguments for tool `login`")
    );
}

fn invalid_arguments() -> ToolError {
    ToolError::InvalidArguments {
        tool: "login".into(),
        source: ArgumentsError::new(format!("invalid type: string {SECRET:?}, expected u32")),
    }
}

/// An error of an application that repeats the text of its source.
#[derive(Debug)]
struct Wrapper(BoxError);

impl fmt::Display for Wrapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step 3 failed: {}", self.0)
    }
}

impl Error for Wrapper {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

#[test]
fn wrapped_invalid_arguments_are_recorded_with_the_fixed_message() {
    let failed = |source: BoxError| ToolError::Failed {
        tool: "agent".into(),
        source,
    };
    let wrapped: BoxError = Box::new(Wrapper(Box::new(invalid_arguments())));
    let nested = failed(wrapped);
    assert!(nested.classification().message.is_some());

    let errors: [BoxError; 5] = [
        Box::new(invalid_arguments()),
        Box::new(Wrapper(Box::new(invalid_arguments()))),
        Box::new(io::Error::other(invalid_arguments())),
        Box::new(failed(Box::new(invalid_arguments()))),
        Box::new(Wrapper(Box::new(nested))),
    ];
    for error in errors {
        assert!(format!("{error:?}").contains(SECRET));
        let extended = CodexClassifier.with(|_| Some(ErrorClass::Custom("app")));
        let mut classifications = vec![CodexClassifier.classify(&error), extended.classify(&error)];
        if let Some(error) = error.downcast_ref::<ToolError>() {
            classifications.push(error.classification());
            classifications.push(CodexClassifier.classify(error));
        }
        for classification in classifications {
            assert_eq!(
                classification.message.as_deref(),
                Some("invalid arguments for tool `login`")
            );
        }
    }
}

/// An error that shows its source as if it were itself.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Transparent(ToolError);

#[test]
fn invalid_arguments_in_a_transparent_error_are_recorded_with_a_fixed_message() {
    let error: BoxError = Box::new(Transparent(invalid_arguments()));
    assert!(error.to_string().contains(SECRET));
    let classification = CodexClassifier.classify(&error);
    assert_eq!(classification.class, ErrorClass::InvalidArguments);
    assert_eq!(
        classification.message.as_deref(),
        Some("invalid arguments for a tool")
    );
}

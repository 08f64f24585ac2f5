use std::{error::Error, fmt, io, time::Duration};

use codex_telemetry::tool::ArgumentsError;
use codex_telemetry::{
    BoxError, CallContext, ErrorClass, ToolCall, ToolError, ToolOutput, ToolService, tool_fn,
};
use serde_json::{Value, json};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::support::{call, every_way_to_fail, only, run};

#[tokio::test]
async fn the_error_of_an_unknown_tool_lists_the_registered_tools() {
    let service = every_way_to_fail().build().unwrap();
    let error = run(&service, "ecko", json!(1)).await.unwrap_err();

    assert!(matches!(&error, ToolError::NotFound { name, .. } if &**name == "ecko"));
    assert_eq!(error.class(), ErrorClass::ToolNotFound);
    assert_eq!(
        error.to_string(),
        "unknown tool `ecko`: use one of `denied`, `echo`, `fails`, `panics`, `switched_off`, `typed`"
    );
}

#[tokio::test]
async fn the_error_of_an_unknown_tool_is_bounded_and_escaped() {
    let mut builder = ToolService::builder();
    for number in 0..100 {
        builder = builder.tool(
            crate::support::spec(format!("tool_{number:03}")),
            crate::support::echo(),
        );
    }
    let call = ToolCall::new("é\n".repeat(10_000), json!(1));
    let error = builder.build().unwrap().oneshot(call).await.unwrap_err();

    let text = error.to_string();
    assert!(text.len() < 400, "{} bytes", text.len());
    assert!(text.ends_with("`tool_007` and 92 more"), "{text}");
    assert!(!text.contains('\n'));
}

#[tokio::test]
async fn the_error_of_an_empty_registry_says_that_no_tool_is_registered() {
    let error = run(&ToolService::builder().build().unwrap(), "echo", json!(1)).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "unknown tool `echo`: no tool is registered"
    );
}

#[tokio::test]
async fn a_call_of_a_disabled_tool_is_denied_by_policy() {
    let service = every_way_to_fail().build().unwrap();
    service.set_enabled("switched_off", false).unwrap();
    let error = run(&service, "switched_off", json!(1)).await.unwrap_err();

    assert!(matches!(&error, ToolError::Disabled { tool } if &**tool == "switched_off"));
    assert_eq!(error.class(), ErrorClass::PolicyDenied);
}

#[tokio::test]
async fn invalid_arguments_have_a_class_of_their_own() {
    let service = every_way_to_fail().build().unwrap();
    let error = run(&service, "typed", json!(-1)).await.unwrap_err();

    assert!(matches!(&error, ToolError::InvalidArguments { tool, .. } if &**tool == "typed"));
    assert_eq!(error.class(), ErrorClass::InvalidArguments);
}

#[tokio::test]
async fn the_source_of_a_failed_tool_is_its_own_error() {
    let service = every_way_to_fail().build().unwrap();
    let error = run(&service, "fails", json!(1)).await.unwrap_err();

    assert_eq!(error.class(), ErrorClass::ToolFailed);
    assert_eq!(error.source().unwrap().to_string(), "the disk is full");
    assert_eq!(
        error.classification().message.as_deref(),
        Some("tool `fails` failed: the disk is full")
    );
}

#[tokio::test]
async fn a_result_that_cannot_be_serialized_is_a_failure() {
    let keys = tool_fn(|_: Value, _: CallContext| async {
        Ok::<_, BoxError>(std::collections::BTreeMap::from([((1, 2), 3)]))
    });
    let error = run(&only("keys", keys), "keys", json!(1))
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::ToolFailed);
}

#[tokio::test]
async fn a_panic_and_a_denial_have_their_own_classes() {
    let service = every_way_to_fail().build().unwrap();
    let panicked = run(&service, "panics", json!(1)).await.unwrap_err();
    assert!(matches!(panicked, ToolError::Panicked { .. }));
    assert_eq!(panicked.class(), ErrorClass::Panic);

    let denied = run(&service, "denied", json!(1)).await.unwrap_err();
    assert!(matches!(denied, ToolError::Denied { .. }));
    assert_eq!(denied.class(), ErrorClass::ApprovalDenied);
}

#[tokio::test]
async fn a_tool_error_of_a_tool_is_returned_unchanged() {
    let tool = tool_fn(|_: Value, _: CallContext| async {
        Err::<Value, _>(ToolError::InvalidArguments {
            tool: "range".into(),
            source: ArgumentsError::new("the end is before the start"),
        })
    });
    let error = run(&only("range", tool), "range", json!(1)).await;
    assert!(matches!(error, Err(ToolError::InvalidArguments { .. })));
}

#[tokio::test]
async fn errors_of_a_nested_registry_are_returned_unchanged() {
    let inner = only("inside", crate::support::echo());
    let group = ServiceBuilder::new()
        .map_request(|mut call: ToolCall| {
            call.name = "missing".into();
            call
        })
        .service(inner);
    let error = run(&only("group", group), "group", json!(1)).await;
    assert!(matches!(error, Err(ToolError::NotFound { name, .. }) if &*name == "missing"));
}

/// An application's error with a source.
#[derive(Debug)]
struct Wrapped(BoxError);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("step 3 failed")
    }
}

impl Error for Wrapped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// Returns the class of a tool's failure with this source.
async fn class_of(source: impl Into<BoxError>) -> ErrorClass {
    let source = std::sync::Mutex::new(Some(source.into()));
    let source = std::sync::Arc::new(source);
    let fails = service_fn(move |_: ToolCall| {
        let source = source.lock().expect("nobody panicked").take();
        async move { Err::<ToolOutput, BoxError>(source.expect("called once")) }
    });
    let error = run(&only("fails", fails), "fails", json!(1)).await;
    let error = error.expect_err("it fails");
    assert!(matches!(error, ToolError::Failed { .. }));
    error.class()
}

#[tokio::test]
async fn a_failure_has_the_class_of_the_tool_error_that_it_wraps() {
    let cause = || ToolError::Disabled {
        tool: "helper".into(),
    };
    let wrapped = Wrapped(Box::new(cause()));
    assert_eq!(class_of(wrapped).await, ErrorClass::PolicyDenied);
    let wrapped = io::Error::other(cause());
    assert_eq!(class_of(wrapped).await, ErrorClass::PolicyDenied);
}

#[tokio::test]
async fn an_io_error_of_a_tool_is_a_failed_tool() {
    let error = io::Error::from(io::ErrorKind::UnexpectedEof);
    assert_eq!(class_of(error).await, ErrorClass::ToolFailed);
    let error = io::Error::other("boom");
    assert_eq!(class_of(error).await, ErrorClass::ToolFailed);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_exceeds_its_timeout_fails_as_timeout() {
    let slow = ServiceBuilder::new()
        .timeout(Duration::from_secs(1))
        .service(crate::support::sleeper());
    let error = run(&only("slow", slow), "slow", json!(5_000)).await;
    assert_eq!(error.unwrap_err().class(), ErrorClass::Timeout);
}

#[tokio::test]
async fn a_tool_that_sheds_load_fails_as_overloaded() {
    let busy = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(1)
        .service(tool_fn(|_: Value, _: CallContext| {
            std::future::pending::<Result<Value, BoxError>>()
        }));
    let service = only("busy", busy);

    let mut first = crate::support::spawn(&service, call("busy"));
    tokio_test::assert_pending!(first.poll());
    let second = service.clone().call(call("busy")).await;
    assert_eq!(second.unwrap_err().class(), ErrorClass::Overloaded);
}

#[test]
fn every_error_text_names_the_tool_and_what_happened() {
    let tool = || std::sync::Arc::<str>::from("hammer");
    let source = || BoxError::from("broken");
    let reason = || "because".to_owned();
    let after = Duration::from_secs(3);
    #[rustfmt::skip]
    let texts = [
        (ToolError::NotFound { name: tool(), known: [].into() },
            "unknown tool `hammer`: no tool is registered"),
        (ToolError::Disabled { tool: tool() },
            "tool `hammer` is disabled: use another tool, or enable it with `ToolService::set_enabled`"),
        (ToolError::InvalidArguments { tool: tool(), source: ArgumentsError::new(reason()) },
            "invalid arguments for tool `hammer`: because"),
        (ToolError::Denied { tool: tool(), reason: reason() },
            "tool `hammer` was declined by its approver: because; continue without it, or have it accepted"),
        (ToolError::ApprovalTimeout { tool: tool(), after },
            "tool `hammer` was not approved within 3s: call it again, or extend the deadline"),
        (ToolError::ApprovalFailed { tool: tool(), source: source() },
            "tool `hammer` was not approved because its approver failed: call it again once the \
             approver works"),
        (ToolError::Failed { tool: tool(), source: source() }, "tool `hammer` failed"),
        (ToolError::TimedOut { tool: tool(), after },
            "tool `hammer` did not finish within 3s: make it faster, or extend the deadline"),
        (ToolError::OutputTooLarge { tool: tool(), limit: 9 },
            "the output of tool `hammer` is larger than 9 bytes: return less, or extend the limit"),
        (ToolError::Panicked { tool: tool(), message: "oh".into() },
            "tool `hammer` panicked, fix it: oh"),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
}

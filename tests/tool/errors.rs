use std::{error::Error, fmt, io, time::Duration};

use codex_telemetry::{
    BoxError, CallContext, ErrorClass, ToolCall, ToolError, ToolOutput, ToolService, tool_fn,
};
use serde_json::{Value, json};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::support::{call, every_way_to_fail, only, run};

#[tokio::test]
async fn an_unknown_name_is_not_found_and_the_text_names_what_there_is() {
    let service = every_way_to_fail().build();
    let error = run(&service, "ecko", json!(1)).await.unwrap_err();

    assert!(matches!(&error, ToolError::NotFound { name, .. } if &**name == "ecko"));
    assert_eq!(error.class(), ErrorClass::ToolNotFound);
    assert_eq!(
        error.to_string(),
        "no tool is named `ecko`: use one of `denied`, `echo`, `fails`, `panics`, `switched_off`, `typed`"
    );
}

#[tokio::test]
async fn the_text_of_an_unknown_name_stays_short() {
    let mut builder = ToolService::builder();
    for number in 0..100 {
        builder = builder.tool(format!("tool_{number:03}"), crate::support::echo());
    }
    let invented = ToolCall::new("é\n".repeat(10_000), json!(1));
    let error = builder.build().oneshot(invented).await.unwrap_err();

    let text = error.to_string();
    assert!(text.len() < 400, "{} bytes", text.len());
    assert!(text.ends_with("`tool_007` and 92 more"), "{text}");
    assert!(!text.contains('\n'));
}

#[tokio::test]
async fn an_empty_registry_says_so() {
    let error = run(&ToolService::builder().build(), "echo", json!(1)).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "no tool is named `echo`: register it, none is registered yet"
    );
}

#[tokio::test]
async fn a_disabled_tool_is_a_policy() {
    let service = every_way_to_fail().build();
    service.set_enabled("switched_off", false).unwrap();
    let error = run(&service, "switched_off", json!(1)).await.unwrap_err();

    assert!(matches!(&error, ToolError::Disabled { tool } if &**tool == "switched_off"));
    assert_eq!(error.class(), ErrorClass::PolicyDenied);
}

#[tokio::test]
async fn bad_arguments_do_not_reach_the_tool() {
    let service = every_way_to_fail().build();
    let error = run(&service, "typed", json!(-1)).await.unwrap_err();

    assert!(matches!(&error, ToolError::InvalidArguments { tool, .. } if &**tool == "typed"));
    assert_eq!(error.class(), ErrorClass::InvalidArguments);
}

#[tokio::test]
async fn a_failing_tool_gives_its_own_error_as_the_source() {
    let service = every_way_to_fail().build();
    let error = run(&service, "fails", json!(1)).await.unwrap_err();

    assert_eq!(error.class(), ErrorClass::ToolFailed);
    assert_eq!(error.source().unwrap().to_string(), "the disk is full");
    assert_eq!(
        error.classification().message.as_deref(),
        Some("tool `fails` failed: the disk is full")
    );
}

#[tokio::test]
async fn a_result_that_is_no_json_is_a_failure() {
    let keys = tool_fn(|_: Value, _: CallContext| async {
        Ok::<_, BoxError>(std::collections::BTreeMap::from([((1, 2), 3)]))
    });
    let error = run(&only("keys", keys), "keys", json!(1))
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::ToolFailed);
}

#[tokio::test]
async fn a_panic_a_denial_and_their_classes() {
    let service = every_way_to_fail().build();
    let panicked = run(&service, "panics", json!(1)).await.unwrap_err();
    assert!(matches!(panicked, ToolError::Panicked { .. }));
    assert_eq!(panicked.class(), ErrorClass::Panic);

    let denied = run(&service, "denied", json!(1)).await.unwrap_err();
    assert!(matches!(denied, ToolError::Denied { .. }));
    assert_eq!(denied.class(), ErrorClass::ApprovalDenied);
}

#[tokio::test]
async fn a_tool_error_from_within_a_tool_keeps_its_type() {
    let picky = tool_fn(|_: Value, _: CallContext| async {
        Err::<Value, _>(ToolError::InvalidArguments {
            tool: "picky".into(),
            reason: "the end comes before the start".into(),
        })
    });
    let error = run(&only("picky", picky), "picky", json!(1)).await;
    assert!(matches!(error, Err(ToolError::InvalidArguments { .. })));
}

#[tokio::test]
async fn a_registry_within_a_registry_keeps_its_errors() {
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

/// An error that wraps another, as an application's own do.
#[derive(Debug)]
struct Wrapped(BoxError);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the step went wrong")
    }
}

impl Error for Wrapped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

async fn class_of(source: impl Into<BoxError>) -> ErrorClass {
    let source = std::sync::Mutex::new(Some(source.into()));
    let source = std::sync::Arc::new(source);
    let wraps = service_fn(move |_: ToolCall| {
        let source = source.lock().expect("nobody panicked").take();
        async move { Err::<ToolOutput, BoxError>(source.expect("called once")) }
    });
    let error = run(&only("wraps", wraps), "wraps", json!(1)).await;
    let error = error.expect_err("it fails");
    assert!(matches!(error, ToolError::Failed { .. }));
    error.class()
}

#[tokio::test]
async fn a_failure_that_wraps_a_tool_error_has_its_class() {
    let cause = || ToolError::Disabled {
        tool: "helper".into(),
    };
    let wrapped = Wrapped(Box::new(cause()));
    assert_eq!(class_of(wrapped).await, ErrorClass::PolicyDenied);
    let hidden = io::Error::other(cause());
    assert_eq!(class_of(hidden).await, ErrorClass::PolicyDenied);
}

#[tokio::test]
async fn a_file_that_a_tool_could_not_read_is_a_tool_that_failed() {
    let error = io::Error::from(io::ErrorKind::UnexpectedEof);
    assert_eq!(class_of(error).await, ErrorClass::ToolFailed);
    let error = io::Error::other("boom");
    assert_eq!(class_of(error).await, ErrorClass::ToolFailed);
}

#[tokio::test(start_paused = true)]
async fn a_tool_with_a_timeout_of_its_own_fails_as_timeout() {
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
fn every_text_says_which_tool() {
    let tool: std::sync::Arc<str> = "hammer".into();
    let source = || BoxError::from("broken");
    let (a, b, c, d, e, f) = (
        tool.clone(),
        tool.clone(),
        tool.clone(),
        tool.clone(),
        tool.clone(),
        tool.clone(),
    );
    let reason = "because".to_owned();
    let after = Duration::from_secs(3);
    #[rustfmt::skip]
    let said = [
        (ToolError::Disabled { tool: a }, "is disabled"),
        (ToolError::Denied { tool: b, reason }, "its approver denied it: because"),
        (ToolError::ApprovalTimeout { tool: c, after }, "no approver answered within 3s"),
        (ToolError::ApprovalFailed { tool: d, source: source() }, "its approver failed"),
        (ToolError::Failed { tool: e, source: source() }, "failed"),
        (ToolError::Panicked { tool: f, message: "oh".into() }, "panicked, mend it: oh"),
    ];
    for (error, what) in said {
        let text = error.to_string();
        assert!(text.starts_with("tool `hammer` "), "{text}");
        assert!(text.contains(what), "{text}");
    }
}

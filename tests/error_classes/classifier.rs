//! The classes that `CodexClassifier` gives, with errors as their sources return them.

use std::{io, os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use codex_telemetry::{
    BoxError, Classify, CodexClassifier, ErrorClass as C, ToolError, TurnError,
    turn::{CodexErrorInfo, CodexExec, TurnRequest},
};
use tokio::runtime;
use tower::{
    Service, ServiceBuilder, ServiceExt, buffer::Buffer, load_shed::error::Overloaded, service_fn,
    timeout::error::Elapsed,
};

use crate::support::failed;

fn tool(source: impl Into<BoxError>) -> ToolError {
    ToolError::Failed {
        tool: "t".into(),
        source: source.into(),
    }
}

#[test]
fn an_io_error_has_the_class_of_its_kind() {
    use io::ErrorKind as K;
    for (kind, class) in [
        (K::TimedOut, C::Timeout),
        (K::ConnectionRefused, C::Transport),
        (K::ConnectionReset, C::Transport),
        (K::ConnectionAborted, C::Transport),
        (K::NotConnected, C::Transport),
        (K::HostUnreachable, C::Transport),
        (K::NetworkUnreachable, C::Transport),
        (K::NetworkDown, C::Transport),
        (K::BrokenPipe, C::Transport),
        (K::UnexpectedEof, C::Transport),
        (K::NotFound, C::Io),
        (K::PermissionDenied, C::Io),
        (K::StorageFull, C::Io),
        (K::Other, C::Io),
    ] {
        let error = io::Error::from(kind);
        assert_eq!(CodexClassifier.classify(&error).class, class, "{kind:?}");
        let boxed: BoxError = error.into();
        assert_eq!(CodexClassifier.classify(&boxed).class, class, "{kind:?}");
    }
}

#[tokio::test]
async fn errors_of_towers_layers_have_their_classes() {
    assert_eq!(CodexClassifier.classify(&Elapsed::new()).class, C::Timeout);
    assert_eq!(
        CodexClassifier.classify(&Overloaded::new()).class,
        C::Overloaded
    );

    let mut slow = ServiceBuilder::new()
        .timeout(Duration::from_millis(1))
        .service_fn(|()| std::future::pending::<Result<(), BoxError>>());
    let error = slow.ready().await.unwrap().call(()).await.unwrap_err();
    assert_eq!(CodexClassifier.classify(&error).class, C::Timeout);
}

#[tokio::test]
async fn a_buffer_without_its_worker_is_interrupted() {
    let works = || service_fn(|()| async { Ok::<_, BoxError>(()) });
    let (buffer, worker) = Buffer::pair(works(), 1);
    drop(worker);
    let error = buffer.oneshot(()).await.unwrap_err();
    assert!(error.is::<tower::buffer::error::Closed>(), "{error:?}");
    assert_eq!(CodexClassifier.classify(&error).class, C::Interrupted);
}

#[tokio::test]
async fn a_buffer_whose_service_failed_has_the_class_of_that_error() {
    let broken = tower::util::BoxService::new(NeverReady);
    let (mut buffer, worker) = Buffer::pair(broken, 1);
    tokio::spawn(worker);
    let call = buffer.ready().await.unwrap().call(());
    let error = call.await.unwrap_err();
    assert_eq!(
        CodexClassifier.classify(&error).class,
        C::Transport,
        "{error:?}"
    );
}

/// A service that fails before it is ready.
struct NeverReady;

impl Service<()> for NeverReady {
    type Response = ();
    type Error = BoxError;
    type Future = std::future::Ready<Result<(), BoxError>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        std::task::Poll::Ready(Err(refused.into()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        std::future::ready(Ok(()))
    }
}

#[tokio::test]
async fn a_task_that_panicked_is_a_panic_and_an_aborted_one_is_interrupted() {
    let panicked = tokio::spawn(async { panic!("intended") })
        .await
        .unwrap_err();
    assert_eq!(CodexClassifier.classify(&panicked).class, C::Panic);

    let task = tokio::spawn(std::future::pending::<()>());
    task.abort();
    let aborted = task.await.unwrap_err();
    assert_eq!(CodexClassifier.classify(&aborted).class, C::Interrupted);
    assert_eq!(
        CodexClassifier.classify(&tool(aborted)).class,
        C::Interrupted
    );
}

#[test]
fn a_turn_whose_runtime_has_shut_down_is_interrupted() {
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let error = {
        let _entered = handle.enter();
        let mut turn = tokio_test::task::spawn(CodexExec::new().oneshot(TurnRequest::new("Go")));
        let std::task::Poll::Ready(result) = turn.poll() else {
            panic!("the turn is pending");
        };
        result.unwrap_err()
    };
    assert_eq!(
        CodexClassifier.classify(&error).class,
        C::Interrupted,
        "{error:?}"
    );
}

#[tokio::test]
async fn class_retry_after_and_message_are_found_in_every_wrapper() {
    let retry_after = Some(Duration::from_millis(1500));
    let limited = || failed("rate limit exceeded: try again in 1.5s");

    let found = CodexClassifier.classify(&limited().await);
    assert_eq!(
        (found.class, found.retry_after),
        (C::RateLimit, retry_after)
    );

    let boxed: BoxError = io::Error::other(limited().await).into();
    let found = CodexClassifier.classify(&boxed);
    assert_eq!(
        (found.class, found.retry_after),
        (C::RateLimit, retry_after)
    );

    let found = CodexClassifier.classify(&tool(tool(limited().await)));
    assert_eq!(
        (found.class, found.retry_after),
        (C::RateLimit, retry_after)
    );
    let message = found.message.unwrap();
    assert!(message.contains("tool `t` failed"), "{message}");
    assert!(message.contains("try again in 1.5s"), "{message}");

    // An approver can be an agent, and then knows when to retry.
    let found = CodexClassifier.classify(&ToolError::ApprovalFailed {
        tool: "t".into(),
        source: limited().await.into(),
    });
    assert_eq!(
        (found.class, found.retry_after),
        (C::ApprovalDenied, retry_after)
    );
}

#[tokio::test]
async fn a_retry_after_counts_where_the_text_of_codex_has_it() {
    let limit = "Rate limit reached for gpt-5.5 in organization org-x on tokens per min (TPM): Limit 9, \
                 Used 8, Requested 7. Please try again in 20ms. Visit https://platform.openai.com.";
    let plan =
        "You’ve hit your usage limit. Upgrade to Pro (https://openai.com), or try again in 20ms.";
    for (message, class, found) in [
        (
            "rate limit exceeded: Please try again in 20ms.".to_owned(),
            C::RateLimit,
            true,
        ),
        (format!("rate limit exceeded: {limit}"), C::RateLimit, true),
        (
            format!("stream disconnected before completion: {limit}"),
            C::RateLimit,
            true,
        ),
        (plan.to_owned(), C::UsageLimit, true),
        // Text of a provider, which may repeat the user's.
        (
            "rate limit exceeded: you said: try again in 20ms".to_owned(),
            C::RateLimit,
            false,
        ),
        (
            "rate limit exceeded: Rate limit reached. You said: try again in 20ms".to_owned(),
            C::RateLimit,
            false,
        ),
        (
            "unexpected status 503 Service Unavailable: try again in 20ms".to_owned(),
            C::Overloaded,
            false,
        ),
        (
            "stream disconnected before completion: you said: try again in 20ms".to_owned(),
            C::Transport,
            false,
        ),
        (
            "exceeded retry limit, last status: 429 Too Many Requests: try again in 20ms"
                .to_owned(),
            C::RateLimit,
            false,
        ),
        (
            r#"{"error":{"code":"rate_limit_exceeded","message":"try again in 20ms"}}"#.to_owned(),
            C::RateLimit,
            false,
        ),
    ] {
        let classified = CodexClassifier.classify(&failed(&message).await);
        assert_eq!(classified.class, class, "{message}");
        let expected = found.then_some(Duration::from_millis(20));
        assert_eq!(classified.retry_after, expected, "{message}");
    }
}

#[tokio::test]
async fn a_silent_stream_is_a_timeout() {
    let silent = "stream disconnected before completion: idle timeout waiting for SSE";
    let found = CodexClassifier.classify(&failed(silent).await);
    assert_eq!(found.class, C::Timeout);
}

#[tokio::test]
async fn the_text_of_others_is_recorded_through_no_wrapper() {
    let text = "rate limit exceeded: a \"secret\" of the user";
    let of_turn = || failed(text);
    let inline = format!("the agent says: {}", of_turn().await);
    let inline = Wrapper(inline, of_turn().await);
    let debug = Wrapper(format!("the agent: {:?}", of_turn().await), of_turn().await);
    for error in [
        of_turn().await.into(),
        io::Error::other(of_turn().await).into(),
        tool(of_turn().await).into(),
        inline.into(),
        debug.into(),
    ] as [BoxError; 5]
    {
        let found = CodexClassifier.classify(&error);
        let message = found.message.unwrap();
        assert!(!message.contains("secret"), "{message}");
        assert!(
            message.contains("the turn failed: rate limit exceeded"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn neither_text_of_a_process_that_exited_is_recorded_through_a_wrapper() {
    let exited = || TurnError::Exited {
        status: ExitStatus::from_raw(256),
        thread_started: true,
        message: Some("rate limit exceeded: private words of the user".to_owned()),
        stderr: "Error: secret output".to_owned(),
    };
    let debug = Wrapper(format!("the agent: {:?}", exited()), exited());
    let message = CodexClassifier.of(&debug).message.unwrap();
    assert!(
        !message.contains("secret") && !message.contains("private"),
        "{message}"
    );
}

#[tokio::test]
async fn the_text_of_a_turn_is_not_recorded_through_another_error_of_a_turn() {
    let io = TurnError::Io {
        action: "asking an agent",
        source: io::Error::other(failed("a secret of the user").await),
    };
    let message = CodexClassifier.of(&io).message.unwrap();
    assert!(!message.contains("secret"), "{message}");
}

#[tokio::test]
async fn the_text_of_a_turn_is_not_recorded_by_the_classification_of_a_tool() {
    let inner = failed("rate limit exceeded: a secret of the user").await;
    let classified = tool(inner).classification();
    assert_eq!(classified.class, C::ToolFailed);
    assert_eq!(
        classified.message.unwrap(),
        "tool `t` failed: the turn failed: rate limit exceeded …"
    );
}

/// An error that repeats its source in its own text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Wrapper(String, #[source] TurnError);

#[test]
fn an_error_of_the_app_server_has_its_class_and_records_no_text_of_others() {
    let secret = "the secret of another turn";
    let exited = |stderr: String| TurnError::ServerExited {
        status: Some(ExitStatus::from_raw(1 << 8)),
        stderr,
    };
    let rejected = |code, message: String| TurnError::Rejected {
        method: "thread/resume",
        code,
        message,
    };
    let lost = "the Codex server exited (exit status: 1) before the end of the turn";
    for (error, class, recorded) in [
        (
            TurnError::Failed {
                message: secret.to_owned(),
                info: Some(CodexErrorInfo::new("cyberPolicy")),
            },
            C::PolicyDenied,
            "the turn failed: the error `cyberPolicy`".to_owned(),
        ),
        (
            TurnError::Failed {
                message: secret.to_owned(),
                info: Some(CodexErrorInfo::new("httpConnectionFailed").with_http_status(401)),
            },
            C::Unauthorized,
            "the turn failed: the error `httpConnectionFailed` with the HTTP status 401; log in with \
             `codex login`, or give Codex the key that its provider requires"
                .to_owned(),
        ),
        (
            TurnError::Failed {
                message: secret.to_owned(),
                info: Some(CodexErrorInfo::new(secret)),
            },
            C::Other,
            "the turn failed: an unknown text of 26 bytes, which is not recorded".to_owned(),
        ),
        (exited(format!("Error: {secret}")), C::Transport, lost.to_owned()),
        (exited(secret.to_owned()), C::Transport, lost.to_owned()),
        (
            exited(format!("Error: Model provider `x` not found: {secret}")),
            C::Transport,
            format!("{lost}: Model provider …"),
        ),
        (
            rejected(-32600, format!("no rollout found for {secret}")),
            C::InvalidRequest,
            "Codex rejected `thread/resume` (code -32600): no rollout found …; check the thread and \
             the settings of the request"
                .to_owned(),
        ),
        (
            rejected(-32600, format!("failed to load configuration: {secret}")),
            C::Config,
            "Codex rejected `thread/resume` (code -32600): failed to load configuration …; check \
             Codex's configuration and the settings of the request"
                .to_owned(),
        ),
        (
            rejected(-32001, secret.to_owned()),
            C::Overloaded,
            "Codex rejected `thread/resume` (code -32001); run fewer turns at once".to_owned(),
        ),
        (
            rejected(-32603, secret.to_owned()),
            C::Other,
            "Codex rejected `thread/resume` (code -32603)".to_owned(),
        ),
        (
            TurnError::Unanswered {
                method: "turn/start",
                after: Duration::from_secs(30),
            },
            C::Transport,
            "Codex did not answer `turn/start` within 30s: raise the request timeout, or run fewer turns at once"
                .to_owned(),
        ),
        (
            TurnError::Interrupted,
            C::Interrupted,
            "the turn was interrupted, and not by this service: check who else uses its thread"
                .to_owned(),
        ),
        (
            TurnError::CancelledByApprover {
                tool: "deploy".to_owned(),
            },
            C::ApprovalDenied,
            "the approver of deploy cancelled the turn".to_owned(),
        ),
    ] {
        let text = error.to_string();
        let found = CodexClassifier.classify(&error);
        assert_eq!(found.class, class, "{text}");
        assert_eq!(found.message, Some(recorded), "{text}");
        let wrapped = CodexClassifier.classify(&tool(error));
        assert_eq!(wrapped.class, class, "{text}");
        assert!(!wrapped.message.unwrap().contains(secret), "{text}");
    }
}

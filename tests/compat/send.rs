//! A stack can be moved into an `async` block, called there, and the block spawned: its future is `Send`.
//!
//! What each test proves first is that it compiles. The compiler erases the lifetimes in the types that an
//! `async` block holds across an `await`, and checks `Send` without them. The block must hold the concrete
//! types, so a macro makes it, and not a generic function.

use std::{convert::Infallible, error::Error, fmt, fs, io, time::Duration};

use codex_telemetry::{
    ApprovalLayer, ApprovalRequest, AttachmentError, AttachmentStore, BoxError, BoxErrorClassifier,
    Call, CleanupRequest, CleanupService, CodexAppServer, CodexClassifier, CodexExec, Decision,
    ErrorClass, RetryPolicy, ServiceBuilderExt, ToolCall, ToolError, ToolService, ToolSpec, Ttl,
    TurnError, TurnRequest, tool_fn,
};
use serde_json::json;
use tower::{
    ServiceBuilder, ServiceExt, service_fn, timeout::error::Elapsed, util::BoxCloneSyncService,
};

use crate::support::*;

/// Sends `$request` to `$service` in a spawned block, and returns the class that `$classifier` gives the error.
macro_rules! class {
    ($service:expr, $request:expr, $classifier:expr) => {{
        let sink = MemorySink::new();
        let (stack, request) = (
            ServiceBuilder::new()
                .timing(sink.clone())
                .error_class($classifier)
                .service($service),
            $request,
        );
        let task = tokio::spawn(async move { stack.oneshot(request).await.map(drop) });
        assert!(task.await.expect("the task completes").is_err());
        only(&sink).error_class().expect("the error is classified")
    }};
}

// === errors ===

#[derive(Debug)]
struct ShopError;

impl fmt::Display for ShopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the shop is closed")
    }
}

impl Error for ShopError {}

// === classifiers ===

const SHOP: ErrorClass = ErrorClass::Custom("shop");

fn of_shop(_: &ShopError) -> ErrorClass {
    SHOP
}

fn of_box(_: &BoxError) -> ErrorClass {
    SHOP
}

impl ShopError {
    fn class(&self) -> ErrorClass {
        SHOP
    }
}

// === services ===

fn odd() -> Call<u32> {
    Call::new(WORK, 3)
}

/// A service with a boxed error that is unknown to `CodexClassifier`.
macro_rules! boxed {
    () => {
        service_fn(|call: Call<u32>| double(call.request))
    };
}

fn fails_io() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

fn no_codex() -> TurnRequest {
    TurnRequest::new("Go").with_env("CODEX_PATH", "/no/such/codex")
}

fn tools() -> ToolService {
    let shop = tool_fn(|(): (), _| async { Err::<(), _>(ShopError) });
    ToolService::builder()
        .tool(ToolSpec::new("shop", "A tool of the tests"), shop)
        .build()
        .unwrap()
}

fn tool_call() -> ToolCall {
    ToolCall::new("shop", json!(null))
}

// === concrete errors ===

#[tokio::test]
async fn a_service_fn_with_its_own_error() {
    let service = || service_fn(|_: Call<u32>| async { Err::<u32, _>(ShopError) });
    assert_eq!(class!(service(), odd(), |_: &ShopError| SHOP), SHOP);
    assert_eq!(class!(service(), odd(), of_shop), SHOP);
    assert_eq!(class!(service(), odd(), ShopError::class), SHOP);
    let known = CodexClassifier.with(|error| error.is::<ShopError>().then_some(SHOP));
    let by_reference = move |error: &ShopError| known.of(error);
    assert_eq!(class!(service(), odd(), by_reference), SHOP);
}

#[tokio::test]
async fn a_service_fn_with_an_error_of_the_standard_library() {
    let service = || service_fn(|_: Call<u32>| async { Err::<u32, _>(fails_io()) });
    let class = class!(service(), odd(), CodexClassifier);
    assert_eq!(class, ErrorClass::Transport);
    let none = CodexClassifier.with(|_| None::<ErrorClass>);
    assert_eq!(class!(service(), odd(), none), ErrorClass::Transport);
}

// === boxed errors ===

#[tokio::test]
async fn a_named_function_with_a_boxed_error() {
    assert_eq!(class!(boxed!(), odd(), of_box), SHOP);
    let class = class!(boxed!(), odd(), CodexClassifier);
    assert_eq!(class, ErrorClass::Other);
    let known = CodexClassifier.with(|error| (error.to_string() == "odd").then_some(SHOP));
    assert_eq!(class!(boxed!(), odd(), known), SHOP);
    let closure = BoxErrorClassifier::new(|error| match error.to_string().as_str() {
        "odd" => SHOP,
        _ => ErrorClass::Other,
    });
    assert_eq!(class!(boxed!(), odd(), closure), SHOP);
}

/// `CodexClassifier` does not compile in the block here, because the type of the service has `BoxError` in it.
/// The same holds for tower's `timeout` and `buffer`.
#[tokio::test]
async fn a_service_whose_type_names_box_error_is_spawned_directly_or_erased() {
    let service = service_fn(|_: Call<u32>| async { Err::<u32, _>(BoxError::from("odd")) });
    let sink = MemorySink::new();
    let stack = ServiceBuilder::new()
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service(service);
    let task = tokio::spawn(stack.clone().oneshot(odd()));
    assert!(task.await.expect("the task completes").is_err());
    assert_eq!(only(&sink).error_class(), Some(ErrorClass::Other));

    let stack = BoxCloneSyncService::new(stack);
    let task = tokio::spawn(async move { stack.oneshot(odd()).await });
    assert!(task.await.expect("the task completes").is_err());
    assert_eq!(only(&sink).error_class(), Some(ErrorClass::Other));
}

// === the services of the crate ===

#[tokio::test]
async fn a_turn_service() {
    let service = CodexExec::new;
    let spawn = ErrorClass::Spawn;
    assert_eq!(class!(service(), no_codex(), CodexClassifier), spawn);
    assert_eq!(
        class!(service(), no_codex(), TurnError::classification),
        spawn
    );
    assert_eq!(class!(service(), no_codex(), |_: &TurnError| SHOP), SHOP);
    let known = CodexClassifier.with(|error| error.is::<TurnError>().then_some(SHOP));
    assert_eq!(class!(service(), no_codex(), known), SHOP);
}

#[tokio::test]
async fn a_turn_service_with_an_approver() {
    let approver =
        || service_fn(|_: ApprovalRequest| async { Ok::<_, ShopError>(Decision::Accept) });
    let service = move || {
        let approver = ServiceBuilder::new()
            .timing(MemorySink::new())
            .error_class(|_: &ShopError| SHOP)
            .service(approver());
        let builder = CodexAppServer::builder().codex("/no/such/codex");
        builder.approver(approver, Duration::from_secs(60)).build()
    };
    let request = || TurnRequest::new("Go");
    let spawn = ErrorClass::Spawn;
    assert_eq!(class!(service(), request(), CodexClassifier), spawn);
    assert_eq!(
        class!(service(), request(), TurnError::classification),
        spawn
    );
    let boxed = BoxCloneSyncService::new(service());
    assert_eq!(class!(boxed, request(), CodexClassifier), spawn);
    let task = tokio::spawn(async move { service().start().await });
    let started = task.await.expect("the task completes");
    assert!(matches!(started, Err(TurnError::CodexNotFound { .. })));
    let task = tokio::spawn(async move { service().shutdown(Duration::ZERO).await });
    assert!(task.await.expect("the task completes").orphans.is_empty());
}

#[tokio::test]
async fn a_tool_service() {
    let failed = ErrorClass::ToolFailed;
    assert_eq!(class!(tools(), tool_call(), CodexClassifier), failed);
    assert_eq!(
        class!(tools(), tool_call(), ToolError::classification),
        failed
    );
    assert_eq!(class!(tools(), tool_call(), |_: &ToolError| SHOP), SHOP);
    let known = CodexClassifier.with(|error| error.is::<ShopError>().then_some(SHOP));
    assert_eq!(class!(tools(), tool_call(), known), SHOP);
}

#[tokio::test]
async fn a_cleanup_service() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = AttachmentStore::open(directory.path()).expect("it can be opened");
    let staged = store.stage_bytes("a", "a", Ttl::default()).await;
    staged.expect("it can be staged");
    // The store cannot open a directory as its lock.
    let lock = directory.path().join(".lock");
    fs::remove_file(&lock).expect("the store has made it");
    fs::create_dir(&lock).expect("it can be made");

    let service = || CleanupService::new(store.clone());
    let request = CleanupRequest::everything;
    let io = ErrorClass::Io;
    assert_eq!(class!(service(), request(), CodexClassifier), io);
    assert_eq!(
        class!(service(), request(), AttachmentError::classification),
        io
    );
    assert_eq!(
        class!(service(), request(), |_: &AttachmentError| SHOP),
        SHOP
    );
    let known = CodexClassifier.with(|error| error.is::<AttachmentError>().then_some(SHOP));
    assert_eq!(class!(service(), request(), known), SHOP);
}

#[tokio::test]
async fn approval_around_a_tool() {
    let guarded = || {
        let approver = service_fn(|_: ApprovalRequest| async {
            Ok::<_, Infallible>(Decision::decline("closed"))
        });
        ServiceBuilder::new()
            .layer(ApprovalLayer::new(approver, DEADLINE))
            .service(tools())
    };
    let denied = ErrorClass::ApprovalDenied;
    assert_eq!(class!(guarded(), tool_call(), CodexClassifier), denied);
    assert_eq!(
        class!(guarded(), tool_call(), ToolError::classification),
        denied
    );
    assert_eq!(class!(guarded(), tool_call(), |_: &ToolError| SHOP), SHOP);
    let known = CodexClassifier.with(|error| error.is::<ToolError>().then_some(SHOP));
    assert_eq!(class!(guarded(), tool_call(), known), SHOP);
}

// === tower's middleware ===

/// Asserts that each classifier of boxed errors works around `$service`.
macro_rules! assert_each_classifier {
    ($service:expr, $known:expr) => {
        let known: ErrorClass = $known;
        assert_eq!(class!($service, odd(), CodexClassifier), known);
        assert_eq!(
            class!($service, odd(), CodexClassifier.with(|_| Some(SHOP))),
            SHOP
        );
        assert_eq!(
            class!($service, odd(), BoxErrorClassifier::new(|_| SHOP)),
            SHOP
        );
        assert_eq!(class!($service, odd(), of_box), SHOP);
    };
}

#[tokio::test]
async fn a_buffer() {
    assert_each_classifier!(
        ServiceBuilder::new().buffer(4).service(boxed!()),
        ErrorClass::Other
    );
}

#[tokio::test(start_paused = true)]
async fn a_timeout() {
    let hangs = || service_fn(|_: Call<u32>| std::future::pending::<Result<u32, ShopError>>());
    assert_each_classifier!(
        ServiceBuilder::new()
            .timeout(Duration::from_millis(1))
            .service(hangs()),
        ErrorClass::Timeout
    );
    let closure = BoxErrorClassifier::new(|error| match error.downcast_ref() {
        Some(Elapsed { .. }) => SHOP,
        None => ErrorClass::Other,
    });
    let timeout = ServiceBuilder::new()
        .timeout(Duration::from_millis(1))
        .service(hangs());
    assert_eq!(class!(timeout, odd(), closure), SHOP);
}

#[tokio::test]
async fn load_shedding() {
    assert_each_classifier!(
        ServiceBuilder::new()
            .load_shed()
            .concurrency_limit(0)
            .service(boxed!()),
        ErrorClass::Overloaded
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry() {
    let policy = RetryPolicy::new;
    let retried = || ServiceBuilder::new().retry(policy()).service(boxed!());
    assert_each_classifier!(retried(), ErrorClass::Other);

    let extended = policy().classifier(CodexClassifier.with(|_| Some(ErrorClass::Transport)));
    let retried = ServiceBuilder::new().retry(extended).service(boxed!());
    assert_eq!(class!(retried, odd(), CodexClassifier), ErrorClass::Other);
    let closure = policy().classifier(BoxErrorClassifier::new(|_| ErrorClass::Transport));
    let retried = ServiceBuilder::new().retry(closure).service(boxed!());
    assert_eq!(class!(retried, odd(), CodexClassifier), ErrorClass::Other);
}

#[tokio::test]
async fn a_retried_turn_service() {
    let retried = || {
        ServiceBuilder::new()
            .retry(RetryPolicy::new())
            .service(CodexExec::new())
    };
    assert_eq!(
        class!(retried(), no_codex(), CodexClassifier),
        ErrorClass::Spawn
    );
    assert_eq!(class!(retried(), no_codex(), |_: &TurnError| SHOP), SHOP);
}

#[tokio::test]
async fn an_erased_service_with_its_own_error() {
    let service = || BoxCloneSyncService::new(tools());
    let failed = ErrorClass::ToolFailed;
    assert_eq!(class!(service(), tool_call(), CodexClassifier), failed);
    assert_eq!(class!(service(), tool_call(), |_: &ToolError| SHOP), SHOP);
}

#[tokio::test]
async fn a_whole_stack_in_a_spawned_block() {
    let sink = MemorySink::new();
    let stack = ServiceBuilder::new()
        .timing(sink.clone())
        .error_class(CodexClassifier.with(|error| error.is::<ShopError>().then_some(SHOP)))
        .load_shed()
        .buffer(8)
        .retry(RetryPolicy::new())
        .timeout(DEADLINE)
        .timing(sink.clone())
        .error_class(|_: &ShopError| SHOP)
        .service_fn(|_: Call<u32>| async { Err::<u32, _>(ShopError) });
    let task = tokio::spawn(async move { stack.oneshot(odd()).await });
    assert!(task.await.expect("the task completes").is_err());
    let classes: Vec<_> = ended(&sink).iter().map(|call| call.error_class()).collect();
    assert_eq!(classes, [Some(SHOP); 2]);
}

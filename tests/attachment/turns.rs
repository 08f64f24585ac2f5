//! Attachments of turns that wait, run, and are tried again.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use codex_telemetry::{
    CallContext, ErrorClass, RetryPolicy,
    attachment::{Attachment, CleanupRequest},
    turn::{CodexExec, Turn, TurnError, TurnRequest},
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::sync::mpsc;
use tower::{ServiceBuilder, ServiceExt, retry::RetryLayer, service_fn};

use crate::support::{DEADLINE, EXPIRED, Fixture, sweep};

const TURN: &str = r#"
echo '{"type":"thread.started","thread_id":"01a2021f-12be-7782-b2de-86dee0c040e2"}'
echo '{"type":"turn.started"}'
read -r _ < "$PIPE"
echo '{"type":"turn.completed","usage":{"input_tokens":1,"output_tokens":1}}'
"#;

/// Returns a request with an expired image that nobody else leases.
async fn request_with_image(fixture: &Fixture) -> (TurnRequest, PathBuf) {
    let image = fixture.store.stage_bytes("a.png", "a", EXPIRED).await;
    let image: Attachment = image.unwrap();
    let request = TurnRequest::new("a prompt").with_attachment(&image);
    assert_eq!(request.images(), std::slice::from_ref(&image.path));
    (request, image.path)
}

/// Sweeps everything, and returns how many attachments a lease kept.
async fn leased(fixture: &Fixture) -> u64 {
    sweep(&fixture.store, CleanupRequest::everything())
        .await
        .leased
}

/// A fake Codex that has begun a turn, and completes it once somebody writes to the pipe.
async fn run_until_the_pipe(
    request: TurnRequest,
    pipe: &Path,
) -> tokio::task::JoinHandle<Result<Turn, TurnError>> {
    mknodat(CWD, pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let (sender, mut progress) = mpsc::channel(8);
    let request = request
        .with_env("FAKE_CODEX", TURN)
        .with_env("PIPE", pipe)
        .with_progress(sender);
    let fake = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/turn/fake-codex");
    let service = CodexExec::builder().codex(fake).build();
    let turn = tokio::spawn(service.oneshot(request));
    let begun = tokio::time::timeout(DEADLINE, progress.recv()).await;
    assert!(begun.unwrap().is_some(), "the turn has ended");
    // A full channel would make the turn wait.
    drop(progress);
    turn
}

#[tokio::test]
async fn a_request_keeps_its_attachment_while_it_or_a_clone_waits() {
    let fixture = Fixture::new();
    let (request, path) = request_with_image(&fixture).await;
    let changed = request
        .clone()
        .with_model("gpt")
        .with_context(CallContext::new());
    drop(request);
    assert_eq!(leased(&fixture).await, 1);
    drop(changed);
    assert_eq!(leased(&fixture).await, 0);
    assert!(!path.exists());
}

#[tokio::test]
async fn an_attachment_that_is_no_image_by_its_name_is_a_file_of_the_prompt() {
    let fixture = Fixture::new();
    for (name, is_image) in [
        ("a.png", true),
        ("a.JPG", true),
        ("a.jpeg", true),
        ("a.gif", true),
        ("a.WebP", true),
        ("notes.txt", false),
        ("a.png.txt", false),
        ("a.svg", false),
        ("png", false),
    ] {
        let staged = fixture.store.stage_bytes(name, name, EXPIRED).await;
        let staged = staged.unwrap();
        let request = TurnRequest::new("a prompt").with_attachment(&staged);
        let images: &[PathBuf] = match is_image {
            true => std::slice::from_ref(&staged.path),
            false => &[],
        };
        assert_eq!(request.images(), images, "{name}");
        let files = (!is_image).then_some((name, &*staged.path));
        assert!(request.files().eq(files), "{name}");
        assert_eq!(request.prompt(), "a prompt");
        drop(staged);
        assert_eq!(leased(&fixture).await, 1, "{name}");
        drop(request);
        assert_eq!(leased(&fixture).await, 0, "{name}");
    }
}

#[tokio::test]
async fn an_attachment_that_is_gone_is_named_in_the_error_of_the_turn() {
    let fixture = Fixture::new();
    for name in ["a.png", "notes.txt"] {
        let mut staged = fixture.store.stage_bytes(name, "a", EXPIRED).await.unwrap();
        staged.release();
        let request = TurnRequest::new("a prompt").with_attachment(&staged);
        assert_eq!(leased(&fixture).await, 0);
        let service = CodexExec::builder().codex("/no/such/codex").build();
        let error = service.oneshot(request).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, TurnError::InvalidRequest { .. }), "{text}");
        assert!(text.contains(name), "{text}");
    }
}

#[tokio::test]
async fn a_file_with_a_lease_alone_is_kept_without_being_added_to_the_prompt() {
    let fixture = Fixture::new();
    let notes = fixture.store.stage_bytes("notes.txt", "a", EXPIRED).await;
    let notes = notes.unwrap();
    let prompt = format!("Summarize {}", notes.path.display());
    let request = TurnRequest::new(prompt).with_lease(&notes);
    assert!(request.images().is_empty());
    assert_eq!(request.files().count(), 0);
    drop(notes);
    assert_eq!(leased(&fixture).await, 1);
    drop(request);
    assert_eq!(leased(&fixture).await, 0);
}

#[tokio::test]
async fn a_turn_that_runs_keeps_its_attachment_until_it_ends() {
    let fixture = Fixture::new();
    let (request, path) = request_with_image(&fixture).await;
    let pipe = fixture.outside.path().join("pipe");
    let turn = run_until_the_pipe(request, &pipe).await;
    assert_eq!(leased(&fixture).await, 1);
    assert!(path.exists());
    tokio::fs::write(&pipe, "go\n").await.unwrap();
    let turn = tokio::time::timeout(DEADLINE, turn).await;
    turn.unwrap().unwrap().unwrap();
    assert_eq!(leased(&fixture).await, 0);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_turn_that_is_cancelled_gives_up_its_attachment() {
    let fixture = Fixture::new();
    let (request, path) = request_with_image(&fixture).await;
    let pipe = fixture.outside.path().join("pipe");
    let turn = run_until_the_pipe(request, &pipe).await;
    turn.abort();
    assert!(turn.await.unwrap_err().is_cancelled());
    assert_eq!(leased(&fixture).await, 0);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_turn_that_is_tried_again_keeps_its_attachment_between_the_attempts() {
    let fixture = Arc::new(Fixture::new());
    let (request, path) = request_with_image(&fixture).await;
    let attempts = Arc::new(AtomicUsize::new(0));
    let (counted, swept) = (Arc::clone(&attempts), Arc::clone(&fixture));
    let backend = service_fn(move |request: TurnRequest| {
        let (attempts, fixture) = (Arc::clone(&counted), Arc::clone(&swept));
        async move {
            assert!(request.images().iter().all(|image| image.exists()));
            if attempts.fetch_add(1, Relaxed) > 0 {
                return Ok(Turn::new());
            }
            // The attempt is over: only the retry layer still has the request.
            drop(request);
            assert_eq!(leased(&fixture).await, 1);
            Err(TurnError::failed(
                "rate limit exceeded, try again in 0.001s",
            ))
        }
    });
    let policy = RetryPolicy::new().retry_if(|_, class| class == ErrorClass::RateLimit);
    let service = ServiceBuilder::new()
        .layer(RetryLayer::new(policy))
        .service(backend);
    service.oneshot(request).await.unwrap();
    assert_eq!(attempts.load(Relaxed), 2);
    assert_eq!(leased(&fixture).await, 0);
    assert!(fs::metadata(path).is_err());
}

//! The recorded messages of a wrong setup say what to do. The messages of Codex are those of the real Codex, as
//! `tests/real_codex` records them.

use codex_telemetry::{
    CodexClassifier, ToolError,
    turn::{CodexExec, TurnError, TurnRequest},
};
use tower::ServiceExt;

use crate::support::{failed, turn_error};

/// Returns the message on the event.
fn message(error: &TurnError) -> String {
    CodexClassifier.of(error).message.unwrap()
}

async fn error_of(request: TurnRequest) -> TurnError {
    CodexExec::new().oneshot(request).await.unwrap_err()
}

#[tokio::test]
async fn without_codex() {
    let request = TurnRequest::new("Go").with_env("CODEX_PATH", "/no/such/codex");
    assert_eq!(
        message(&error_of(request).await),
        "Codex CLI not found (searched CODEX_PATH=/no/such/codex): install it (npm install -g @openai/codex), \
         or set CODEX_PATH to the binary"
    );
}

#[tokio::test]
async fn with_a_file_that_is_not_codex() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("codex");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let request = TurnRequest::new("Go").with_env("CODEX_PATH", &path);
    assert_eq!(
        message(&error_of(request).await),
        format!(
            "cannot start {}: check that it is the Codex CLI for this machine: Exec format error (os error 8)",
            path.display()
        )
    );
}

#[tokio::test]
async fn without_a_key() {
    assert_eq!(
        message(&failed("Missing environment variable: `OPENAI_API_KEY`.").await),
        "the turn failed: Missing environment variable: `OPENAI_API_KEY`; log in with `codex login`, or \
         give Codex the key that its provider requires"
    );
}

#[tokio::test]
async fn with_an_invalid_key() {
    let refused = "unexpected status 401 Unauthorized: Incorrect API key provided";
    let advice = "log in with `codex login`, or give Codex the key that its provider requires";
    let error = failed(refused).await;
    assert_eq!(
        error.to_string(),
        format!("the turn failed: {refused}; {advice}")
    );
    assert_eq!(
        message(&error),
        format!("the turn failed: unexpected status 401 …; {advice}")
    );
}

#[tokio::test]
async fn with_an_unknown_model() {
    let unknown = "The model `gpt-0` does not exist or you do not have access to it.";
    assert_eq!(
        message(&failed(unknown).await),
        "the turn failed: The model `gpt-0` does not exist or you do not have access to it; check the \
         model and the other settings of the request"
    );
}

#[tokio::test]
async fn in_a_missing_directory() {
    let request = TurnRequest::new("Go").with_working_directory("/no/such/directory");
    assert_eq!(
        message(&error_of(request).await),
        "invalid working directory /no/such/directory: create it, or choose another one"
    );
}

#[tokio::test]
async fn in_an_untrusted_directory() {
    let words = "Not inside a trusted directory and --skip-git-repo-check was not specified.";
    let error = turn_error(&format!("echo '{words}' >&2; exit 1")).await;
    let exited = "Codex exited (exit status: 1) before the end of the turn";
    assert_eq!(error.to_string(), format!("{exited}: {words}"));
    assert_eq!(
        message(&error),
        format!("{exited}: Not inside a trusted directory …")
    );
}

#[test]
fn with_a_denied_approval() {
    let denied = ToolError::Denied {
        tool: "deploy".into(),
        reason: "not on a Friday".to_owned(),
    };
    assert_eq!(
        denied.to_string(),
        "tool `deploy` was declined by its approver: not on a Friday; continue without it, or have it \
         accepted"
    );
}

//! Errors of real turns.

use std::path::PathBuf;

use codex_telemetry::turn::{CodexExec, TurnError, TurnRequest};
use tower::ServiceExt;

/// Returns the error of a turn with a Codex that runs `script`.
pub(crate) async fn turn_error(script: &str) -> TurnError {
    let fake = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/turn/fake-codex");
    let turns = CodexExec::builder().codex(fake).build();
    let request = TurnRequest::new("a prompt").with_env("FAKE_CODEX", script);
    turns.oneshot(request).await.unwrap_err()
}

/// Returns the error of a turn that Codex reports as failed.
pub(crate) async fn failed(message: &str) -> TurnError {
    let failed = serde_json::json!({"type": "turn.failed", "error": {"message": message}});
    turn_error(&format!("cat <<'END'\n{failed}\nEND\nexit 1")).await
}

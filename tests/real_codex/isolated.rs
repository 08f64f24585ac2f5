//! A request that does not depend on the Codex of the machine.

use std::{env, ffi::OsString, path::Path};

use codex_telemetry::turn::{Sandbox, TurnRequest};
use serde_json::{Value, json};

/// The beginnings of the variables that Codex must not inherit from the machine.
const FOREIGN: &[&str] = &["CODEX_", "OTEL_", "OPENAI_", "RUST_"];

/// The variable that the service sets itself, unless the request sets or removes it.
const ORIGINATOR: &str = "CODEX_INTERNAL_ORIGINATOR_OVERRIDE";

/// Returns a request to the model at `base_url`, with `home` as `CODEX_HOME` and `HOME`, and `work` as the
/// working directory.
pub(crate) fn isolated_request(
    base_url: &str,
    home: &Path,
    work: &Path,
    prompt: impl Into<String>,
) -> TurnRequest {
    let request = TurnRequest::new(prompt)
        .with_model("gpt-5.5")
        .with_working_directory(work)
        .with_sandbox(Sandbox::DangerFullAccess);
    let request = settings(base_url)
        .into_iter()
        .fold(request, |request, (key, value)| {
            request.with_config(key, value)
        });
    let inherited = foreign_variables().filter(|name| name != ORIGINATOR);
    inherited
        .fold(request, |request, name| request.without_env(name))
        .with_env("CODEX_HOME", home)
        .with_env("HOME", home)
        .with_env("MOCK_KEY", "k")
}

/// Returns the configuration with the model at `base_url`, which is asked once.
pub(crate) fn settings(base_url: &str) -> [(&'static str, Value); 4] {
    let provider = json!({
        "name": "mock",
        "base_url": base_url,
        "env_key": "MOCK_KEY",
        "wire_api": "responses",
        "request_max_retries": 0,
        "stream_max_retries": 0,
        "stream_idle_timeout_ms": 60_000,
    });
    [
        ("analytics.enabled", false.into()),
        ("otel.metrics_exporter", "none".into()),
        ("model_provider", "mock".into()),
        ("model_providers.mock", provider),
    ]
}

/// Returns the variables that Codex must not inherit from the machine.
pub(crate) fn foreign_variables() -> impl Iterator<Item = OsString> {
    let foreign = |name: &OsString| {
        let name = name.to_string_lossy();
        // Codex does not read the variables of this crate's export.
        !name.starts_with("CODEX_OTLP_") && FOREIGN.iter().any(|start| name.starts_with(start))
    };
    env::vars_os().map(|(name, _)| name).filter(foreign)
}

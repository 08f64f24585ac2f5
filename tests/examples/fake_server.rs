//! The examples with the fake of `codex app-server`.

use std::{path::PathBuf, process::Command};

use crate::support::{example, exec};

/// Returns a command that runs the example `app_server` with the fake of `codex app-server`.
pub(crate) fn app_server() -> Command {
    with_fake("app_server")
}

/// Returns a command that runs the example `host_tools` with the fake of `codex app-server`.
#[cfg(all(feature = "mcp", feature = "schemars"))]
pub(crate) fn host_tools() -> Command {
    with_fake("host_tools")
}

fn with_fake(name: &str) -> Command {
    let mut command = example(name);
    command
        .env("CODEX_PATH", fake_app_server())
        .env_remove("TRACEPARENT")
        .env_remove("TRACESTATE");
    command
}

/// Returns a command that runs the example `exec` with the fake of `codex app-server`.
pub(crate) fn exec_by_app_server() -> Command {
    let mut command = exec("");
    command
        .arg("--app-server")
        .env("CODEX_PATH", fake_app_server());
    command
}

fn fake_app_server() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/examples/fake-app-server")
}

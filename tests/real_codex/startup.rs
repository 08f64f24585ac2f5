//! Errors of configuration and environment, with which Codex does not start a turn.

use std::{fs, os::unix::fs::PermissionsExt};

use codex_telemetry::{ErrorClass as C, turn::TurnError};
use serde_json::json;

use crate::{
    app_server::Transport,
    bench::Bench,
    reply::Reply,
    table::{Setup, each_by_both, each_request_is_rejected, request_fails_at_the_model},
};

#[tokio::test]
async fn an_invalid_setting_is_a_config_error() {
    each_request_is_rejected([
        (
            "config.toml is broken",
            "config.toml:1:1",
            C::Config,
            (|bench, request| {
                fs::write(bench.home.path().join("config.toml"), "= broken").unwrap();
                request
            }) as Setup,
        ),
        (
            "config.toml has a value of the wrong type",
            "in `model`",
            C::Config,
            |bench, request| {
                fs::write(bench.home.path().join("config.toml"), "model = 7").unwrap();
                request
            },
        ),
        (
            "config.toml is a directory",
            "is not a file",
            C::Config,
            |bench, request| {
                fs::create_dir(bench.home.path().join("config.toml")).unwrap();
                request
            },
        ),
        (
            "a setting has a value that does not exist",
            "in `approval_policy`",
            C::Config,
            |_, request| request.with_config("approval_policy", "maybe"),
        ),
        (
            "a setting is no longer supported",
            "no longer supported",
            C::Config,
            |_, request| request.with_config("profile", "old"),
        ),
        (
            "a model provider that is not configured",
            "Model provider `none` not found",
            C::Config,
            |_, request| request.with_config("model_provider", "none"),
        ),
        (
            "an MCP server without a command",
            "in `mcp_servers.stub`",
            C::Config,
            |_, request| request.with_config("mcp_servers.stub", json!({"comand": "x"})),
        ),
        (
            "a required MCP server that does not exist",
            "required MCP servers failed",
            C::Config,
            |_, request| {
                let server = json!({"command": "/no/such/server", "required": true});
                request.with_config("mcp_servers.stub", server)
            },
        ),
        (
            "a required MCP server that exits",
            "required MCP servers failed",
            C::Config,
            |_, request| {
                let server = json!({"command": "false", "required": true});
                request.with_config("mcp_servers.stub", server)
            },
        ),
        (
            "a required MCP server that does not answer",
            "timed out handshaking",
            C::Config,
            |_, request| {
                let server = json!({
                    "command": "sleep",
                    "args": ["60"],
                    "startup_timeout_sec": 0.3,
                    "required": true,
                });
                request.with_config("mcp_servers.stub", server)
            },
        ),
        (
            "rules for commands are broken",
            "Error loading rules",
            C::Config,
            |bench, request| {
                let rules = bench.home.path().join("rules");
                fs::create_dir(&rules).unwrap();
                fs::write(rules.join("default.rules"), "broken((").unwrap();
                request
            },
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_invalid_codex_home_is_reported() {
    each_request_is_rejected([
        (
            "`CODEX_HOME` does not exist",
            "does not exist",
            C::Config,
            (|bench, request| request.with_env("CODEX_HOME", bench.work.path().join("none")))
                as Setup,
        ),
        (
            "`CODEX_HOME` is a file",
            "is not a directory",
            C::Config,
            |_, request| request.with_env("CODEX_HOME", "/etc/passwd"),
        ),
        (
            "`CODEX_HOME` cannot be written to",
            "(os error ",
            C::Io,
            |_, request| request.with_env("CODEX_HOME", "/proc"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_rejected_prompt_is_an_invalid_request() {
    each_request_is_rejected([
        (
            "an empty prompt",
            "No prompt provided",
            C::InvalidRequest,
            (|bench, _| bench.request("")) as Setup,
        ),
        (
            "a prompt over a million characters",
            "maximum length of 1048576",
            C::InvalidRequest,
            |bench, _| bench.request("0123456789".repeat(1 << 17)),
        ),
        (
            "an empty model name",
            "No models are available",
            C::InvalidRequest,
            |_, request| request.with_model(""),
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_invalid_address_is_a_config_error() {
    let row = (
        "the provider's address is invalid",
        "`base_url`",
        C::Config,
        |bench: &Bench| bench.request_to("ftp://127.0.0.1/v1", "Go"),
    );
    request_fails_at_the_model(row, &[]).await;
}

#[tokio::test]
async fn a_binary_that_cannot_run_is_a_spawn_error() {
    let rows = [
        ("Codex is missing", "npm install", C::Spawn, None),
        (
            "Codex is not executable",
            "Codex CLI not found",
            C::Spawn,
            Some(("#!/bin/sh\n", 0o644)),
        ),
        (
            "Codex is an empty file",
            "check that it is the Codex CLI",
            C::Spawn,
            Some(("", 0o755)),
        ),
        (
            "Codex is of another machine",
            "check that it is the Codex CLI",
            C::Spawn,
            Some(("\x7fELF\x02\x01", 0o755)),
        ),
        (
            "Codex is a script without its interpreter",
            "cannot start",
            C::Spawn,
            Some(("#!/no/such/node\n", 0o755)),
        ),
        (
            "Codex is a launcher whose runtime is missing",
            "exit status: 127",
            C::Spawn,
            Some(("#!/usr/bin/env no-such-node\n", 0o755)),
        ),
    ];
    each_by_both(rows, |transport, (cause, text, class, file)| async move {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let path = bench.work.path().join("codex");
        if let Some((content, mode)) = file {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        }
        let result = bench.run_binary(transport, &path, bench.request("Go"));
        let error = result.await.unwrap_err();
        let message = codex_telemetry::CodexClassifier.of(&error).message.unwrap();
        assert!(message.contains(text), "{transport:?}: {cause}: {message}");
        bench.assert_rejected(cause, class, &error);
    })
    .await;
}

#[tokio::test]
async fn a_directory_as_the_binary_is_a_spawn_error() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let directory = bench.work.path();
        let result = bench.run_binary(transport, directory, bench.request("Go"));
        let error = result.await.unwrap_err();
        assert!(
            matches!(error, TurnError::CodexNotFound { .. }),
            "{error:?}"
        );
        bench.assert_rejected("Codex is a directory", C::Spawn, &error);
    }
}

#[tokio::test]
async fn an_invalid_working_directory_is_a_config_error() {
    each_request_is_rejected([
        (
            "the working directory does not exist",
            "create it, or choose another one",
            C::Config,
            (|bench, request| request.with_working_directory(bench.work.path().join("none")))
                as Setup,
        ),
        (
            "the working directory is a file",
            "create it, or choose another one",
            C::Config,
            |_, request| request.with_working_directory("/etc/passwd"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_unknown_flag_is_a_config_error() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        // As an older Codex would see a new flag of the service.
        let codex = bench.codex_after("set -- --no-such-flag \"$@\"");
        let result = bench.run_binary(transport, &codex, bench.request("Go"));
        let error = result.await.unwrap_err();
        assert!(error.to_string().contains("unexpected argument"), "{error}");
        bench.assert_rejected("an unknown flag", C::Config, &error);
    }
}

#[tokio::test]
async fn a_turn_completes_when_its_thread_cannot_be_stored() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    // A file in place of the directory of threads.
    fs::write(bench.home.path().join("sessions"), "").unwrap();
    let turn = bench.run(bench.request("Go")).await.unwrap();
    assert_eq!(turn.final_message.as_deref(), Some("done"));
    crate::calls::assert_ok(bench.calls(1).turn());
}

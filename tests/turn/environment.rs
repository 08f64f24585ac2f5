//! What a service sets for its requests, and what Codex inherits.

use std::{env, process::Command};

use codex_telemetry::turn::{Sandbox, TurnRequest};

use crate::{request::echoed_by, support::fake_codex};

/// What the telemetry export of this program keeps for itself.
const CREDENTIALS: [&str; 7] = [
    "CODEX_OTLP_HEADERS",
    "CODEX_OTLP_HEADERS_FILE",
    "CODEX_OTLP_KEYFILE",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
];

/// Set in the program.
const PROGRAM: &str = "ENVIRONMENT_TEST_PROGRAM";

/// The test starts its own binary again, as a program with credentials in its environment.
#[tokio::test]
async fn credentials_of_the_telemetry_export_are_not_inherited() {
    let test = "environment::credentials_of_the_telemetry_export_are_not_inherited";
    if env::var_os(PROGRAM).is_none() {
        let program = Command::new(env::current_exe().unwrap())
            .args(["--exact", test])
            .env(PROGRAM, "1")
            .envs(CREDENTIALS.map(|name| (name, "secret")))
            .env("CODEX_OTLP_ENDPOINT", "http://localhost")
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&program.stdout);
        assert!(output.contains("1 passed"), "{output}");
        return;
    }
    let names = "env | grep '^[A-Z_]*OTLP[A-Z_]*=' | cut -d = -f 1 | tr '\\n' ' '";
    let inherited = echoed_by(fake_codex(), TurnRequest::new(""), names).await;
    assert_eq!(inherited.trim(), "CODEX_OTLP_ENDPOINT");

    // Set explicitly, they are passed on.
    let service = CREDENTIALS
        .iter()
        .fold(fake_codex(), |service, name| service.env(name, "other"));
    let count = "env | grep -c '^[A-Z_]*OTLP[A-Z_]*=other'";
    let passed = echoed_by(service, TurnRequest::new(""), count).await;
    assert_eq!(passed, CREDENTIALS.len().to_string());
}

#[tokio::test]
async fn a_cleared_environment_has_what_the_service_and_the_request_set() {
    let service = fake_codex()
        .env("FROM_SERVICE", "service")
        .env("REPLACED", "service")
        .env("REMOVED", "service")
        .env_clear();
    let request = TurnRequest::new("")
        .with_env("REPLACED", "request")
        .without_env("REMOVED");
    let show = r#"printf %s "${HOME-unset} $FROM_SERVICE $REPLACED ${REMOVED-unset}""#;
    let seen = echoed_by(service, request, show).await;
    assert_eq!(seen, "unset service request unset");
}

#[tokio::test]
async fn a_variable_that_the_service_removes_is_not_inherited() {
    let show = r#"printf %s "${HOME-unset}""#;
    let service = fake_codex().env_remove("HOME");
    let request = TurnRequest::new("");
    assert_eq!(echoed_by(service, request, show).await, "unset");
}

#[tokio::test]
async fn a_request_without_settings_has_those_of_the_service() {
    let directory = tempfile::tempdir().unwrap();
    let service = fake_codex()
        .model("of-service")
        .sandbox(Sandbox::ReadOnly)
        .working_directory(directory.path())
        .config("a", 1);
    let arguments = echoed_by(service, TurnRequest::new(""), r#"printf '[%s]' "$@""#).await;
    let cd = directory.path().display();
    assert_eq!(
        arguments,
        format!("[exec][--json][--config=a=1][--model=of-service][--sandbox=read-only][--cd={cd}]")
    );
}

#[tokio::test]
async fn a_setting_of_the_request_wins_and_its_configuration_is_last() {
    let directory = tempfile::tempdir().unwrap();
    let service = fake_codex()
        .model("of-service")
        .sandbox(Sandbox::ReadOnly)
        .working_directory("/no/such/directory")
        .config("a", 1);
    let request = TurnRequest::new("")
        .with_model("of-request")
        .with_sandbox(Sandbox::WorkspaceWrite)
        .with_working_directory(directory.path())
        .with_config("a", 2);
    let arguments = echoed_by(service, request, r#"printf '[%s]' "$@""#).await;
    let cd = directory.path().display();
    assert_eq!(
        arguments,
        format!(
            "[exec][--json][--config=a=1][--config=a=2][--model=of-request]\
             [--sandbox=workspace-write][--cd={cd}]"
        )
    );
}

#[tokio::test]
async fn the_request_decides_before_the_service_whether_its_thread_is_ephemeral() {
    let plain = || TurnRequest::new("");
    let keeping = || plain().with_ephemeral(false);
    let forgetting = || plain().with_ephemeral(true);
    for (service, request, expected) in [
        (fake_codex(), plain(), false),
        (fake_codex().ephemeral(true), plain(), true),
        (fake_codex().ephemeral(true), keeping(), false),
        (fake_codex().ephemeral(false), forgetting(), true),
    ] {
        let arguments = echoed_by(service, request, r#"printf '[%s]' "$@""#).await;
        assert_eq!(arguments.contains("[--ephemeral]"), expected, "{arguments}");
    }
}

#[test]
fn the_debug_output_of_a_service_has_no_secrets() {
    let service = fake_codex().env("KEY", "a-secret").config("b", "a-secret");
    let text = format!("{service:?} {:?}", service.clone().build());
    assert!(text.contains("KEY") && !text.contains("secret"), "{text}");
}

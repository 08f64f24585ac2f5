use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use codex_telemetry::{
    CallContext, ErrorClass, Originator,
    turn::{
        ApprovalPolicy, CodexAppServer, CodexExec, CodexExecBuilder, Sandbox, Turn, TurnError,
        TurnRequest,
    },
};
use serde_json::json;
use tower::ServiceExt;

use crate::support::{GOOD_TURN, Stack, THREAD, fake_codex, request, run};

/// Runs a request, and returns the output of `script` in the fake.
async fn echoed(request: TurnRequest, script: &str) -> String {
    let service = fake_codex().skip_git_repo_check(true);
    echoed_by(service, request, script).await
}

/// As [`echoed`], with a service.
pub(crate) async fn echoed_by(
    service: CodexExecBuilder,
    request: TurnRequest,
    script: &str,
) -> String {
    let stack = Stack::new(service);
    let script = format!(
        r#"output=$({script})
        printf '{{"type":"thread.started","thread_id":"{THREAD}"}}\n'
        printf '{{"type":"item.completed","item":{{"id":"i","type":"agent_message","text":"%s"}}}}\n' "$output"
        echo '{{"type":"turn.completed","usage":{{"input_tokens":110}}}}'"#
    );
    let turn = stack.run(request.with_env("FAKE_CODEX", script)).await;
    turn.unwrap().final_message.unwrap()
}

#[tokio::test]
async fn all_settings_are_on_the_command_line_in_an_order_that_codex_accepts() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("a picture.png");
    std::fs::write(&image, "png").unwrap();
    let request = request("")
        .with_model("gpt-5.5")
        .with_working_directory(directory.path())
        .with_additional_directory("/opt")
        .with_sandbox(Sandbox::WorkspaceWrite)
        .with_config("a.b", 1)
        .with_config("c", "two words")
        .with_image(&image)
        .with_resume(THREAD.to_uppercase());
    // Without quotes, which would end the JSON string that the fake prints.
    let output = echoed(request, r#"printf '[%s]' "$@" | tr -d '"\\'"#).await;
    let (cd, image) = (directory.path().display(), image.display());
    assert_eq!(
        output,
        format!(
            "[exec][--json][--config=a.b=1][--config=c=two words][--model=gpt-5.5]\
             [--sandbox=workspace-write][--cd={cd}][--add-dir=/opt][--skip-git-repo-check]\
             [resume][{THREAD}][--image={image}]"
        )
    );
}

#[tokio::test]
async fn the_output_schema_is_in_a_file_that_is_removed() {
    let request = request("").with_output_schema(json!({"type": "object"}));
    let script = r#"for a in "$@"; do case $a in --output-schema=*)
        cat "${a#*=}" | tr -d '"'; printf ' %s' "${a#*=}";; esac; done"#;
    let output = echoed(request, script).await;
    let (schema, path) = output.split_once(' ').unwrap();
    assert_eq!(schema, "{type:object}");
    assert!(
        !std::path::Path::new(path).exists(),
        "{path} is left behind"
    );
}

#[tokio::test]
async fn the_whole_prompt_is_on_standard_input() {
    let prompt = "x".repeat(10 * 1024 * 1024);
    let output = echoed(TurnRequest::new(prompt.clone()), "wc -c | tr -d ' '").await;
    assert_eq!(output, prompt.len().to_string());
}

#[tokio::test]
async fn a_file_is_a_line_below_the_prompt_and_no_flag() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("the notes, one.txt");
    std::fs::write(&path, "plum").unwrap();
    let request = || TurnRequest::new("Sum it up").with_file(&path);
    let output = echoed(request(), "awk '{ printf \"%s|\", $0 }'").await;
    let path = path.display();
    assert_eq!(
        output,
        format!("Sum it up||Files attached by the user:|- the notes, one.txt: {path}|")
    );
    let arguments = echoed(request(), r#"printf '[%s]' "$@""#).await;
    assert_eq!(arguments, "[exec][--json][--skip-git-repo-check]");
}

#[tokio::test]
async fn a_file_that_the_prompt_cannot_name_is_named_in_the_error_and_does_not_start_codex() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &[u8]| {
        let path = directory.path().join(OsStr::from_bytes(name));
        std::fs::write(&path, "plum").unwrap();
        path
    };
    for (path, named) in [
        ("/no/such.txt".into(), "/no/such.txt is not a file"),
        (directory.path().to_owned(), "is not a file"),
        ("".into(), "is not a file"),
        (file(b"a\nb.txt"), r"/a\nb.txt has a control character"),
        (file("a\u{2028}b".as_bytes()), r"/a\u{2028}b has a control"),
        (file(b"caf\xe9.txt"), "has a path that is not UTF-8"),
    ] {
        let stack = Stack::new(fake_codex());
        let request = request("echo started >&2; exit 3").with_file(path);
        let text = stack.run(request).await.unwrap_err().to_string();
        assert!(
            text.starts_with("invalid turn request: the attached file "),
            "{text}"
        );
        assert!(text.contains(named), "{text}");
        assert!(!text.contains(char::is_control), "{text}");
        let class = stack.turn_event().error_class();
        assert_eq!(class, Some(ErrorClass::InvalidRequest));
    }
}

#[tokio::test]
async fn a_process_that_does_not_read_its_prompt_fails_with_its_own_error() {
    let stack = Stack::new(fake_codex());
    let prompt = TurnRequest::new("x".repeat(10 * 1024 * 1024));
    let output = "echo 'Error: Input exceeds the maximum length of 7 characters.' >&2; exit 1";
    let turn = stack.run(prompt.with_env("FAKE_CODEX", output)).await;
    let text = turn.unwrap_err().to_string();
    assert!(text.contains("exceeds the maximum length"), "{text}");
    assert_eq!(
        stack.turn_event().error_class(),
        Some(ErrorClass::InvalidRequest)
    );
}

#[tokio::test]
async fn codex_gets_the_originator_unless_the_request_sets_one() {
    let ask = "printf %s \"$CODEX_INTERNAL_ORIGINATOR_OVERRIDE\"";
    let name = "CODEX_INTERNAL_ORIGINATOR_OVERRIDE";
    // The stack sets `sdk` on requests without an originator.
    let plain = || TurnRequest::new("");
    let bot = CallContext::new().with_originator(Originator::named("bot").unwrap());
    assert_eq!(echoed(plain(), ask).await, "codex_sdk_rs");
    assert_eq!(echoed(plain().with_context(bot), ask).await, "bot");
    assert_eq!(echoed(plain().with_env(name, "mine"), ask).await, "mine");
    assert_eq!(echoed(plain().without_env(name), ask).await, "");
}

#[tokio::test]
async fn the_call_is_the_parent_of_codexs_own_spans() {
    let ask = "printf '%s %s' \"$TRACEPARENT\" \"$TRACESTATE\"";
    // Codex would take a traceparent with the random flag for invalid, so it gets the sampled flag alone.
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
    let stack = Stack::new(fake_codex());
    let context = CallContext::new().with_traceparent(parent, Some("vendor=1"));
    let script =
        format!(r#"printf '{{"type":"turn.failed","error":{{"message":"%s"}}}}\n' "$({ask})""#);
    let request = TurnRequest::new("")
        .with_context(context)
        .with_env("FAKE_CODEX", script);
    let Err(TurnError::Failed { message, .. }) = stack.run(request).await else {
        panic!("the turn did not fail");
    };
    let event = stack.turn_event();
    assert_eq!(
        event.trace_id().to_string(),
        "0af7651916cd43dd8448eb211c80319c"
    );
    assert_eq!(
        event.parent_span_id().unwrap().to_string(),
        "b7ad6b7169203331"
    );
    let ours = format!("00-{}-{}-01 vendor=1", event.trace_id(), event.span_id());
    assert_eq!(message, ours);
}

#[tokio::test]
async fn the_usage_of_a_resumed_turn_is_the_increase_of_the_threads_usage() {
    async fn resumed(request: TurnRequest) -> Turn {
        let stack = Stack::new(fake_codex());
        let script = format!(
            r#"echo '{{"type":"thread.started","thread_id":"{THREAD}"}}'
            echo '{{"type":"turn.completed","usage":{{"input_tokens":110}}}}'"#
        );
        let request = request.with_resume(THREAD).with_env("FAKE_CODEX", script);
        stack.run(request).await.unwrap()
    }

    let home = tempfile::tempdir().unwrap();
    let request = || TurnRequest::new("").with_env("CODEX_HOME", home.path());
    let unknown = resumed(request()).await;
    assert_eq!(unknown.usage, None);
    assert_eq!(unknown.thread_usage.unwrap().input_tokens, 110);

    let day = home.path().join("sessions/2026/11/22");
    std::fs::create_dir_all(&day).unwrap();
    let total = r#"{"type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":70}}}}"#;
    std::fs::write(
        day.join(format!("rollout-2026-11-22T00-00-00-{THREAD}.jsonl")),
        total,
    )
    .unwrap();
    let known = resumed(request()).await;
    assert_eq!(known.usage.unwrap().input_tokens, 40);
}

#[tokio::test]
async fn the_previous_usage_of_the_request_wins_over_the_threads_file() {
    let before = codex_telemetry::turn::Usage::default();
    let request = request(&format!(
        r#"echo '{{"type":"thread.started","thread_id":"{THREAD}"}}'
        echo '{{"type":"turn.completed","usage":{{"input_tokens":110}}}}'"#
    ))
    .with_resume(THREAD)
    .with_previous_usage(before);
    let turn = Stack::new(fake_codex()).run(request).await.unwrap();
    assert_eq!(turn.usage.unwrap().input_tokens, 110);
}

#[tokio::test]
async fn another_thread_than_the_resumed_one_is_an_invalid_request() {
    let script = r#"echo '{"type":"thread.started","thread_id":"another"}'; exec sleep 300"#;
    let turn = Stack::new(fake_codex())
        .run(request(script).with_resume(THREAD))
        .await;
    assert!(
        matches!(turn, Err(TurnError::InvalidRequest { .. })),
        "{turn:?}"
    );
}

#[tokio::test]
async fn a_request_that_codex_would_misread_does_not_start_it() {
    let started = "touch /dev/null; echo started >&2; exit 3";
    let directory = tempfile::tempdir().unwrap();
    let comma = directory.path().join("a,b.png");
    std::fs::write(&comma, "png").unwrap();
    let invalid = [
        (
            request(started).with_working_directory("/no/such"),
            ErrorClass::Config,
            "/no/such",
        ),
        (
            request(started).with_image("/no/such.png"),
            ErrorClass::InvalidRequest,
            "/no/such.png",
        ),
        (
            request(started).with_image(&comma),
            ErrorClass::InvalidRequest,
            "comma",
        ),
        (
            request(started).with_model("a\0b"),
            ErrorClass::InvalidRequest,
            "NUL",
        ),
        (
            request(started).with_resume("last"),
            ErrorClass::InvalidRequest,
            "thread_id",
        ),
    ];
    for (request, class, named) in invalid {
        let stack = Stack::new(fake_codex());
        let text = stack.run(request).await.unwrap_err().to_string();
        assert!(text.contains(named), "{text}");
        assert_eq!(stack.turn_event().error_class(), Some(class));
    }
}

#[tokio::test]
async fn a_setting_that_codex_would_misread_does_not_start_it() {
    let deep = (0..100).fold(json!(1), |value, _| json!([value]));
    for (key, value, named) in [
        ("", json!(1), "empty part"),
        ("a..b", json!(1), "empty part"),
        (".a", json!(1), "empty part"),
        ("a.", json!(1), "empty part"),
        ("a=the-secret", json!(1), "`a` has a `=`"),
        (r#"a."b.c""#, json!(1), "quote"),
        ("a.'b.c'", json!(1), "quote"),
        (" a", json!(1), "white space"),
        ("a\n", json!(1), "white space"),
        ("a\0", json!(1), "NUL"),
        ("a", json!(null), "null"),
        ("a", json!({"b": [1, null]}), "null"),
        ("a", json!(u64::MAX), "integer"),
        ("a", json!([{"b": 1_u64 << 63}]), "integer"),
        ("a", deep, "too deep"),
    ] {
        let stack = Stack::new(fake_codex());
        let request = request("exit 3").with_config(key, value);
        let text = stack.run(request).await.unwrap_err().to_string();
        assert!(
            text.starts_with("invalid turn request: the setting `"),
            "{text}"
        );
        assert!(text.contains(named), "{text}");
        assert!(!text.contains("secret"), "{text}");
        let class = stack.turn_event().error_class();
        assert_eq!(class, Some(ErrorClass::InvalidRequest));
    }
}

#[tokio::test]
async fn a_setting_that_codex_would_misread_does_not_start_a_server() {
    let turns = CodexAppServer::builder().config("a.b", json!([null]));
    let error = turns
        .build()
        .oneshot(TurnRequest::new(""))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`a.b` has a null"), "{text}");
}

#[tokio::test]
async fn a_setting_of_any_type_is_toml_on_the_command_line() {
    let settings = [
        ("a", json!(i64::MIN), "-9223372036854775808"),
        ("a.b-c", json!(1e300), "1e+300"),
        ("a", json!(true), "true"),
        ("a", json!("it's \"\\\n\u{7f}ä"), r#""it's \"\\\n\u007fä""#),
        ("a", json!(["x", [1]]), r#"["x",[1,],]"#),
        ("a", json!({"b.c": {"": "=" }}), r#"{"b.c"={""="="}}"#),
    ];
    for (key, value, toml) in settings {
        let ask = r#"printf %s "$3" | od -An -v -tx1 | tr -d ' \n'"#;
        let hex = echoed(request("").with_config(key, value), ask).await;
        let expected = format!("--config={key}={toml}");
        let expected = expected.bytes().map(|byte| format!("{byte:02x}"));
        assert_eq!(hex, expected.collect::<String>(), "{toml}");
    }
}

#[tokio::test]
async fn a_policy_that_codex_exec_would_ignore_does_not_start_it() {
    for policy in [ApprovalPolicy::OnRequest, ApprovalPolicy::Untrusted] {
        let stack = Stack::new(fake_codex());
        let request = request("exit 3").with_approval_policy(policy);
        let text = stack.run(request).await.unwrap_err().to_string();
        assert!(text.contains(policy.as_str()), "{text}");
        assert!(text.contains("use `CodexAppServer`"), "{text}");
        let class = stack.turn_event().error_class();
        assert_eq!(class, Some(ErrorClass::InvalidRequest));
    }
    let request = request(GOOD_TURN).with_approval_policy(ApprovalPolicy::Never);
    Stack::new(fake_codex()).run(request).await.unwrap();
}

#[tokio::test]
async fn a_missing_binary_has_its_path_and_advice_in_the_error() {
    let stack = Stack::new(CodexExec::builder().codex("/no/such/codex"));
    let text = stack.run(request("")).await.unwrap_err().to_string();
    assert!(
        text.contains("/no/such/codex") && text.contains("install"),
        "{text}"
    );
    assert_eq!(stack.turn_event().error_class(), Some(ErrorClass::Spawn));
}

#[tokio::test]
async fn the_binary_is_the_one_in_codex_path() {
    let fake = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/turn/fake-codex");
    let request = request("echo '{\"type\":\"turn.completed\"}'").with_env("CODEX_PATH", fake);
    CodexExec::new().oneshot(request).await.unwrap();
}

#[tokio::test]
async fn the_debug_output_of_a_request_has_no_secrets() {
    let request = TurnRequest::new("prompt-secret")
        .with_env("KEY", "env-secret")
        .with_config("key", "config-secret");
    let text = format!("{request:?}");
    assert!(!text.contains("secret"), "{text}");
    let (_, event) = run("exit 1").await;
    assert!(!format!("{event:?}").contains("a prompt"));
}

//! What a request sets reaches Codex, also for a thread that is loaded.

use std::{env, fs, path::Path};

use codex_telemetry::{
    event::names,
    turn::{Sandbox, TurnError, TurnRequest},
};
use serde_json::{Value, json};

use crate::{bench::Bench, calls::assert_ok, inputs::PNG, model::Recorded, reply::Reply};

/// Returns the path of `to` from the directory of this process.
fn relative(to: &Path) -> String {
    let here = env::current_dir().unwrap();
    let up = "../".repeat(here.components().count() - 1);
    format!("{up}{}", to.display().to_string().trim_start_matches('/'))
}

fn images(request: &Recorded) -> usize {
    let content = request.content();
    let urls = content.iter().filter_map(|part| part["image_url"].as_str());
    let pictures = urls.filter(|url| url.starts_with("data:image/png;base64,iVBOR"));
    pictures.count()
}

#[tokio::test]
async fn a_model_of_a_request_changes_that_of_a_loaded_thread_and_stays() {
    let Some(bench) = Bench::start((0..3).map(|_| Reply::done())) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let plain = |turn: &codex_telemetry::turn::Turn| {
        TurnRequest::new("On").with_resume(turn.thread_id.as_deref().unwrap())
    };
    let first = server.complete(bench.ask("Go")).await;
    server.complete(plain(&first).with_model("gpt-5.4")).await;
    server.complete(plain(&first)).await;
    server.end().await;
    let models: Vec<_> = bench
        .model
        .asked()
        .iter()
        .map(|asked| asked.json()["model"].clone())
        .collect();
    assert_eq!(models, ["gpt-5.5", "gpt-5.4", "gpt-5.4"]);
    let calls = bench.calls(3);
    let named: Vec<_> = calls
        .chats
        .iter()
        .map(|chat| chat.call_name().unwrap())
        .collect();
    assert_eq!(named, ["gpt-5.5", "gpt-5.4", "gpt-5.4"]);
}

#[tokio::test]
async fn the_effort_of_a_request_changes_that_of_a_loaded_thread() {
    let Some(bench) = Bench::start((0..2).map(|_| Reply::done())) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let effort =
        |request: TurnRequest, effort| request.with_config("model_reasoning_effort", effort);
    let first = server.complete(effort(bench.ask("Go"), "low")).await;
    server
        .complete(effort(bench.ask_on(&first, "On"), "high"))
        .await;
    server.end().await;
    let asked = bench.model.asked();
    let efforts: Vec<_> = asked
        .iter()
        .map(|asked| asked.json()["reasoning"]["effort"].clone())
        .collect();
    assert_eq!(efforts, ["low", "high"]);
    bench.calls(2);
}

#[tokio::test]
async fn the_sandbox_of_a_request_changes_that_of_a_loaded_thread() {
    if !crate::tools::sandbox_works().await {
        return;
    }
    // Codex reports no event of a command that the sandbox denies in its first moments.
    let touch = |name: &str| Reply::shell(&format!("sleep 1; touch {name}"));
    let script = [touch("one"), Reply::done(), touch("two"), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let request = bench.ask("Go").with_sandbox(Sandbox::ReadOnly);
    let first = server.complete(request).await;
    let request = bench
        .ask_on(&first, "On")
        .with_sandbox(Sandbox::WorkspaceWrite);
    server.complete(request).await;
    server.end().await;
    assert!(!bench.work.path().join("one").exists());
    assert!(bench.work.path().join("two").exists());
    bench.calls(2);
}

#[tokio::test]
async fn a_directory_that_does_not_exist_is_an_error_before_anything_is_sent() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let none = bench.work.path().join("none");
    let request = bench.ask("Go").with_working_directory(&none);
    let error = server.run(request).await.unwrap_err();
    let TurnError::WorkingDirectory { path } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(path, &none);
    // Not even the server was started.
    #[cfg(target_os = "linux")]
    assert!(crate::processes::of_home(bench.home.path()).is_empty());
    assert!(!bench.home.path().join("sessions").exists());
    server.end().await;
    bench.calls(1);
}

#[tokio::test]
async fn a_relative_directory_and_a_relative_image_are_those_of_this_process() {
    let Some(bench) = Bench::start([Reply::shell("pwd >here"), Reply::done()]) else {
        return;
    };
    fs::write(bench.work.path().join("a picture.png"), PNG).unwrap();
    let server = bench.app_server(|builder| builder);
    let request = bench
        .ask("Go")
        .with_working_directory(relative(bench.work.path()))
        .with_image(relative(&bench.work.path().join("a picture.png")));
    server.complete(request).await;
    server.end().await;
    let here = fs::read_to_string(bench.work.path().join("here")).unwrap();
    assert_eq!(
        Path::new(here.trim()).canonicalize().unwrap(),
        bench.work.path().canonicalize().unwrap()
    );
    assert_eq!(images(&bench.model.asked()[0]), 1);
    assert_ok(bench.calls(1).turn());
}

#[tokio::test]
async fn another_directory_of_a_loaded_thread_is_that_of_its_commands() {
    let pwd = || Reply::shell("pwd >here");
    let script = [pwd(), Reply::done(), pwd(), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let other = bench.work.path().join("other");
    fs::create_dir(&other).unwrap();
    let server = bench.app_server(|builder| builder);
    let first = server.complete(bench.ask("Go")).await;
    let request = bench.ask_on(&first, "On").with_working_directory(&other);
    server.complete(request).await;
    server.end().await;
    assert!(bench.work.path().join("here").exists() && other.join("here").exists());
    bench.calls(2);
}

#[tokio::test]
async fn an_output_schema_and_images_are_those_of_one_turn() {
    let Some(bench) = Bench::start((0..2).map(|_| Reply::done())) else {
        return;
    };
    let image = bench.work.path().join("a.png");
    fs::write(&image, PNG).unwrap();
    let schema = json!({
        "type": "object",
        "properties": {"plum": {"type": "string"}},
        "required": ["plum"],
        "additionalProperties": false,
    });
    let server = bench.app_server(|builder| builder);
    let request = bench
        .ask("Go")
        .with_output_schema(schema.clone())
        .with_image(&image);
    let first = server.complete(request).await;
    server.complete(bench.ask_on(&first, "On")).await;
    server.end().await;
    let asked = bench.model.asked();
    assert_eq!(asked[0].json()["text"]["format"]["schema"], schema);
    assert_eq!(asked[1].json()["text"]["format"], Value::Null);
    // The second one is that of the conversation.
    assert_eq!((images(&asked[0]), images(&asked[1])), (1, 1));
    bench.calls(2);
}

#[tokio::test]
async fn the_configuration_of_a_first_turn_is_that_of_its_thread() {
    let variable = || Reply::shell("echo $FLAVOUR >>flavours");
    let script = (0..3).flat_map(|_| [variable(), Reply::done()]);
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let flavour = |request: TurnRequest, flavour| {
        request.with_config("shell_environment_policy.set", json!({"FLAVOUR": flavour}))
    };
    let server = bench.app_server(|builder| builder);
    let plum = server.complete(flavour(bench.ask("Go"), "plum")).await;
    server.complete(flavour(bench.ask("Go"), "pear")).await;
    server.complete(bench.ask_on(&plum, "On")).await;
    server.end().await;
    let flavours = fs::read_to_string(bench.work.path().join("flavours")).unwrap();
    assert_eq!(flavours, "plum\npear\nplum\n");
    bench.calls(3);
}

#[tokio::test]
async fn a_prompt_with_a_nul_character_reaches_the_model() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    server.complete(bench.ask("a\0b")).await;
    server.end().await;
    assert!(bench.model.asked()[0].is_about("a\0b"));
    assert_ok(bench.calls(1).turn());
}

#[tokio::test]
async fn the_model_gets_the_name_of_the_client() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let server = bench.app_server(|builder| builder.client_name("release-bot"));
    server.complete(bench.ask("Go")).await;
    server.end().await;
    assert_eq!(bench.model.asked()[0].header("originator"), "release-bot");
    assert_ok(bench.calls(1).turn());
}

#[tokio::test]
async fn a_thread_without_a_model_in_its_request_has_that_of_codex() {
    let Some(bench) = Bench::start((0..3).map(|_| Reply::done())) else {
        return;
    };
    let server = bench.app_server(|builder| builder.config("model", "gpt-5.4"));
    server.complete(TurnRequest::new("Go")).await;
    let other = server
        .complete(TurnRequest::new("Go").with_model("gpt-5.5"))
        .await;
    server.end().await;
    // Codex remembers the model of a thread.
    let server = bench.app_server(|builder| builder.config("model", "gpt-5.4"));
    let thread = other.thread_id.as_deref().unwrap();
    server
        .complete(TurnRequest::new("On").with_resume(thread))
        .await;
    server.end().await;
    let asked = bench.model.asked();
    let models: Vec<_> = asked
        .iter()
        .map(|asked| asked.json()["model"].clone())
        .collect();
    assert_eq!(models, ["gpt-5.4", "gpt-5.5", "gpt-5.5"]);
    let calls = bench.calls(3);
    for (event, model) in calls
        .turns
        .iter()
        .chain(&calls.chats)
        .zip(models.iter().chain(&models))
    {
        let recorded = event
            .attribute(names::REQUEST_MODEL)
            .map(ToString::to_string);
        let recorded = recorded.or_else(|| event.call_name().map(str::to_owned));
        assert_eq!(recorded.as_deref(), model.as_str(), "{event:?}");
    }
}

#[tokio::test]
async fn the_additional_directories_of_a_request_are_writable_and_change_with_the_sandbox() {
    if !crate::tools::sandbox_works().await {
        return;
    }
    // `/tmp` and `TMPDIR` are writable in any case, and the checkout may be in one of them.
    let root = tempfile::tempdir_in("/var/tmp").unwrap();
    let directory = |name: &str| {
        let path = root.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let (work, one, two) = (directory("work"), directory("one"), directory("two"));
    let (one_path, two_path) = (one.display(), two.display());
    let touch = || {
        Reply::shell(&format!(
            "sleep 1; touch {one_path}/$$; touch {two_path}/$$"
        ))
    };
    let script = [touch(), Reply::done(), touch(), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let files = |path: &Path| fs::read_dir(path).unwrap().count();
    let server = bench.app_server(|builder| builder.env("TMPDIR", "/tmp"));
    let within = |request: TurnRequest, path: &Path| {
        request
            .with_working_directory(&work)
            .with_sandbox(Sandbox::WorkspaceWrite)
            .with_additional_directory(path)
    };
    let first = server.complete(within(bench.ask("Go"), &one)).await;
    assert_eq!((files(&one), files(&two)), (1, 0));
    server
        .complete(within(bench.ask_on(&first, "On"), &two))
        .await;
    server.end().await;
    assert_eq!((files(&one), files(&two)), (1, 1));
    bench.calls(2);
}

//! The content of a request that reaches the model.

use std::{collections::HashMap, env, fs, process::Command};

use serde_json::json;

use crate::{bench::Bench, calls::assert_ok, reply::Reply};

/// A picture of one pixel.
pub(crate) const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\
    \0\0\0\rIDATx\xdacd\xf8\xcfP\x0f\0\x03\x86\x01\x80Z4}k\0\0\0\0IEND\xaeB`\x82";

#[tokio::test]
async fn a_prompt_of_a_million_bytes_reaches_the_model() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let mut prompt: String = (0..100_000).map(|n| format!("{n:06} ä\n")).collect();
    prompt.truncate(999_999);
    prompt.push('x');
    assert_eq!(prompt.len(), 1_000_000);
    bench.run(bench.request(&*prompt)).await.unwrap();
    let texts = bench.model.asked()[0].texts();
    assert!(texts.contains(&prompt), "not among {} texts", texts.len());
    assert_ok(bench.calls(1).turn());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_setting_of_any_text_reaches_codex_as_it_is() {
    let texts = [
        ("QUOTED", "\"\"\" ''' \\ \\u0041 # = {a}"),
        (
            "CONTROL",
            "\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1b}\u{7f}\u{80}\u{85}\u{feff}",
        ),
        ("WIDE", "ä 字 🦀 \u{10ffff}"),
        ("EMPTY", ""),
        ("NUMBER", "1e300"),
        ("a.b \"'\\\n\u{7f}ä", "an odd key"),
    ];
    let copy = "cat /proc/$$/environ >environment";
    let Some(bench) = Bench::start([Reply::shell(copy), Reply::done()]) else {
        return;
    };
    let set = json!(HashMap::from(texts));
    let request = bench.request("Go");
    let request = request.with_config("shell_environment_policy.set", set);
    bench.run(request).await.unwrap();
    let environment = fs::read(bench.work.path().join("environment")).unwrap();
    let environment = String::from_utf8(environment).unwrap();
    let variables: Vec<_> = environment.split('\0').collect();
    for (name, text) in texts {
        let variable = format!("{name}={text}");
        assert!(variables.contains(&&*variable), "{name:?}: {variables:?}");
    }
    bench.calls(1);
}

#[tokio::test]
async fn a_setting_of_another_type_than_text_reaches_codex_as_it_is() {
    // Codex expects a text, and says what it has instead.
    for (value, named) in [
        (json!(i64::MIN), "integer `-9223372036854775808`"),
        (json!(1e300), "floating point `1000000"),
        (json!(true), "boolean `true`"),
        (json!([1, "a"]), "sequence"),
        (json!({"a b": {}}), "map"),
    ] {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let request = bench.request("Go").with_config("review_model", value);
        let error = bench.run(request).await.unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
        bench.calls(1);
    }
}

#[tokio::test]
async fn a_prompt_that_looks_like_a_flag_is_a_prompt() {
    for prompt in ["--help", "-", "resume"] {
        let Some(bench) = Bench::start([Reply::done()]) else {
            return;
        };
        bench.run(bench.request(prompt)).await.unwrap();
        let texts = bench.model.asked()[0].texts();
        assert!(
            texts.iter().any(|text| text == prompt),
            "{prompt:?}: {texts:?}"
        );
        assert_ok(bench.calls(1).turn());
    }
}

#[tokio::test]
async fn the_model_gets_the_image_of_a_resumed_turn() {
    let Some(bench) = Bench::start([Reply::done(), Reply::done()]) else {
        return;
    };
    let image = bench.work.path().join("a picture.png");
    fs::write(&image, PNG).unwrap();
    let first = bench.run(bench.request("Remember plum")).await.unwrap();
    let thread = first.thread_id.unwrap();
    let request = bench
        .request("What is this?")
        .with_resume(&*thread)
        .with_image(&image);
    let second = bench.run(request).await.unwrap();
    assert_eq!(second.thread_id.as_ref(), Some(&thread));

    let asked = bench.model.asked();
    let images = |n: usize| {
        let content = asked[n].content();
        let urls = content.iter().filter_map(|part| part["image_url"].as_str());
        let pictures = urls.filter(|url| url.starts_with("data:image/png;base64,iVBOR"));
        pictures.count()
    };
    assert_eq!((images(0), images(1)), (0, 1));
    let texts = asked[1].texts();
    assert!(texts.contains(&"Remember plum".to_owned()), "{texts:?}");
    assert!(texts.contains(&"What is this?".to_owned()), "{texts:?}");
    bench.calls(2);
}

#[tokio::test]
async fn an_output_schema_reaches_the_model_and_its_file_is_removed() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    // A unique name.
    let field = bench.home.path().file_name().unwrap().to_str().unwrap();
    let schema = json!({
        "type": "object",
        "properties": {field: {"type": "string"}},
        "required": [field],
        "additionalProperties": false,
    });
    let request = bench.request("Go").with_output_schema(schema.clone());
    bench.run(request).await.unwrap();
    let body = bench.model.asked()[0].json();
    assert_eq!(body["text"]["format"]["type"], "json_schema", "{body}");
    assert_eq!(body["text"]["format"]["schema"], schema);
    assert_ok(bench.calls(1).turn());
    for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        if !entry.file_name().to_string_lossy().contains("schema") {
            continue;
        }
        let content = fs::read_to_string(entry.path()).unwrap_or_default();
        assert!(
            !content.contains(field),
            "{} was not removed",
            entry.path().display()
        );
    }
}

#[tokio::test]
async fn a_command_runs_in_the_directory_and_the_environment_of_the_request() {
    let Some(bench) = Bench::start([Reply::shell("pwd; echo $FLAVOUR > flavour"), Reply::done()])
    else {
        return;
    };
    let request = bench.request("Go").with_env("FLAVOUR", "plum");
    bench.run(request).await.unwrap();
    let flavour = fs::read_to_string(bench.work.path().join("flavour")).unwrap();
    assert_eq!(flavour, "plum\n");
    assert_ok(bench.calls(1).tool());
}

/// Set in the program.
const PROGRAM: &str = "INPUTS_TEST_PROGRAM";

/// The test starts its own binary again, as a program with credentials in its environment.
#[tokio::test]
async fn a_command_does_not_inherit_the_credentials_of_the_telemetry_export() {
    let test = "inputs::a_command_does_not_inherit_the_credentials_of_the_telemetry_export";
    if env::var_os(PROGRAM).is_none() {
        let program = Command::new(env::current_exe().unwrap())
            .args(["--exact", test])
            .env(PROGRAM, "1")
            .env("CODEX_OTLP_HEADERS", "authorization=secret")
            .env("CODEX_OTLP_ENDPOINT", "http://localhost")
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&program.stdout);
        assert!(output.contains("1 passed"), "{output}");
        return;
    }
    let names = "env | grep '^CODEX_OTLP_' | cut -d = -f 1 >names";
    let Some(bench) = Bench::start([Reply::shell(names), Reply::done()]) else {
        return;
    };
    bench.run(bench.request("Go")).await.unwrap();
    let names = fs::read_to_string(bench.work.path().join("names")).unwrap();
    assert_eq!(names, "CODEX_OTLP_ENDPOINT\n");
}

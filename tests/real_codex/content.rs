//! The contents of a real turn, as a receiver of its spans sees them.

use serde_json::{Value, json};

use crate::{
    bench::{Bench, until},
    reply::Reply,
};

/// Returns an attribute of an exported span.
fn attribute<'a>(span: &'a Value, key: &str) -> Option<&'a str> {
    let mut attributes = span["attributes"].as_array()?.iter();
    attributes.find(|attribute| attribute["key"] == key)?["value"]["stringValue"].as_str()
}

fn json_attribute(span: &Value, key: &str) -> Value {
    let text = attribute(span, key).unwrap_or_else(|| panic!("no {key}: {span}"));
    serde_json::from_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spans_of_a_turn_have_its_contents_by_opting_in() {
    let script = [Reply::shell("echo from the shell"), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    bench
        .run_with_otlp(bench.request("Say it"), |config| {
            config.capture_content(true)
        })
        .await;

    let tool = "execute_tool command_execution";
    until("the export has come", || {
        !bench.spans("invoke_agent").is_empty() && !bench.spans(tool).is_empty()
    })
    .await;
    let (turn, tool) = (&bench.spans("invoke_agent")[0], &bench.spans(tool)[0]);
    assert_eq!(
        json_attribute(turn, "gen_ai.input.messages"),
        json!([{"role": "user", "parts": [{"type": "text", "content": "Say it"}]}])
    );
    let output = json_attribute(turn, "gen_ai.output.messages");
    assert_eq!(output[0]["parts"][0]["content"], "done");
    assert_eq!(output[0]["finish_reason"], "stop");
    let arguments = json_attribute(tool, "gen_ai.tool.call.arguments");
    let command = arguments["command"].as_str().unwrap();
    assert!(command.contains("echo from the shell"), "{command}");
    let result = attribute(tool, "gen_ai.tool.call.result").unwrap();
    assert!(result.contains("from the shell"), "{result}");
}

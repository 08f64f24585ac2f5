//! Outputs with media, and what a function may return.

use std::collections::BTreeMap;

use codex_telemetry::{
    BoxError, CallContext, ErrorClass, ToolOutput,
    tool::{IntoToolOutput, ToolFailure},
    tool_fn,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::support::{only, run};

#[derive(Serialize)]
struct Speed {
    kmh: f64,
}

#[test]
fn an_output_has_its_media_in_the_order_in_which_they_were_added() {
    let output = ToolOutput::new(json!("a plot"))
        .with_image("image/png", [1_u8, 2])
        .with_audio("audio/wav", "RIFF")
        .with_image("image/jpeg", Vec::new());
    assert_eq!(output.content, "a plot");
    let media: Vec<_> = output
        .media()
        .iter()
        .map(|media| (media.mime_type(), media.data()))
        .collect();
    assert_eq!(
        media,
        [
            ("image/png", &[1, 2][..]),
            ("audio/wav", b"RIFF"),
            ("image/jpeg", b"")
        ]
    );
    assert!(ToolOutput::new(json!(7)).media().is_empty());
}

#[test]
fn outputs_are_equal_with_equal_content_and_media_of_the_same_kind() {
    let plain = || ToolOutput::new(json!(7));
    let image = || plain().with_image("image/png", [1]);
    assert_eq!(image(), image());
    assert_ne!(image(), plain());
    assert_ne!(image(), plain().with_image("image/png", [2]));
    assert_ne!(image(), plain().with_image("image/gif", [1]));
    assert_ne!(image(), plain().with_audio("image/png", [1]));
    assert_ne!(
        image(),
        ToolOutput::new(json!(8)).with_image("image/png", [1])
    );
    assert_eq!(ToolOutput::from(json!(7)), plain());
}

#[test]
fn the_debug_output_shows_sizes_and_no_bytes() {
    let output = ToolOutput::new(json!("hunter2"))
        .with_image("image/png", *b"hunter2")
        .with_audio("audio/wav", *b"hunter22");
    assert_eq!(
        format!("{output:?}"),
        "ToolOutput { media: [Media { kind: Image, mime_type: \"image/png\", bytes: 7 }, \
         Media { kind: Audio, mime_type: \"audio/wav\", bytes: 8 }], .. }"
    );
    // Bytes of `hunter2` as a list.
    assert!(!format!("{output:#?}").contains("104"));
}

#[test]
fn what_can_be_serialized_is_an_output() {
    #[track_caller]
    fn check(value: impl IntoToolOutput, content: Value) {
        assert_eq!(value.into_tool_output().unwrap(), ToolOutput::new(content));
    }
    check((), json!(null));
    check("text", json!("text"));
    check(7_u8, json!(7));
    check(None::<u8>, json!(null));
    check(vec![1, 2], json!([1, 2]));
    check(Speed { kmh: 80.0 }, json!({ "kmh": 80.0 }));
    check(json!({ "a": 1 }), json!({ "a": 1 }));
    let output = ToolOutput::new(json!(1)).with_image("image/png", [1]);
    assert_eq!(output.clone().into_tool_output().unwrap(), output);
    let keys = BTreeMap::from([((1, 2), 3)]);
    assert!(keys.into_tool_output().is_err());
}

#[tokio::test]
async fn a_function_returns_an_output_with_media_or_a_value() {
    let tool = tool_fn(|wants_plot: bool, _: CallContext| async move {
        if !wants_plot {
            return Err(ToolFailure::new("then there is nothing to show"));
        }
        Ok(ToolOutput::new(Value::Null).with_image("image/png", [7]))
    });
    let tools = only("plot", tool);
    let output = run(&tools, "plot", json!(true)).await.unwrap();
    assert_eq!(output.media()[0].data(), [7]);
    let error = run(&tools, "plot", json!(false)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::ToolFailed);

    let value = tool_fn(|hours: f64, _: CallContext| async move {
        Ok::<_, BoxError>(Speed { kmh: 120.0 / hours })
    });
    let output = run(&only("speed", value), "speed", json!(1.5)).await;
    assert_eq!(output.unwrap().content, json!({ "kmh": 80.0 }));
}

//! The tools of this program: how Codex is told of them, its calls, and the answers in its words.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use crate::{
    call::CallContext,
    tool::{HostTools, Media, MediaKind, ToolCall, ToolOutput, ToolSpec},
    turn::wire::Fields,
};

/// A call of a tool of this program.
pub(super) struct HostCall {
    /// The model's id of the call, which its item has as well.
    pub(super) call_id: String,
    /// With the namespace before it, if there is one.
    pub(super) tool: Arc<str>,
    arguments: Value,
    /// Whether Codex has ended it before it was run.
    pub(super) is_over: bool,
}

impl HostCall {
    /// Decodes the parameters of a call.
    pub(super) fn decode(params: &Fields<'_>) -> Option<Self> {
        let tool = params.text("tool")?;
        let tool = match params.text("namespace") {
            Some(namespace) => format!("{namespace}.{tool}"),
            None => tool,
        };
        Some(Self {
            call_id: params.text("callId")?,
            tool: tool.into(),
            arguments: match params.get("arguments") {
                // The tool says what is wrong with it, as with all that is no object.
                None => Value::Null,
                Some(_) => params.value("arguments")?,
            },
            is_over: false,
        })
    }

    /// Returns the call with a context.
    pub(super) fn with_context(self, context: CallContext) -> ToolCall {
        ToolCall::new(self.tool, self.arguments).with_context(context.with_call_id(self.call_id))
    }
}

/// Returns the answer to a call.
pub(super) fn answer(output: &ToolOutput) -> Value {
    let text = output.text().map(item_of_text);
    let media = output.media().iter().map(item_of_media);
    let items: Vec<_> = text.into_iter().chain(media).collect();
    let mut answer = json!({"success": true});
    answer["contentItems"] = items.into();
    answer
}

/// Returns the answer to a call that fails, with a message for the model. An error that is no answer would tell the
/// model nothing.
pub(super) fn refusal(message: impl Into<String>) -> Value {
    json!({"contentItems": [item_of_text(message.into())], "success": false})
}

/// Returns the answer to a call that is not run.
pub(super) fn not_now() -> Value {
    refusal("the program cannot run the tool now: continue without it")
}

// A text may be large, and is not copied.
fn item_of_text(text: String) -> Value {
    let mut item = json!({"type": "inputText"});
    item["text"] = text.into();
    item
}

fn item_of_media(media: &Media) -> Value {
    let url = format!("data:{};base64,{}", media.mime_type(), media.to_base64());
    match media.kind() {
        MediaKind::Image => json!({"type": "inputImage", "imageUrl": url}),
        MediaKind::Audio => json!({"type": "inputAudio", "audioUrl": url}),
    }
}

/// Returns what Codex is told of the tools that are enabled. Those of a namespace are together.
pub(super) fn dynamic_tools(tools: &HostTools) -> Value {
    let mut all = Vec::new();
    let mut namespaces: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for spec in tools.specs() {
        match spec.parts() {
            (Some(namespace), name) => {
                let own = namespaces.entry(namespace).or_default();
                own.push(function(name, spec));
            }
            (None, name) => all.push(function(name, spec)),
        }
    }
    for (name, own) in namespaces {
        let description = tools.registry().namespace(name);
        all.push(
            json!({"type": "namespace", "name": name, "description": description, "tools": own}),
        );
    }
    all.into()
}

fn function(name: &str, spec: &ToolSpec) -> Value {
    json!({
        "type": "function",
        "name": name,
        "description": spec.description(),
        "inputSchema": spec.input_schema(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_a_text_and_its_media_as_data_urls_in_their_order() {
        let output = ToolOutput::new(json!({"points": 12}))
            .with_audio("audio/wav", *b"RIFF")
            .with_image("image/png", *b"PNG");
        assert_eq!(
            answer(&output),
            json!({
                "contentItems": [
                    {"type": "inputText", "text": r#"{"points":12}"#},
                    {"type": "inputAudio", "audioUrl": "data:audio/wav;base64,UklGRg=="},
                    {"type": "inputImage", "imageUrl": "data:image/png;base64,UE5H"},
                ],
                "success": true,
            })
        );
        let output = ToolOutput::new(Value::Null).with_image("image/png", *b"PNG");
        let items = &answer(&output)["contentItems"];
        assert_eq!(items.as_array().unwrap().len(), 1);
    }
}

//! The results of calls, as MCP has them.

use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock};

use crate::tool::{Media, MediaKind, ToolError, ToolOutput};

/// Returns the result of a call. A failure is one as well, with what the model is told: the text of an error of the
/// protocol would reach the model among other texts.
pub(super) fn of(result: Result<ToolOutput, ToolError>) -> CallToolResponse {
    match result {
        Ok(output) => {
            let text = output.text().map(ContentBlock::text);
            let media = output.media().iter().map(media);
            CallToolResult::success(text.into_iter().chain(media).collect()).into()
        }
        Err(error) => failed(error.message_for_model()),
    }
}

/// Returns the result of a call that Codex makes while no turn runs.
pub(super) fn without_turn() -> CallToolResponse {
    failed("the turn has ended: its tools are gone".to_owned())
}

/// Returns the result of a call that was dropped before it had one.
pub(super) fn cancelled() -> CallToolResponse {
    failed("the call was cancelled".to_owned())
}

fn failed(message: String) -> CallToolResponse {
    CallToolResult::error(vec![ContentBlock::text(message)]).into()
}

fn media(media: &Media) -> ContentBlock {
    let (data, mime_type) = (media.to_base64(), media.mime_type());
    match media.kind() {
        MediaKind::Image => ContentBlock::image(data, mime_type),
        MediaKind::Audio => ContentBlock::audio(data, mime_type),
    }
}

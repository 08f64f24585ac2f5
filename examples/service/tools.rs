//! The tools of this program that the model can call. Each works for the caller of the turn, who is the originator of
//! the call.

use std::{sync::Arc, time::Duration};

use codex_telemetry::approval::{ApprovalRequest, Decision};
use codex_telemetry::{
    BoxError, CallContext,
    tool::{ApprovalLayer, ToolFailure, ToolService, ToolSpec, ToolSpecError, tool_fn},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower::Layer;
use tower_service::Service;

use crate::callers::{Caller, Callers};

/// The longest text that can be published, in bytes.
const MAX_TEXT: usize = 16 << 10;

#[derive(Serialize)]
struct Upload {
    name: String,
    bytes: u64,
}

#[derive(Deserialize)]
struct Publish {
    text: String,
}

/// Returns the tools. One of them changes something, so the approver is asked.
pub(crate) fn tools<A>(
    callers: Arc<Callers>,
    approver: A,
    deadline: Duration,
) -> Result<ToolService, ToolSpecError>
where
    A: Service<ApprovalRequest, Response = Decision> + Clone + Send + Sync + 'static,
    A::Error: Into<BoxError>,
    A::Future: Send + 'static,
{
    let list_uploads = {
        let callers = Arc::clone(&callers);
        tool_fn(move |_: Value, context: CallContext| {
            let caller = caller_of(&callers, &context);
            async move {
                let uploads = caller?.uploads.list().await?;
                let uploads = uploads.into_iter().map(|upload| Upload {
                    name: upload.name,
                    bytes: upload.size,
                });
                Ok::<Vec<_>, BoxError>(uploads.collect())
            }
        })
    };
    let publish = tool_fn(move |Publish { text }: Publish, context: CallContext| {
        let caller = caller_of(&callers, &context);
        async move {
            if text.len() > MAX_TEXT {
                let message = format!("a text has at most {MAX_TEXT} bytes: shorten it");
                return Err(ToolFailure::new(message).into());
            }
            let thread = context.thread_id().ok_or("the call belongs to no thread")?;
            let span = context.span_context().ok_or("the call has no trace")?;
            let trace = span.trace_id().to_string();
            match caller?.journal.publish(thread, &trace, text) {
                true => Ok::<_, BoxError>("published"),
                false => Err(ToolFailure::new("the turn may publish no more texts").into()),
            }
        }
    });
    ToolService::builder()
        .tool(
            ToolSpec::new("list_uploads", "Lists the files that the user has uploaded"),
            list_uploads,
        )
        .tool(
            ToolSpec::new("publish", "Publishes a text. The user is asked before")
                .with_input_schema(json!({
                    "type": "object",
                    "properties": { "text": { "type": "string", "description": "The text" } },
                    "required": ["text"],
                })),
            ApprovalLayer::new(approver, deadline).layer(publish),
        )
        .build()
}

fn caller_of(callers: &Callers, context: &CallContext) -> Result<Arc<Caller>, BoxError> {
    let caller = callers.of(context.originator());
    caller
        .cloned()
        .ok_or_else(|| "the call belongs to no caller".into())
}

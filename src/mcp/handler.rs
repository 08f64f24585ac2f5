use std::{borrow::Cow, sync::Arc};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, Implementation, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};

use super::{
    grants::Grant,
    incoming_call::{IncomingCall, caller},
    results,
};
use crate::tool::{HostTools, ToolSpec};

/// Answers the requests of MCP.
#[derive(Clone)]
pub(super) struct Handler {
    name: Arc<str>,
    tools: HostTools,
}

impl Handler {
    pub(super) fn new(name: Arc<str>, tools: HostTools) -> Self {
        Self { name, tools }
    }

    /// Runs a call; `None` if the client has gone away.
    async fn call(&self, call: IncomingCall, grant: &Grant) -> Option<CallToolResponse> {
        let result = match grant {
            Grant::Client => {
                let (call, ticket) = call.of_client();
                self.tools.call(call, ticket).await
            }
            Grant::Turn(_) => match grant.send(call) {
                Some(answer) => answer.await.ok()?,
                None => return Some(results::without_turn()),
            },
        };
        Some(results::of(result))
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let version = env!("CARGO_PKG_VERSION");
        let mut info = ServerConfig::new(ServerCapabilities::builder().enable_tools().build());
        info.server_info = Implementation::new(&*self.name, version);
        info
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.tools.specs().map(tool).collect();
        Ok(ListToolsResult::with_all_items(tools))
    }

    async fn call_tool(
        &self,
        params: CallToolRequestParams,
        request: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(caller) = caller(&request) else {
            return Err(ErrorData::internal_error(
                "the request came in without a caller",
                None,
            ));
        };
        let call = IncomingCall::new(params, &request, &self.name);
        // The request is cancelled when its client goes away: nobody would be there for the answer.
        tokio::select! {
            answer = self.call(call, &caller.grant) => Ok(answer.unwrap_or_else(results::cancelled)),
            () = request.ct.cancelled() => Ok(results::cancelled()),
        }
    }
}

/// Returns the tool as MCP describes it.
fn tool(spec: &ToolSpec) -> Tool {
    let schema = spec.input_schema().as_object().cloned().unwrap_or_default();
    Tool::new_with_raw(
        Cow::Owned(spec.name().to_owned()),
        Some(Cow::Owned(spec.description().to_owned())),
        schema,
    )
}

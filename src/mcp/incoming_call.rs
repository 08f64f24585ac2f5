use http::request::Parts;
use opentelemetry::{KeyValue, StringValue};
use rmcp::{
    RoleServer,
    model::{CallToolRequestParams, NumberOrString},
    service::RequestContext,
};
use serde_json::Value;

use super::gate::Caller;
use crate::{
    call::CallContext,
    event::{Ticket, names},
    tool::ToolCall,
};

/// The method of a tool's call.
const METHOD: &str = "tools/call";

/// A call of a tool, as a client has sent it.
pub(super) struct IncomingCall {
    tool: String,
    arguments: Value,
    call_id: Option<StringValue>,
    thread_id: Option<StringValue>,
    turn_id: Option<StringValue>,
    /// The `traceparent` and the `tracestate`.
    trace: Option<(String, Option<String>)>,
    /// What is recorded of it on its call.
    attributes: Vec<KeyValue>,
}

impl IncomingCall {
    pub(super) fn new(
        params: CallToolRequestParams,
        request: &RequestContext<RoleServer>,
        server: &str,
    ) -> Self {
        let meta = &request.meta;
        let text = |name: &str| Some(meta.get(name)?.as_str()?.to_owned().into());
        let turn = meta.get("x-codex-turn-metadata");
        let turn_id = turn.and_then(|turn| turn.get("turn_id")?.as_str());
        Self {
            call_id: text("callId"),
            thread_id: text("threadId"),
            turn_id: turn_id.map(|id| id.to_owned().into()),
            trace: trace(request),
            attributes: attributes(request, server),
            tool: params.name.into_owned(),
            arguments: params.arguments.unwrap_or_default().into(),
        }
    }

    pub(super) fn tool(&self) -> &str {
        &self.tool
    }

    pub(super) fn call_id(&self) -> Option<&str> {
        self.call_id.as_ref().map(StringValue::as_str)
    }

    /// Records the id of a turn that is not known otherwise: `codex exec` does not print it. A sub-agent has turns of its
    /// own.
    pub(super) fn name_turn(&self, turn: &CallContext) {
        let known = turn.child();
        let thread_id = self.thread_id.as_ref().map(StringValue::as_str);
        if let Some(id) = &self.turn_id
            && known.turn_id().is_none()
            && known.thread_id() == thread_id
        {
            turn.record_turn_id(id.clone());
        }
    }

    /// Returns the call as a part of a turn. Its parent is the span that the client names, if that is in the trace of the
    /// turn, or else the turn.
    pub(super) fn in_turn(self, turn: &CallContext) -> (ToolCall, Ticket) {
        let (mut context, ticket) = turn.with_ticket_of_child(self.attributes);
        if let Some((traceparent, tracestate)) = self.trace {
            let named = CallContext::new().with_traceparent(&traceparent, tracestate.as_deref());
            let (own, named) = (turn.span_context(), named.span_context());
            if let Some((own, named)) = own.zip(named)
                && own.trace_id() == named.trace_id()
                && own.span_id() != named.span_id()
            {
                context = context.with_parent(named);
            }
        }
        if context.thread_id().is_none()
            && let Some(id) = self.thread_id
        {
            context = context.with_thread_id(id);
        }
        if context.turn_id().is_none()
            && let Some(id) = self.turn_id
        {
            context = context.with_turn_id(id);
        }
        if let Some(id) = self.call_id {
            context = context.with_call_id(id);
        }
        let call = ToolCall::new(self.tool, self.arguments).with_context(context);
        (call, ticket)
    }

    /// Returns the call of a client that belongs to no turn of this program.
    pub(super) fn of_client(self) -> (ToolCall, Ticket) {
        let mut none = CallContext::new();
        if let Some((traceparent, tracestate)) = &self.trace {
            none = none.with_traceparent(traceparent, tracestate.as_deref());
        }
        let call = Self {
            trace: None,
            ..self
        };
        call.in_turn(&none)
    }
}

/// Returns the trace context that the client has put into the request, or else into its HTTP headers.
fn trace(request: &RequestContext<RoleServer>) -> Option<(String, Option<String>)> {
    let meta = &request.meta;
    if let Some(traceparent) = meta.get_traceparent() {
        let tracestate = meta.get_tracestate().map(str::to_owned);
        return Some((traceparent.to_owned(), tracestate));
    }
    let headers = &request.extensions.get::<Parts>()?.headers;
    let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
    Some((header("traceparent")?, header("tracestate")))
}

/// Returns the attributes of OpenTelemetry's conventions for the calls of an MCP server, and the server's name.
fn attributes(request: &RequestContext<RoleServer>, server: &str) -> Vec<KeyValue> {
    let id = match &request.id {
        NumberOrString::Number(id) => id.to_string(),
        NumberOrString::String(id) => id.as_ref().to_owned(),
    };
    let mut attributes = vec![
        KeyValue::new(names::MCP_METHOD, METHOD),
        KeyValue::new(names::JSONRPC_REQUEST_ID, id),
        KeyValue::new(names::NETWORK_TRANSPORT, "tcp"),
        KeyValue::new(names::NETWORK_PROTOCOL_NAME, "http"),
        KeyValue::new(names::MCP_SERVER, server.to_owned()),
    ];
    if let Some(version) = request.protocol_version() {
        let version = version.as_str().to_owned();
        attributes.push(KeyValue::new(names::MCP_PROTOCOL_VERSION, version));
    }
    if let Some(Caller { address, .. }) = caller(request) {
        let port = i64::from(address.port());
        attributes.push(KeyValue::new(
            names::CLIENT_ADDRESS,
            address.ip().to_string(),
        ));
        attributes.push(KeyValue::new(names::CLIENT_PORT, port));
    }
    attributes
}

/// Returns who has sent a request.
pub(super) fn caller(request: &RequestContext<RoleServer>) -> Option<&Caller> {
    request.extensions.get::<Parts>()?.extensions.get()
}

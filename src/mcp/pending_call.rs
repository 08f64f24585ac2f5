use tokio::sync::oneshot;

use super::incoming_call::IncomingCall;
use crate::{
    call::CallContext,
    tool::{HostTools, ToolError, ToolOutput},
    turn::ServedCalls,
};

pub(super) type CallResult = Result<ToolOutput, ToolError>;

/// A call whose request waits for its result.
pub(super) struct PendingCall {
    call: IncomingCall,
    answer: oneshot::Sender<CallResult>,
}

impl PendingCall {
    /// Returns the call, and where its result comes.
    pub(super) fn new(call: IncomingCall) -> (Self, oneshot::Receiver<CallResult>) {
        let (answer, result) = oneshot::channel();
        (Self { call, answer }, result)
    }

    /// Runs the call as a part of a turn, unless its request is gone before it has a result.
    pub(super) async fn run(self, tools: HostTools, turn: CallContext, calls: ServedCalls) {
        let Self { call, mut answer } = self;
        let (tool, call_id) = (call.tool().to_owned(), call.call_id().map(str::to_owned));
        call.name_turn(&turn);
        let (call, ticket) = call.in_turn(&turn);
        calls.began(tool, call_id, ticket.clone());
        tokio::select! {
            // A result counts, although the request is gone at the same time.
            biased;
            result = tools.call(call, ticket.clone()) => {
                let noted = result.as_ref().map(drop);
                calls.answered(&ticket, noted.map_err(ToolError::classification));
                // An error means that the request is gone.
                let _ = answer.send(result);
            }
            () = answer.closed() => {}
        }
    }
}

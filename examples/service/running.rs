//! A turn that runs, in a task of its own: a client that reads slowly does not hold it up.
//!
//! The handling of a request is a call as well, `http.request`. It takes its trace from the request, and the turn is its
//! child. It ends with the turn; when the client goes away, its end of the channel is dropped, and then both are.

use std::sync::Arc;

use codex_telemetry::{
    Call, CallContext, Operation, ServiceBuilderExt, Turn, TurnRequest, TurnUpdate,
    turn::{Progress, turn_stream},
};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tower::{ServiceBuilder, ServiceExt};

use crate::{
    answer::Failure,
    app::App,
    callers::Caller,
    journal::{Accepted, Status},
    turns::NewTurn,
    uploads,
};

const REQUEST: Operation = Operation::Custom("http.request");

/// How much progress waits for a client that reads slowly. What is more is dropped; the end is not.
const BUFFERED: usize = 1024;

/// A turn that runs.
#[derive(Clone)]
pub(crate) struct Running {
    app: App,
    caller: Arc<Caller>,
    updates: mpsc::Sender<Update>,
}

/// What the client is told.
pub(crate) enum Update {
    /// The turn is in the journal. It has a trace if somebody wants the events.
    Accepted {
        id: u64,
        thread: Option<String>,
        trace: Option<String>,
    },
    Progress(Box<Progress>),
    /// The last update.
    End(End),
}

pub(crate) type End = Result<Box<Turn>, Failure>;

// === impl Running ===

impl Running {
    /// Starts a turn, unless the service ends. Dropping the receiver cancels it.
    pub(crate) fn spawn(
        app: &App,
        caller: &Arc<Caller>,
        turn: NewTurn,
        context: CallContext,
    ) -> Result<mpsc::Receiver<Update>, Failure> {
        // Taken before the question, so that a service that ends either waits for this turn or refuses it.
        let token = app.tasks.token();
        if app.is_draining() {
            return Err(Failure::draining());
        }
        let (updates, receiver) = mpsc::channel(BUFFERED);
        let running = Self {
            app: app.clone(),
            caller: Arc::clone(caller),
            updates: updates.clone(),
        };
        let stopping = app.stopping.clone();
        let call = Call::new(REQUEST, turn)
            .with_name("POST /turns")
            .with_context(context);
        let handled = ServiceBuilder::new()
            .timing(app.sink.clone())
            .error_class(Failure::classification)
            .service_fn(move |call| running.clone().handle(call))
            .oneshot(call);
        tokio::spawn(async move {
            let _token = token;
            let end = tokio::select! {
                end = handled => end,
                () = updates.closed() => return,
                () = stopping.cancelled_owned() => Err(Failure::interrupted()),
            };
            let _ = updates.try_send(Update::End(end));
        });
        Ok(receiver)
    }

    async fn handle(self, call: Call<NewTurn>) -> End {
        let Call {
            request, context, ..
        } = call;
        let journal = &self.caller.journal;
        if let Some(thread) = &request.thread
            && !journal.has_thread(thread)
        {
            return Err(Failure::not_found("thread"));
        }
        let attachments = uploads::lease(&self.caller, &request.attachments).await?;
        let span = context.span_context();
        let trace = span.map(|span| span.trace_id().to_string());
        let id = journal
            .accept(request.thread.clone(), trace.clone())
            .map_err(Failure::internal)?;
        let accepted = Accepted::new(journal, id);
        self.tell(Update::Accepted {
            id,
            thread: request.thread.clone(),
            trace,
        });

        let mut turn = TurnRequest::new(request.prompt)
            .with_context(context.child())
            .with_working_directory(&self.caller.work);
        if let Some(thread) = request.thread {
            turn = turn.with_resume(thread);
        }
        if let Some(model) = request.model {
            turn = turn.with_model(model);
        }
        for attachment in &attachments {
            turn = turn.with_attachment(attachment);
        }
        // The request has leases of its own.
        drop(attachments);

        let end = self.follow(id, turn).await;
        match &end {
            Ok(turn) => accepted.end(Status::Ok, None, turn.final_message.as_deref()),
            Err(failure) => {
                let class = failure.class.as_str();
                accepted.end(Status::Error, Some(class), Some(&failure.message));
            }
        }
        end
    }

    /// Runs a turn to its end.
    async fn follow(&self, id: u64, turn: TurnRequest) -> End {
        let mut turn = std::pin::pin!(turn_stream(self.app.turns.clone(), turn));
        while let Some(update) = turn.next().await {
            match update {
                TurnUpdate::Progress(progress) => {
                    if let Progress::ThreadStarted { thread_id } = &progress {
                        let thread = Some(thread_id.clone());
                        self.caller.journal.change(id, |turn| turn.thread = thread);
                    }
                    self.tell(Update::Progress(Box::new(progress)));
                }
                TurnUpdate::Done(Ok(turn)) => return Ok(Box::new(turn)),
                TurnUpdate::Done(Err(error)) => return Err(Failure::of(&error)),
            }
        }
        Err(Failure::internal("the stream of a turn had no end"))
    }

    fn tell(&self, update: Update) {
        // The last place is for the end.
        if self.updates.capacity() > 1 {
            let _ = self.updates.try_send(update);
        }
    }
}

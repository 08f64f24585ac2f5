//! The ways to run a turn by `codex app-server`: by a minimal client, and by the service with the three layers.

use std::time::Duration;

use codex_telemetry::turn::{ApprovalPolicy, CodexAppServer, Sandbox, Turn, TurnRequest};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    bare::BareAppServer,
    harness::{Harness, MODEL, PROMPT, Stack},
    reply::Reply,
    timed,
};

/// A server for each way, with a thread that has had a turn.
pub(crate) struct Servers<'a> {
    harness: &'a Harness,
    bare: BareAppServer,
    bare_thread: String,
    service: CodexAppServer,
    stack: Stack,
    thread: String,
}

impl<'a> Servers<'a> {
    pub(crate) async fn start(harness: &'a Harness) -> Self {
        let bare = BareAppServer::start(&mut harness.command("app-server")).await;
        let (service, stack) = harness.app_server();
        let mut servers = Self {
            harness,
            bare_thread: bare.start_thread(thread(harness)).await,
            bare,
            service,
            stack,
            thread: String::new(),
        };
        servers.bare().await;
        harness.queue_replies();
        let turn = servers.run(servers.request()).await;
        servers.thread = turn.thread_id.unwrap();
        servers
    }

    /// Runs a later turn by the minimal client.
    pub(crate) async fn bare(&self) {
        self.harness.queue_replies();
        self.bare.turn(&self.bare_thread, PROMPT).await;
    }

    /// Runs a later turn through the layers.
    pub(crate) async fn layered(&self) {
        self.harness.queue_replies();
        let request = self.request().with_resume(&self.thread);
        self.run(request).await;
    }

    /// As [`layered`](Self::layered), of a turn in which the agent runs no command.
    pub(crate) async fn layered_without_command(&self) {
        self.harness.model.then([Reply::done()]);
        let request = self.request().with_resume(&self.thread);
        self.run(request).await;
    }

    /// Runs turns at once by the minimal client, each on a new thread and with one response that takes the model
    /// `time`. Returns how long all of them took.
    pub(crate) async fn bare_crowd(&self, count: usize, time: Duration) -> Duration {
        self.queue_late_replies(count, time);
        let turn = || async {
            let thread = self.bare.start_thread(thread(self.harness)).await;
            self.bare.turn(&thread, PROMPT).await;
        };
        timed(join_all((0..count).map(|_| turn()))).await
    }

    /// Does the same through the layers.
    pub(crate) async fn layered_crowd(&self, count: usize, time: Duration) -> Duration {
        self.queue_late_replies(count, time);
        let turns = (0..count).map(|_| self.run(self.request()));
        timed(join_all(turns)).await
    }

    /// Ends the servers.
    pub(crate) async fn end(self) {
        self.bare.end().await;
        self.service.drain().await;
    }

    async fn run(&self, request: TurnRequest) -> Turn {
        let turn = self.stack.clone().oneshot(request).await.unwrap();
        assert_eq!(turn.final_message.as_deref(), Some("done"));
        turn
    }

    fn request(&self) -> TurnRequest {
        request(self.harness)
    }

    fn queue_late_replies(&self, count: usize, time: Duration) {
        let replies = (0..count).map(|_| Reply::done_after(time));
        self.harness.model.then(replies);
    }
}

/// Returns a turn on a new thread.
pub(crate) fn request(harness: &Harness) -> TurnRequest {
    TurnRequest::new(PROMPT)
        .with_model(MODEL)
        .with_sandbox(Sandbox::DangerFullAccess)
        .with_approval_policy(ApprovalPolicy::Never)
        .with_working_directory(harness.work.path())
}

/// Returns the parameters of a new thread.
fn thread(harness: &Harness) -> Value {
    json!({
        "model": MODEL,
        "cwd": harness.work.path(),
        "sandbox": "danger-full-access",
        "approvalPolicy": "never",
    })
}

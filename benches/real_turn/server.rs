//! Both ways to run a later turn by `codex app-server`.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    bare::BareAppServer,
    harness::{Harness, MODEL, PROMPT},
    reply::Reply,
    timed,
};

/// The servers, each with a thread that has had a turn.
pub(crate) struct Servers<'a> {
    harness: &'a Harness,
    bare: BareAppServer,
    bare_thread: String,
}

impl<'a> Servers<'a> {
    pub(crate) async fn start(harness: &'a Harness) -> Self {
        let bare = BareAppServer::start(&mut harness.command("app-server")).await;
        let bare_thread = bare.start_thread(thread(harness)).await;
        let servers = Self {
            harness,
            bare,
            bare_thread,
        };
        servers.bare().await;
        servers
    }

    /// Runs a later turn by the minimal client.
    pub(crate) async fn bare(&self) {
        self.harness.queue_replies();
        self.bare.turn(&self.bare_thread, PROMPT).await;
    }

    /// Runs `count` turns at once, each on a new thread and with one response that takes the model `time`; returns
    /// how long all of them took.
    pub(crate) async fn bare_crowd(&self, count: usize, time: Duration) -> Duration {
        self.harness
            .model
            .then((0..count).map(|_| Reply::done_after(time)));
        let turn = || async {
            let thread = self.bare.start_thread(thread(self.harness)).await;
            self.bare.turn(&thread, PROMPT).await;
        };
        timed(join_all((0..count).map(|_| turn()))).await
    }

    pub(crate) async fn end(self) {
        self.bare.end().await;
    }
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

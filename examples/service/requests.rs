//! The requests that are handled. A client that sends half of one does not hold up the end of the service.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::answer::Failure;

/// How long a request may take until its answer begins. An upload takes the longest.
const TIMEOUT: Duration = Duration::from_secs(150);

#[derive(Clone, Default)]
pub(crate) struct Requests {
    handled: TaskTracker,
    aborted: CancellationToken,
}

impl Requests {
    /// Handles a request, unless it is aborted. As a middleware.
    pub(crate) async fn handle(
        State(requests): State<Self>,
        request: Request,
        next: Next,
    ) -> Response {
        let _token = requests.handled.token();
        tokio::select! {
            response = next.run(request) => response,
            () = sleep(TIMEOUT) => Failure::late().into_response(),
            () = requests.aborted.cancelled() => Failure::draining().into_response(),
        }
    }

    /// Aborts the requests that are still handled, and waits until their calls have ended.
    pub(crate) async fn abort(&self) {
        self.aborted.cancel();
        self.handled.close();
        self.handled.wait().await;
    }
}

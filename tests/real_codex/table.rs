//! Tables of failures. Each row is in `docs/error-classes.md`: the cause, a part of the error's text, and the
//! class. `tests/error_classes` compares them with that page.

use std::future::Future;

use codex_telemetry::{
    ErrorClass, EventKind, Outcome,
    event::names,
    turn::{TurnError, TurnRequest},
};
use futures_util::{StreamExt, stream};

use crate::{
    bench::Bench,
    calls::{assert_ok, number},
    reply::Reply,
};

/// The cause, a part of the error's text, and the class.
pub(crate) type Row<T> = (&'static str, &'static str, ErrorClass, T);

/// Changes a request, or the bench, so that the turn fails.
pub(crate) type Setup = fn(&Bench, TurnRequest) -> TurnRequest;

/// What the provider says in the tables. It is not recorded.
const OF_PROVIDER: &[&str] = &["words such as", "status 401, rate", "they said", "<html>"];

/// The number of concurrent turns: most of the time a turn waits for its disk and its model.
const CONCURRENCY: usize = 4;

/// Tries every row, some of them concurrently.
pub(crate) async fn each<T, F>(
    rows: impl IntoIterator<Item = Row<T>>,
    try_row: impl Fn(Row<T>) -> F,
) where
    F: Future<Output = ()>,
{
    let rows = stream::iter(rows.into_iter().map(try_row));
    rows.buffer_unordered(CONCURRENCY).collect::<()>().await;
}

/// Runs a turn for each reply of the model. Each turn fails at the model.
pub(crate) async fn each_reply_fails(rows: impl IntoIterator<Item = Row<Reply>>) {
    each(rows, |(cause, text, class, reply)| async move {
        let Some(bench) = Bench::start([reply]) else {
            return;
        };
        let request = bench.request("Go");
        bench
            .fails_at_the_model((cause, text, class, request))
            .await;
    })
    .await;
}

/// Runs a turn for each setup. Each turn fails before it starts.
pub(crate) async fn each_request_is_rejected(rows: impl IntoIterator<Item = Row<Setup>>) {
    each(rows, |(cause, text, class, setup)| async move {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let error = bench
            .run(setup(&bench, bench.request("Go")))
            .await
            .unwrap_err();
        assert!(error.to_string().contains(text), "{cause}: {error}");
        bench.assert_rejected(cause, class, &error);
    })
    .await;
}

/// Runs a turn for each reply of the model, with a tool call that fails. Each turn completes.
pub(crate) async fn each_tool_fails(rows: impl IntoIterator<Item = Row<(Reply, Setup)>>) {
    each(rows, |(cause, text, class, (reply, setup))| async move {
        let Some(bench) = Bench::start([reply, Reply::done()]) else {
            return;
        };
        let turn = bench.run(setup(&bench, bench.request("Go"))).await;
        assert!(turn.is_ok(), "{cause}: {turn:?}");
        let calls = bench.calls(1);
        assert_ok(calls.turn());
        let tool = calls.tool();
        assert_eq!(tool.outcome(), Some(Outcome::Error), "{cause}");
        assert_eq!(tool.error_class(), Some(class), "{cause}");
        let message = tool.error_message().unwrap_or_default();
        assert!(message.contains(text), "{cause}: {message}");
    })
    .await;
}

/// Does not change the request.
pub(crate) fn unchanged(_: &Bench, request: TurnRequest) -> TurnRequest {
    request
}

impl Bench {
    /// Runs a turn that starts and fails at the model.
    pub(crate) async fn fails_at_the_model(&self, row: Row<TurnRequest>) {
        let (cause, text, class, request) = row;
        let error = self.run(request).await.unwrap_err();
        let TurnError::Failed { message, .. } = &error else {
            panic!("{cause}: {error:?}");
        };
        assert!(error.to_string().contains(text), "{cause}: {error}");
        let calls = self.calls(1);
        let event = calls.turn();
        assert_eq!(event.error_class(), Some(class), "{cause}: {error}");
        assert_eq!(event.outcome(), Some(Outcome::Error), "{cause}");
        assert_eq!(event.kind(), EventKind::Exception, "{cause}");
        let recorded = event.error_message().unwrap();
        assert!(
            recorded.starts_with("the turn failed: "),
            "{cause}: {recorded}"
        );
        for words in OF_PROVIDER {
            assert!(!recorded.contains(words), "{cause}: {message}: {recorded}");
        }
        assert_eq!(event.retry_after(), None, "{cause}");
        assert!(event.thread_id().is_some(), "{cause}");
        assert_eq!(number(event, names::EXIT_CODE), Some(1), "{cause}");
        assert_eq!(self.model.left(), 0, "{cause}: the model was not asked");
    }

    /// Asserts that the only turn failed before a request to the model.
    pub(crate) fn assert_rejected(&self, cause: &str, class: ErrorClass, error: &TurnError) {
        let calls = self.calls(1);
        assert_eq!(calls.turn().error_class(), Some(class), "{cause}: {error}");
        assert!(calls.tools.is_empty(), "{cause}");
        assert!(
            self.model.asked().is_empty(),
            "{cause}: the model was asked"
        );
    }
}

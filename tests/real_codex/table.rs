//! Tables of failures. Each row has its sentence in `docs/error-classes.md`: what the cause is, a part of
//! what is said, and the class; `tests/error_classes` holds them against that page.

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

/// The cause, what is said, and the class.
pub(crate) type Row<T> = (&'static str, &'static str, ErrorClass, T);

/// What makes a request fail.
pub(crate) type Spoil = fn(&Bench, TurnRequest) -> TurnRequest;

/// How many turns run at once: a turn waits for its disk and its model most of the time.
const AT_ONCE: usize = 4;

/// Tries every row, several at once.
pub(crate) async fn each<T, F>(
    rows: impl IntoIterator<Item = Row<T>>,
    try_row: impl Fn(Row<T>) -> F,
) where
    F: Future<Output = ()>,
{
    let rows = stream::iter(rows.into_iter().map(try_row));
    rows.buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// Runs a turn for each reply of the model, which ends it as failed.
pub(crate) async fn each_reply_fails(rows: impl IntoIterator<Item = Row<Reply>>) {
    each(rows, |(cause, says, class, reply)| async move {
        let Some(bench) = Bench::start([reply]) else {
            return;
        };
        let request = bench.request("Go");
        bench
            .fails_at_the_model((cause, says, class, request))
            .await;
    })
    .await;
}

/// Runs a turn for each spoiled request, which Codex does not even begin.
pub(crate) async fn each_request_is_refused(rows: impl IntoIterator<Item = Row<Spoil>>) {
    each(rows, |(cause, says, class, spoil)| async move {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let error = bench
            .run(spoil(&bench, bench.request("Go")))
            .await
            .unwrap_err();
        assert!(error.to_string().contains(says), "{cause}: {error}");
        bench.assert_refused(cause, class, &error);
    })
    .await;
}

/// Runs a turn for each reply of the model, with a tool call that fails; the turn goes on.
pub(crate) async fn each_tool_fails(rows: impl IntoIterator<Item = Row<(Reply, Spoil)>>) {
    each(rows, |(cause, says, class, (reply, spoil))| async move {
        let Some(bench) = Bench::start([reply, Reply::done()]) else {
            return;
        };
        let turn = bench.run(spoil(&bench, bench.request("Go"))).await;
        assert!(turn.is_ok(), "{cause}: {turn:?}");
        let calls = bench.calls(1);
        assert_ok(calls.turn());
        let tool = calls.tool();
        assert_eq!(tool.outcome(), Some(Outcome::Error), "{cause}");
        assert_eq!(tool.error_class(), Some(class), "{cause}");
        let told = tool.error_message().unwrap_or_default();
        assert!(told.contains(says), "{cause}: {told}");
    })
    .await;
}

/// A request as it is.
pub(crate) fn as_it_is(_: &Bench, request: TurnRequest) -> TurnRequest {
    request
}

impl Bench {
    /// Runs a turn that begins, and that Codex ends as failed.
    pub(crate) async fn fails_at_the_model(&self, row: Row<TurnRequest>) {
        let (cause, says, class, request) = row;
        let error = self.run(request).await.unwrap_err();
        let TurnError::Failed { message, .. } = &error else {
            panic!("{cause}: {error:?}");
        };
        assert!(error.to_string().contains(says), "{cause}: {error}");
        let calls = self.calls(1);
        let event = calls.turn();
        assert_eq!(event.error_class(), Some(class), "{cause}: {error}");
        assert_eq!(event.outcome(), Some(Outcome::Error), "{cause}");
        assert_eq!(event.kind(), EventKind::Exception, "{cause}");
        let words = message.trim_end_matches('.');
        assert!(event.error_message().unwrap().contains(words), "{cause}");
        assert_eq!(event.retry_after(), None, "{cause}");
        assert!(event.thread_id().is_some(), "{cause}");
        assert_eq!(number(event, names::EXIT_CODE), Some(1), "{cause}");
        assert_eq!(self.model.left(), 0, "{cause}: the model was not asked");
    }

    /// Asserts that the one turn failed before the model was asked.
    pub(crate) fn assert_refused(&self, cause: &str, class: ErrorClass, error: &TurnError) {
        let calls = self.calls(1);
        assert_eq!(calls.turn().error_class(), Some(class), "{cause}: {error}");
        assert!(calls.tools.is_empty(), "{cause}");
        assert!(
            self.model.asked().is_empty(),
            "{cause}: the model was asked"
        );
    }
}

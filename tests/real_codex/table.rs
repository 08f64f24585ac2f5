//! Tables of failures. Each row is in `docs/error-classes.md`: the cause, a part of the error's text, and the
//! class. `tests/error_classes` compares them with that page.
//!
//! Each row is tried by `codex exec` and by `codex app-server`.

use std::future::Future;

use codex_telemetry::{
    ErrorClass, Event, EventKind, Outcome,
    event::names,
    turn::{TurnError, TurnRequest},
};
use futures_util::{StreamExt, stream};

use crate::{
    app_server::Transport,
    bench::Bench,
    calls::{Calls, assert_ok, number},
    reply::Reply,
};

/// The cause, a part of the error's text, and the class.
pub(crate) type Row<T> = (&'static str, &'static str, ErrorClass, T);

/// Changes a request, or the bench, so that the turn fails.
pub(crate) type Setup = fn(&Bench, TurnRequest) -> TurnRequest;

/// What is otherwise by app-server: the cause, a part of the error's text, and the class. The page says why.
const OTHERWISE: &[(&str, &str, ErrorClass)] = &[
    (
        "response.failed, `cyber_policy`",
        "words such as",
        ErrorClass::PolicyDenied,
    ),
    (
        "response.failed, `model_not_found`",
        "words such as",
        ErrorClass::InvalidRequest,
    ),
    (
        "config.toml has a value of the wrong type",
        "config.toml:1:9",
        ErrorClass::Config,
    ),
    (
        "`CODEX_HOME` cannot be written to",
        "unable to open database file",
        ErrorClass::Io,
    ),
    ("SIGHUP to Codex", "(SIGHUP)", ErrorClass::Transport),
    (
        "SIGINT to Codex, which catches it",
        "(SIGINT)",
        ErrorClass::Transport,
    ),
    ("SIGQUIT to Codex", "(SIGQUIT)", ErrorClass::Transport),
    ("SIGTERM to Codex", "exit status: 0", ErrorClass::Transport),
    ("SIGUSR1 to Codex", "(SIGUSR1)", ErrorClass::Transport),
    ("SIGUSR2 to Codex", "(SIGUSR2)", ErrorClass::Transport),
    ("SIGALRM to Codex", "(SIGALRM)", ErrorClass::Transport),
    ("SIGXCPU to Codex", "(SIGXCPU)", ErrorClass::Transport),
    ("SIGXFSZ of Codex", "(SIGXFSZ)", ErrorClass::Transport),
    (
        "a thread with a corrupt file",
        "failed to read thread",
        ErrorClass::InvalidRequest,
    ),
];

/// What does not fail a turn by app-server. The page says why.
const HARMLESS: &[&str] = &[
    "an empty prompt",
    "rules for commands are broken",
    "a directory that is not trusted",
    "a wrapper prints to Codex's output",
];

/// The tool calls that Codex refuses before they run, and not by app-server. There it asks for an approval, and
/// these turns have no approver; or it asks for none, because the sandbox forbids nothing.
const CALLED: &[(&str, Option<ErrorClass>)] = &[
    ("a dangerous command", Some(ErrorClass::ApprovalDenied)),
    (
        "an edit that the sandbox forbids",
        Some(ErrorClass::ApprovalDenied),
    ),
    ("a command that asks for more rights", None),
];

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

/// Tries every row by each transport.
pub(crate) async fn each_by_both<T: Clone, F>(
    rows: impl IntoIterator<Item = Row<T>>,
    try_row: impl Fn(Transport, Row<T>) -> F,
) where
    F: Future<Output = ()>,
{
    let rows = rows
        .into_iter()
        .flat_map(|row| Transport::ALL.map(|transport| (transport, row.clone())));
    let rows = stream::iter(rows.map(|(transport, row)| try_row(transport, row)));
    rows.buffer_unordered(CONCURRENCY).collect::<()>().await;
}

/// Runs a turn for each reply of the model. Each turn fails at the model.
pub(crate) async fn each_reply_fails(rows: impl IntoIterator<Item = Row<Reply>>) {
    let rows: Vec<_> = rows.into_iter().collect();
    let by_exec = each(rows.clone(), |(cause, text, class, reply)| async move {
        let Some(bench) = Bench::start([reply]) else {
            return;
        };
        let request = bench.request("Go");
        let row = (cause, text, class, request);
        bench.fails_at_the_model(Transport::Exec, row).await;
    });
    // One server fails all the turns.
    let by_app_server = async {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let server = bench.app_server(|builder| builder);
        for (cause, text, class, reply) in rows.clone() {
            bench.model.then([reply]);
            let error = server.run(bench.ask("Go")).await.unwrap_err();
            bench.assert_failed_at_the_model(Transport::AppServer, (cause, text, class), &error);
            let _ = bench.sink.take();
        }
        server.end().await;
    };
    tokio::join!(by_exec, by_app_server);
}

/// Runs a turn by each transport, with a model that starts with `script`. Each turn fails at the model.
pub(crate) async fn request_fails_at_the_model(
    row: Row<impl Fn(&Bench) -> TurnRequest>,
    script: &[Reply],
) {
    let (cause, text, class, request) = row;
    for transport in Transport::ALL {
        let Some(bench) = Bench::start(script.iter().cloned()) else {
            return;
        };
        let row = (cause, text, class, request(&bench));
        bench.fails_at_the_model(transport, row).await;
    }
}

/// Runs a turn for each setup. Each turn fails before it starts.
pub(crate) async fn each_request_is_rejected(rows: impl IntoIterator<Item = Row<Setup>>) {
    each_by_both(rows, |transport, (cause, text, class, setup)| async move {
        let is_harmless = transport.is_harmless(cause);
        let Some(bench) = Bench::start(is_harmless.then(Reply::done)) else {
            return;
        };
        let request = setup(&bench, bench.request("Go"));
        let result = bench.run_on(transport, request).await;
        if is_harmless {
            assert!(result.is_ok(), "{cause}: {result:?}");
            return;
        }
        let error = result.unwrap_err();
        let (text, class) = transport.expects(cause, text, class);
        assert!(
            error.to_string().contains(text),
            "{transport:?}: {cause}: {error}"
        );
        bench.assert_rejected(cause, class, &error);
    })
    .await;
}

/// Runs a turn for each reply of the model, with a tool call that fails. Each turn completes.
pub(crate) async fn each_tool_fails(rows: impl IntoIterator<Item = Row<(Reply, Setup)>>) {
    each_by_both(
        rows,
        |transport, (cause, text, class, (reply, setup))| async move {
            let Some(bench) = Bench::start([reply, Reply::done()]) else {
                return;
            };
            let request = setup(&bench, bench.request("Go"));
            let turn = bench.run_on(transport, request).await;
            assert!(turn.is_ok(), "{cause}: {turn:?}");
            let (text, class) = transport.expects(cause, text, class);
            let calls = bench.calls(1);
            assert_ok(calls.turn());
            let tool = calls.tool();
            assert_eq!(tool.outcome(), Some(Outcome::Error), "{cause}");
            assert_eq!(tool.error_class(), Some(class), "{transport:?}: {cause}");
            let message = tool.error_message().unwrap_or_default();
            assert!(message.contains(text), "{transport:?}: {cause}: {message}");
        },
    )
    .await;
}

/// Does not change the request.
pub(crate) fn unchanged(_: &Bench, request: TurnRequest) -> TurnRequest {
    request
}

impl Transport {
    /// Returns the part of the error's text and the class that a cause has by this transport.
    pub(crate) fn expects(
        self,
        cause: &str,
        text: &'static str,
        class: ErrorClass,
    ) -> (&'static str, ErrorClass) {
        let mut otherwise = OTHERWISE.iter().filter(|_| self == Self::AppServer);
        let otherwise = otherwise.find(|(of, ..)| *of == cause);
        otherwise.map_or((text, class), |(_, text, class)| (text, *class))
    }

    /// Returns the class of a call that is refused without a call by `codex exec`; `None` if there is no call.
    pub(crate) fn class_of_call(self, cause: &str) -> Option<Option<ErrorClass>> {
        let mut called = CALLED.iter().filter(|_| self == Self::AppServer);
        called.find(|(of, _)| *of == cause).map(|(_, class)| *class)
    }

    /// Returns whether a cause does not fail a turn by this transport.
    pub(crate) fn is_harmless(self, cause: &str) -> bool {
        self == Self::AppServer && HARMLESS.contains(&cause)
    }
}

impl Bench {
    /// Runs a turn that starts and fails at the model.
    pub(crate) async fn fails_at_the_model(&self, transport: Transport, row: Row<TurnRequest>) {
        let (cause, text, class, request) = row;
        let error = self.run_on(transport, request).await.unwrap_err();
        self.assert_failed_at_the_model(transport, (cause, text, class), &error);
    }

    /// Asserts that the only turn started and failed at the model.
    fn assert_failed_at_the_model(
        &self,
        transport: Transport,
        (cause, text, class): (&'static str, &'static str, ErrorClass),
        error: &TurnError,
    ) {
        let (text, class) = transport.expects(cause, text, class);
        let cause = format!("{transport:?}: {cause}");
        let TurnError::Failed { message, .. } = error else {
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
        assert_eq!(self.model.left(), 0, "{cause}: the model was not asked");
        match transport {
            Transport::Exec => assert_eq!(number(event, names::EXIT_CODE), Some(1), "{cause}"),
            Transport::AppServer => assert_failed_response(&cause, &calls, event),
        }
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

/// Asserts that the model's response has failed with the turn, which has Codex's own kind of the error.
fn assert_failed_response(cause: &str, calls: &Calls, turn: &Event) {
    assert!(turn.turn_id().is_some(), "{cause}");
    assert!(turn.attribute(names::ERROR_KIND).is_some(), "{cause}");
    let [response] = &calls.chats[..] else {
        panic!("{cause}: {} model responses", calls.chats.len());
    };
    assert_eq!(response.error_class(), turn.error_class(), "{cause}");
}

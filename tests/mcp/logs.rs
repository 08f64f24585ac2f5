//! What is logged through `tracing`, by the crate and by those that it builds on.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use serde_json::json;
use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter, util::SubscriberInitExt};

use crate::support::{Rig, call, post};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Returns what two calls log up to a level, and their tokens.
async fn log(level: LevelFilter) -> (String, [String; 2]) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(log.clone());
    // The tasks of the server run in this thread.
    let guard = subscriber.finish().set_default();
    let rig = Rig::start().await;
    let token = rig.server.issue_token().unwrap();
    let body = call("echo", json!({"a": "an argument"}));
    post(rig.server.url(), token.as_str(), &body).await;
    let dropped = rig.server.issue_token().unwrap().as_str().to_owned();
    post(rig.server.url(), &dropped, &body).await;
    rig.server.shutdown(crate::support::DEADLINE).await;
    drop(guard);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (log, [token.as_str().to_owned(), dropped])
}

#[tokio::test]
async fn no_token_is_logged_at_any_level() {
    let (log, tokens) = log(LevelFilter::TRACE).await;
    // The log has the request.
    assert!(log.contains("an argument"), "{log}");
    assert!(tokens.iter().all(|token| !log.contains(token)), "{log}");
}

#[tokio::test]
async fn neither_arguments_nor_results_are_logged_above_debug() {
    let (log, _) = log(LevelFilter::INFO).await;
    assert!(!log.contains("an argument"), "{log}");
}

//! The end of the server.

use std::time::Duration;

use codex_telemetry::{Operation, Outcome};
use serde_json::json;
use tokio::{net::TcpStream, sync::mpsc};

use crate::support::{Rig, Told, authority, call, in_time, post};

/// Returns whether something listens.
async fn listens(url: &str) -> bool {
    TcpStream::connect(authority(url)).await.is_ok()
}

#[tokio::test]
async fn a_shutdown_lets_a_call_that_runs_end_within_the_grace_and_refuses_new_ones() {
    use codex_telemetry::{BoxError, ToolSpec, tool_fn};
    use std::sync::{Arc, Mutex};

    let (began, mut begun) = mpsc::unbounded_channel();
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    let finished = Arc::new(Mutex::new(Some(finished)));
    let told = tool_fn(move |_: serde_json::Value, _| {
        let (began, finished) = (began.clone(), finished.lock().unwrap().take().unwrap());
        async move {
            began.send(())?;
            finished.await?;
            Ok::<_, BoxError>("finished")
        }
    });
    let rig = Rig::with(Duration::from_secs(60), |builder| {
        builder.tool(ToolSpec::new("told", "Ends when it is told to"), told)
    })
    .await;
    let (url, token) = (
        rig.server.url().to_owned(),
        rig.server.issue_token().unwrap(),
    );
    let calling = {
        let (url, token) = (url.clone(), token.as_str().to_owned());
        tokio::spawn(async move { post(&url, &token, &call("told", json!({}))).await })
    };
    in_time(begun.recv()).await.unwrap();
    let server = rig.server.clone();
    let mut stopping = tokio::spawn(async move { server.shutdown(Duration::MAX).await });
    // The listener is closed before the call has ended.
    in_time(async {
        while listens(&url).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!stopping.is_finished());
    finish.send(()).unwrap();
    let answer = in_time(calling).await.unwrap();
    assert_eq!(answer.text(), (false, "finished".to_owned()));
    in_time(&mut stopping).await.unwrap();
}

#[tokio::test]
async fn a_shutdown_without_grace_drops_the_calls_that_run() {
    let mut rig = Rig::start().await;
    let (url, token) = (
        rig.server.url().to_owned(),
        rig.server.issue_token().unwrap(),
    );
    let text = token.as_str().to_owned();
    let calling = tokio::spawn(async move {
        let headers = crate::support::headers(&url) + &format!("Authorization: Bearer {text}\r\n");
        let mut stream =
            crate::support::begin(&url, &headers, &call("waits", json!({})).to_string()).await;
        let mut answer = Vec::new();
        // A reset is an end as well.
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await;
        answer
    });
    assert_eq!(rig.told().await, Told::Began);
    // It gives way to the second one.
    let server = rig.server.clone();
    let first = tokio::spawn(async move { server.shutdown(Duration::from_secs(3600)).await });
    in_time(rig.server.shutdown(Duration::ZERO)).await;
    in_time(first).await.unwrap();
    assert_eq!(
        rig.told.try_recv(),
        Ok(Told::Dropped),
        "before the shutdown has returned"
    );
    assert_eq!(in_time(calling).await.unwrap(), b"");
    assert_eq!(rig.sink.find(Operation::Tool, Outcome::Cancelled).len(), 1);
}

#[tokio::test]
async fn the_server_ends_with_its_last_clone_and_the_last_request_that_has_it() {
    let rig = Rig::start().await;
    let url = rig.server.url().to_owned();
    let clone = rig.server.clone();
    let request = codex_telemetry::TurnRequest::new("Go").with_mcp_server(&clone);
    drop((rig, clone));
    assert!(listens(&url).await);
    drop(request);
    in_time(async {
        while listens(&url).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

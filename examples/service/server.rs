//! The connections: their number is limited, and one that sends nothing is closed.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore, time::sleep};
use tokio_util::sync::CancellationToken;

/// How many connections are open at once; further ones wait.
const MAX_CONNECTIONS: usize = 1024;

/// How long the head of a request may take, also of the next one of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait after a connection could not be accepted, mostly for a descriptor.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until `closing`, and then waits for those whose request is still answered.
pub(crate) async fn serve(listener: TcpListener, routes: Router, closing: CancellationToken) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    let accept = async || {
        let permit = Arc::clone(&permits).acquire_owned().await;
        (permit, listener.accept().await)
    };
    loop {
        let (permit, accepted) = tokio::select! {
            accepted = accept() => accepted,
            () = closing.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => TokioIo::new(stream),
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let routes = TowerToHyperService::new(routes.clone());
        let connection = connections.watch(http.serve_connection(stream, routes));
        tokio::spawn(async move {
            // A client that goes away is not an error of the service.
            let _ = connection.await;
            drop(permit);
        });
    }
    // Nobody else is let in.
    drop(listener);
    connections.shutdown().await;
}

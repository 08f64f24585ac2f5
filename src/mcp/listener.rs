//! The connections of the clients.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::gate::Gate;

/// The most connections at once. Each has one request; others wait to be accepted.
const MAX_CONNECTIONS: usize = 256;
/// How long a client has to send the head of its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing is accepted after an error, as when the process has too many open files.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// The end of the server: when the requests that run are cut off. `None` while it serves.
pub(super) type End = Option<Instant>;

/// Serves connections until there is an end. Then the requests that run have until its deadline.
pub(super) async fn serve(listener: TcpListener, gate: Gate, mut end: watch::Receiver<End>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let ending = end.clone();
    loop {
        tokio::select! {
            biased;
            () = ended(&mut end) => break,
            Some(_) = connections.join_next() => {}
            accepted = accept(&listener, &permits) => match accepted {
                Ok((stream, address, permit)) => {
                    let serving = connection(stream, address, gate.clone(), ending.clone());
                    connections.spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                }
                Err(_) => sleep(ERROR_PAUSE).await,
            }
        }
    }
    drop(listener);
    while !connections.is_empty() {
        let Some(deadline) = *end.borrow_and_update() else {
            break;
        };
        tokio::select! {
            _ = connections.join_next() => {}
            () = sleep_until(deadline) => break,
            // There may be an earlier one. An error means that nobody is left to change it.
            changed = end.changed() => if changed.is_err() { break },
        }
    }
    connections.shutdown().await;
}

/// Waits for the end, or for the moment from which nobody could set it.
async fn ended(end: &mut watch::Receiver<End>) {
    let _ = end.wait_for(Option::is_some).await;
}

/// Accepts a connection once there is room for it.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await;
    let permit = permit.map_err(|error: AcquireError| io::Error::other(error))?;
    let (stream, address) = listener.accept().await?;
    Ok((stream, address, permit))
}

/// Serves the request of a connection. A client that goes away drops it.
async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    gate: Gate,
    mut end: watch::Receiver<End>,
) {
    // An error means that small packets wait for each other.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| gate.clone().handle(request, address));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        // No connection waits for a next request: it would take the room of others, and the client could use it at the
        // moment at which it is closed.
        .keep_alive(false);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // An error is one of the client, which sees it.
        _ = serving.as_mut() => return,
        () = ended(&mut end) => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

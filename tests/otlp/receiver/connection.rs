use std::{convert::Infallible, error::Error, future::pending, sync::Arc};

use axum::body::{Body, to_bytes};
use hyper::{
    Response, body,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;

use super::{
    body::ReplyBody,
    handler::{Incoming, Protocol, handle},
    state::Shared,
};

/// The configuration of every connection of a receiver.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) protocol: Protocol,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) shared: Arc<Shared>,
}

type Failure = Box<dyn Error + Send + Sync>;

impl Serving {
    /// Serves a connection until the client or a response closes it.
    pub(super) async fn serve(self, stream: TcpStream) {
        let close = Arc::new(Notify::new());
        tokio::select! {
            // Dropping the connection closes it.
            () = close.notified() => {}
            served = self.serve_stream(stream, &close) => if let Err(error) = served {
                self.shared.connection_failed(error.to_string());
            }
        }
    }

    async fn serve_stream(&self, stream: TcpStream, close: &Arc<Notify>) -> Result<(), Failure> {
        match &self.tls {
            None => self.serve_http(stream, close).await,
            Some(tls) => {
                let accepted = tls.accept(stream).await;
                let stream = accepted.map_err(|error| format!("TLS: {error}"))?;
                self.serve_http(stream, close).await
            }
        }
    }

    async fn serve_http(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        close: &Arc<Notify>,
    ) -> Result<(), Failure> {
        let (shared, protocol) = (&self.shared, self.protocol);
        let service = service_fn(move |request| {
            respond(request, protocol, Arc::clone(shared), Arc::clone(close))
        });
        let stream = TokioIo::new(stream);
        match protocol {
            Protocol::Http => {
                let builder = http1::Builder::new();
                builder.serve_connection(stream, service).await?;
            }
            Protocol::Grpc => {
                let builder = http2::Builder::new(TokioExecutor::new());
                builder.serve_connection(stream, service).await?;
            }
        }
        Ok(())
    }
}

async fn respond(
    request: hyper::Request<body::Incoming>,
    protocol: Protocol,
    shared: Arc<Shared>,
    close: Arc<Notify>,
) -> Result<Response<ReplyBody>, Infallible> {
    let (head, body) = request.into_parts();
    match to_bytes(Body::new(body), usize::MAX).await {
        Ok(body) => {
            let request = Incoming {
                head,
                body,
                protocol,
            };
            handle(request, &shared, &close).await
        }
        Err(error) => {
            shared.connection_failed(format!("{}: {error}", head.uri.path()));
            close.notify_one();
            pending().await
        }
    }
}

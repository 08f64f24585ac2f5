use std::{
    iter::repeat_n,
    mem::take,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio_rustls::TlsAcceptor;

use super::{
    LogRecord, Metric, MockResponse, Request, Span, Tls, connection::Serving, handler::Protocol,
    port::Port, server::Server, state::Shared,
};

/// How long the `wait_for_*` methods wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// A mock OTLP receiver on loopback. Dropping it stops it.
///
/// # Panics
///
/// Dropping it panics if a request did not decode, unless the failure was
/// [taken](Self::take_decode_failures).
pub(crate) struct Receiver {
    shared: Arc<Shared>,
    port: Port,
    protocol: Protocol,
    tls: Option<TlsAcceptor>,
    server: Mutex<Option<Server>>,
}

impl Receiver {
    /// Starts a receiver of OTLP/HTTP.
    pub(crate) fn http() -> Self {
        Self::start(Protocol::Http, None)
    }

    /// Starts a receiver of OTLP/HTTP with TLS.
    pub(crate) fn https(tls: Tls) -> Self {
        Self::start(Protocol::Http, Some(tls.acceptor(b"http/1.1")))
    }

    /// Starts a receiver of OTLP/gRPC.
    pub(crate) fn grpc() -> Self {
        Self::start(Protocol::Grpc, None)
    }

    /// Starts a receiver of OTLP/gRPC with TLS.
    pub(crate) fn grpcs(tls: Tls) -> Self {
        Self::start(Protocol::Grpc, Some(tls.acceptor(b"h2")))
    }

    fn start(protocol: Protocol, tls: Option<TlsAcceptor>) -> Self {
        let receiver = Self {
            shared: Arc::default(),
            port: Port::reserve(),
            protocol,
            tls,
            server: Mutex::new(None),
        };
        receiver.restart();
        receiver
    }

    /// Returns the base URL, without a path and without a trailing slash.
    pub(crate) fn endpoint(&self) -> String {
        let port = self.port.number();
        match self.tls {
            None => format!("http://127.0.0.1:{port}"),
            Some(_) => format!("https://localhost:{port}"),
        }
    }

    /// Sets the response to all requests after those of [`respond_next`](Self::respond_next).
    pub(crate) fn respond_with(&self, response: MockResponse) {
        self.shared.lock().response = response;
    }

    /// Sets the response to the next `count` requests after those of earlier calls.
    pub(crate) fn respond_next(&self, count: usize, response: MockResponse) {
        self.shared.lock().next.extend(repeat_n(response, count));
    }

    /// Returns all requests whose body was read, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// Returns all accepted spans.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.shared.lock().received.spans.clone()
    }

    /// Returns all accepted metrics of all requests, in order.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        self.shared.lock().received.metrics.clone()
    }

    /// Returns the latest state of a metric.
    pub(crate) fn metric(&self, name: &str) -> Option<Metric> {
        let state = self.shared.lock();
        let mut latest_first = state.received.metrics.iter().rev();
        latest_first.find(|metric| metric.name == name).cloned()
    }

    /// Returns all accepted log records.
    pub(crate) fn logs(&self) -> Vec<LogRecord> {
        self.shared.lock().received.logs.clone()
    }

    /// Returns the number of accepted connections, including those without a request.
    pub(crate) fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// Returns the failures of connections: TLS handshakes, and incomplete requests.
    pub(crate) fn connection_failures(&self) -> Vec<String> {
        self.shared.lock().connection_failures.clone()
    }

    /// Waits until the condition holds. Checks it after each change.
    ///
    /// # Panics
    ///
    /// Panics if it does not hold in time. The message has `what` and a summary of what was received.
    #[track_caller]
    pub(crate) fn wait_until(
        &self,
        what: &str,
        within: Duration,
        condition: impl Fn(&Self) -> bool,
    ) {
        let came = self.shared.wait_until(within, || condition(self));
        let summary = self.shared.lock().summary();
        assert!(came, "{what}: not within {within:?}; so far\n{summary}");
    }

    /// Waits for at least `count` spans, and returns all.
    #[track_caller]
    pub(crate) fn wait_for_spans(&self, count: usize) -> Vec<Span> {
        let came = |receiver: &Self| receiver.shared.lock().received.spans.len() >= count;
        self.wait_until(&format!("{count} spans"), PATIENCE, came);
        self.spans()
    }

    /// Waits for at least `count` log records, and returns all.
    #[track_caller]
    pub(crate) fn wait_for_logs(&self, count: usize) -> Vec<LogRecord> {
        let came = |receiver: &Self| receiver.shared.lock().received.logs.len() >= count;
        self.wait_until(&format!("{count} log records"), PATIENCE, came);
        self.logs()
    }

    /// Waits for a metric, and returns its latest state.
    #[track_caller]
    pub(crate) fn wait_for_metric(&self, name: &str) -> Metric {
        let came = |receiver: &Self| receiver.metric(name).is_some();
        self.wait_until(&format!("metric {name}"), PATIENCE, came);
        self.metric(name).expect("received metrics are kept")
    }

    /// Waits for at least `count` requests, and returns all.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, count: usize) -> Vec<Request> {
        let came = |receiver: &Self| receiver.shared.lock().requests.len() >= count;
        self.wait_until(&format!("{count} requests"), PATIENCE, came);
        self.requests()
    }

    /// Closes the listener and all connections, until [`restart`](Self::restart).
    ///
    /// Meanwhile, the port is reserved and refuses connections.
    pub(crate) fn stop(&self) {
        let server = self.server().take();
        if let Some(server) = server {
            server.stop();
        }
    }

    /// Listens on the same port again. Keeps what was received.
    pub(crate) fn restart(&self) {
        let mut server = self.server();
        assert!(server.is_none(), "the receiver runs already");
        let serving = Serving {
            protocol: self.protocol,
            tls: self.tls.clone(),
            shared: Arc::clone(&self.shared),
        };
        *server = Some(Server::start(self.port.listen(), serving));
    }

    fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asserts that all requests so far were decoded.
    #[track_caller]
    pub(crate) fn assert_all_decoded(&self) {
        let failures = self.take_decode_failures();
        assert!(
            failures.is_empty(),
            "requests did not decode: {failures:#?}"
        );
    }

    /// Returns the decode failures and clears them.
    pub(crate) fn take_decode_failures(&self) -> Vec<String> {
        take(&mut self.shared.lock().decode_failures)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop();
        if !thread::panicking() {
            self.assert_all_decoded();
        }
    }
}

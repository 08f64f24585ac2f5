use std::{
    iter::repeat_n,
    mem::take,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio_rustls::TlsAcceptor;

use super::{
    Behaviour, LogRecord, Metric, Request, Span, Tls, connection::Serving, handler::Protocol,
    port::Port, server::Server, state::Shared,
};

/// How long the `wait_for_*` methods wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// A receiver of OTLP on loopback, which stops when dropped.
///
/// # Panics
///
/// Dropping it panics if a request's body did not decode and nobody has
/// [taken](Self::take_decode_failures) that failure.
pub(crate) struct Receiver {
    shared: Arc<Shared>,
    port: Port,
    protocol: Protocol,
    tls: Option<TlsAcceptor>,
    server: Mutex<Option<Server>>,
}

impl Receiver {
    /// Receives HTTP, protobuf or JSON.
    pub(crate) fn http() -> Self {
        Self::start(Protocol::Http, None)
    }

    /// Receives HTTP over TLS.
    pub(crate) fn https(tls: Tls) -> Self {
        Self::start(Protocol::Http, Some(tls.acceptor(b"http/1.1")))
    }

    /// Receives gRPC.
    pub(crate) fn grpc() -> Self {
        Self::start(Protocol::Grpc, None)
    }

    /// Receives gRPC over TLS.
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

    /// Returns the base URL, without a path or a slash at its end.
    pub(crate) fn endpoint(&self) -> String {
        let port = self.port.number();
        match self.tls {
            None => format!("http://127.0.0.1:{port}"),
            Some(_) => format!("https://localhost:{port}"),
        }
    }

    /// Treats requests so from now on, after those of [`behave_next`](Self::behave_next).
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.shared.lock().behaviour = behaviour;
    }

    /// Treats the next `count` requests so, after those that earlier calls said it of.
    pub(crate) fn behave_next(&self, count: usize, behaviour: Behaviour) {
        self.shared.lock().next.extend(repeat_n(behaviour, count));
    }

    /// Returns every request whose body was read, in the order they came.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// Returns every span taken.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.shared.lock().received.spans.clone()
    }

    /// Returns every metric taken, as many times as it was sent, the newest last.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        self.shared.lock().received.metrics.clone()
    }

    /// Returns the newest state of a metric.
    pub(crate) fn metric(&self, name: &str) -> Option<Metric> {
        let state = self.shared.lock();
        let mut newest_first = state.received.metrics.iter().rev();
        newest_first.find(|metric| metric.name == name).cloned()
    }

    /// Returns every log record taken.
    pub(crate) fn logs(&self) -> Vec<LogRecord> {
        self.shared.lock().received.logs.clone()
    }

    /// Returns how many connections were accepted, also those that came no further.
    pub(crate) fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// Returns what went wrong below the requests: TLS handshakes, and connections that ended in
    /// the middle of a request.
    pub(crate) fn connection_failures(&self) -> Vec<String> {
        self.shared.lock().connection_failures.clone()
    }

    /// Waits until the condition holds, and tries it after each change.
    ///
    /// # Panics
    ///
    /// If it does not hold in time; the message says `what` was awaited and what came instead.
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

    /// Waits for at least so many spans, and returns all.
    #[track_caller]
    pub(crate) fn wait_for_spans(&self, count: usize) -> Vec<Span> {
        let came = |receiver: &Self| receiver.shared.lock().received.spans.len() >= count;
        self.wait_until(&format!("{count} spans"), PATIENCE, came);
        self.spans()
    }

    /// Waits for at least so many log records, and returns all.
    #[track_caller]
    pub(crate) fn wait_for_logs(&self, count: usize) -> Vec<LogRecord> {
        let came = |receiver: &Self| receiver.shared.lock().received.logs.len() >= count;
        self.wait_until(&format!("{count} log records"), PATIENCE, came);
        self.logs()
    }

    /// Waits for a metric, and returns its newest state.
    #[track_caller]
    pub(crate) fn wait_for_metric(&self, name: &str) -> Metric {
        let came = |receiver: &Self| receiver.metric(name).is_some();
        self.wait_until(&format!("metric {name}"), PATIENCE, came);
        self.metric(name).expect("a metric that has come stays")
    }

    /// Waits for at least so many requests, whatever became of them, and returns all.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, count: usize) -> Vec<Request> {
        let came = |receiver: &Self| receiver.shared.lock().requests.len() >= count;
        self.wait_until(&format!("{count} requests"), PATIENCE, came);
        self.requests()
    }

    /// Stops to listen and closes every connection, until [`restart`](Self::restart).
    ///
    /// The port refuses connections meanwhile and is given to nobody else.
    pub(crate) fn stop(&self) {
        let server = self.server().take();
        if let Some(server) = server {
            server.stop();
        }
    }

    /// Listens again, on the same port and with all that was received.
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

    /// Asserts that the body of every request so far could be decoded.
    #[track_caller]
    pub(crate) fn assert_all_decoded(&self) {
        let failures = self.take_decode_failures();
        assert!(
            failures.is_empty(),
            "requests did not decode: {failures:#?}"
        );
    }

    /// Returns the decode failures so far and forgets them.
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

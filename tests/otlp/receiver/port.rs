use std::{
    io::ErrorKind::AddrInUse,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use tokio::net::TcpSocket;

/// A timeout that no test reaches.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sockets that keep [`closed_port`]s closed until the process ends.
static CLOSED: Mutex<Vec<Port>> = Mutex::new(Vec::new());

/// A reserved port on loopback.
#[derive(Debug)]
pub(super) struct Port {
    // Bound and never listening: connections are refused, and the system does not assign the port to
    // another socket while the receiver is stopped.
    _reserved: TcpSocket,
    address: SocketAddr,
}

impl Port {
    pub(super) fn reserve() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("to reuse addresses");
        socket
            .bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .expect("a free port on loopback");
        Self {
            address: socket.local_addr().expect("the bound address"),
            _reserved: socket,
        }
    }

    /// Listens on the reserved port. This is possible because std sets `SO_REUSEADDR` as well, and the
    /// reservation does not listen.
    ///
    /// Retries while a child process that another thread is starting still has the last listener, which it
    /// inherits until `exec`.
    pub(super) fn listen(&self) -> TcpListener {
        let deadline = Instant::now() + PATIENCE;
        let listener = loop {
            match TcpListener::bind(self.address) {
                Err(error) if error.kind() == AddrInUse && Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(1));
                }
                bound => break bound.expect("the reserved port"),
            }
        };
        listener
            .set_nonblocking(true)
            .expect("a nonblocking listener");
        listener
    }

    pub(super) fn number(&self) -> u16 {
        self.address.port()
    }
}

/// Returns an endpoint on which nothing listens as long as this process runs.
pub(crate) fn closed_port() -> String {
    let port = Port::reserve();
    let endpoint = format!("http://127.0.0.1:{}", port.number());
    CLOSED
        .lock()
        .expect("no panic while a port is kept")
        .push(port);
    endpoint
}

/// Returns an endpoint that accepts connections and never reads, and its listener.
pub(crate) fn blackhole() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
    let address = listener.local_addr().expect("the bound address");
    (listener, format!("http://{address}"))
}

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Mutex,
};

use tokio::net::TcpSocket;

/// Sockets that keep [`closed_port`]s closed until the process ends.
static CLOSED: Mutex<Vec<Port>> = Mutex::new(Vec::new());

/// A port of loopback that nobody else is given for as long as this lives.
#[derive(Debug)]
pub(super) struct Port {
    // Bound and never listening: connecting is refused, and neither a `bind` to port 0 nor an
    // outgoing connection is handed the number while the receiver is stopped.
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

    /// Listens on the reserved port, which works beside the reservation since std sets
    /// `SO_REUSEADDR` as well and the reservation does not listen.
    pub(super) fn listen(&self) -> TcpListener {
        let listener = TcpListener::bind(self.address).expect("the reserved port");
        listener
            .set_nonblocking(true)
            .expect("a nonblocking listener");
        listener
    }

    pub(super) fn number(&self) -> u16 {
        self.address.port()
    }
}

/// Returns an endpoint on which nothing listens, nor will while this process lives.
pub(crate) fn closed_port() -> String {
    let port = Port::reserve();
    let endpoint = format!("http://127.0.0.1:{}", port.number());
    CLOSED
        .lock()
        .expect("no panic while a port is kept")
        .push(port);
    endpoint
}

/// Returns an endpoint that lets clients connect and never reads what they send, and the listener
/// that keeps it so.
pub(crate) fn blackhole() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
    let address = listener.local_addr().expect("the bound address");
    (listener, format!("http://{address}"))
}

//! A receiver on loopback that accepts every HTTP/1.1 request, and closes other connections.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    headers: Vec<(String, String)>,
}

/// A receiver. Its thread runs until the process exits.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    /// The first bytes of each connection that did not use HTTP/1.1.
    other_protocols: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(key, _)| key == name);
        let value = named.next().map(|(_, value)| value.as_str());
        assert!(named.next().is_none(), "{name} is duplicated");
        value
    }
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is available");
        let receiver = Self {
            address: listener.local_addr().expect("it is bound"),
            requests: Arc::default(),
            other_protocols: Arc::default(),
        };
        let requests = Arc::clone(&receiver.requests);
        let other_protocols = Arc::clone(&receiver.other_protocols);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (requests, other_protocols) =
                    (Arc::clone(&requests), Arc::clone(&other_protocols));
                // An error means that the client closed the connection.
                thread::spawn(move || serve(connection?, &requests, &other_protocols));
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no thread panics").clone()
    }

    /// Returns whether a connection began with these bytes instead of HTTP/1.1.
    pub fn has_received(&self, prefix: &[u8]) -> bool {
        let other_protocols = self.other_protocols.lock().expect("no thread panics");
        other_protocols
            .iter()
            .any(|bytes| bytes.starts_with(prefix))
    }
}

fn serve(
    connection: TcpStream,
    requests: &Mutex<Vec<Request>>,
    other_protocols: &Mutex<Vec<Vec<u8>>>,
) -> io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(connection);
    loop {
        let prefix = reader.fill_buf()?.to_vec();
        if prefix.is_empty() {
            return Ok(());
        }
        if !prefix.starts_with(b"POST ") && !prefix.starts_with(b"GET ") {
            other_protocols
                .lock()
                .expect("no thread panics")
                .push(prefix);
            return Ok(());
        }
        let request = read_request(&mut reader)?;
        requests.lock().expect("no thread panics").push(request);
        reader
            .get_mut()
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Request> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut request = Request {
        path,
        headers: Vec::new(),
    };
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        let header = (name.to_ascii_lowercase(), value.to_owned());
        request.headers.push(header);
    }
    let length = request.header("content-length").map_or(0, |length| {
        length.parse().expect("content-length is a number")
    });
    io::copy(&mut reader.take(length), &mut io::sink())?;
    Ok(request)
}

//! A receiver on loopback that says yes to every HTTP/1.1 request, and hangs up on anything else.

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

/// Ends with the process.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    /// The first bytes of each connection that spoke no HTTP/1.1.
    strange: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(key, _)| key == name);
        let value = named.next().map(|(_, value)| value.as_str());
        assert!(named.next().is_none(), "{name} came twice");
        value
    }
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let receiver = Self {
            address: listener.local_addr().expect("it is bound"),
            requests: Arc::default(),
            strange: Arc::default(),
        };
        let requests = Arc::clone(&receiver.requests);
        let strange = Arc::clone(&receiver.strange);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (requests, strange) = (Arc::clone(&requests), Arc::clone(&strange));
                // An error is a connection that the client closed.
                thread::spawn(move || serve(connection?, &requests, &strange));
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("nobody panics").clone()
    }

    /// Whether a connection began with these bytes and no HTTP/1.1.
    pub fn heard(&self, beginning: &[u8]) -> bool {
        let strange = self.strange.lock().expect("nobody panics");
        strange.iter().any(|bytes| bytes.starts_with(beginning))
    }
}

fn serve(
    connection: TcpStream,
    requests: &Mutex<Vec<Request>>,
    strange: &Mutex<Vec<Vec<u8>>>,
) -> io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(connection);
    loop {
        let beginning = reader.fill_buf()?.to_vec();
        if beginning.is_empty() {
            return Ok(());
        }
        if !beginning.starts_with(b"POST ") && !beginning.starts_with(b"GET ") {
            strange.lock().expect("nobody panics").push(beginning);
            return Ok(());
        }
        let request = read_request(&mut reader)?;
        requests.lock().expect("nobody panics").push(request);
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

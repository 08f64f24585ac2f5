//! Starting, stopping and waiting, and endpoints without a receiver.

use std::{
    io::ErrorKind,
    net::TcpStream,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::Duration,
};

use prost::Message as _;

use super::support::{client, request};
use crate::receiver::{Receiver, blackhole, closed_port};

fn connect(endpoint: &str) -> Result<TcpStream, ErrorKind> {
    let address = endpoint.strip_prefix("http://").unwrap();
    TcpStream::connect(address).map_err(|error| error.kind())
}

async fn post(
    client: &reqwest::Client,
    receiver: &Receiver,
    body: Vec<u8>,
) -> reqwest::Result<u16> {
    let request = client.post(receiver.endpoint() + "/v1/traces").body(body);
    let request = request.header("content-type", "application/x-protobuf");
    Ok(request.send().await?.status().as_u16())
}

fn panic_message(panics: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
    *panic.downcast::<String>().unwrap()
}

#[tokio::test]
async fn a_stopped_receiver_refuses_connections_and_a_restarted_one_keeps_its_records() {
    let receiver = Receiver::http();
    let client = client();
    let endpoint = receiver.endpoint();
    for round in 1..=5 {
        let body = request(1).encode_to_vec();
        assert_eq!(post(&client, &receiver, body.clone()).await.unwrap(), 200);
        receiver.stop();
        receiver.stop();
        assert_eq!(
            connect(&endpoint).unwrap_err(),
            ErrorKind::ConnectionRefused
        );
        // Refused, or closed if the pool still has the connection.
        post(&client, &receiver, body).await.unwrap_err();
        receiver.restart();
        assert_eq!(receiver.endpoint(), endpoint);
        assert_eq!(receiver.spans().len(), round);
    }
}

#[test]
fn dropping_a_receiver_closes_its_port_and_its_connections() {
    use std::io::Read as _;
    let receiver = Receiver::http();
    let endpoint = receiver.endpoint();
    let mut open = connect(&endpoint).unwrap();
    let accepted = |receiver: &Receiver| receiver.connections() == 1;
    receiver.wait_until("a connection", Duration::from_secs(30), accepted);
    drop(receiver);
    assert_eq!(
        connect(&endpoint).unwrap_err(),
        ErrorKind::ConnectionRefused
    );
    assert_eq!(open.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_closed_port_refuses_connections_and_a_blackhole_does_not_respond() {
    let closed = closed_port();
    assert_eq!(connect(&closed).unwrap_err(), ErrorKind::ConnectionRefused);
    assert_ne!(closed, closed_port());
    let (listener, endpoint) = blackhole();
    let stream = connect(&endpoint).unwrap();
    stream.set_nonblocking(true).unwrap();
    assert_eq!(
        stream.peek(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    drop(listener);
}

#[test]
fn waiting_ends_as_soon_as_the_condition_holds() {
    let receiver = Receiver::http();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| receiver.wait_for_spans(2));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for _ in 0..2 {
            let client = client();
            let sent = post(&client, &receiver, request(1).encode_to_vec());
            assert_eq!(runtime.block_on(sent).unwrap(), 200);
        }
        assert_eq!(waiting.join().unwrap().len(), 2);
    });
}

#[tokio::test]
async fn a_failed_wait_reports_the_condition_and_the_records() {
    let receiver = Receiver::http();
    let sent = post(&client(), &receiver, request(1).encode_to_vec()).await;
    assert_eq!(sent.unwrap(), 200);
    let message = panic_message(|| {
        receiver.wait_until("a miracle", Duration::from_millis(10), |_| false);
    });
    for part in [
        "a miracle: not within 10ms",
        "spans: 1 [\"span 0\"]",
        "/v1/traces",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn dropping_a_receiver_with_decode_failures_panics() {
    let receiver = Receiver::http();
    let sent = post(&client(), &receiver, b"no protobuf".to_vec()).await;
    assert_eq!(sent.unwrap(), 400);
    let message = panic_message(|| drop(receiver));
    assert!(message.contains("requests did not decode"), "{message}");
    let receiver = Receiver::http();
    let sent = post(&client(), &receiver, b"no protobuf".to_vec()).await;
    assert_eq!(sent.unwrap(), 400);
    assert_eq!(receiver.take_decode_failures().len(), 1);
}

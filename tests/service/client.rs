use std::sync::Arc;

use reqwest::{Body, Method, RequestBuilder, Response, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::program::DEADLINE;

/// How often something is asked for until it is there.
const POLL: std::time::Duration = std::time::Duration::from_millis(20);

/// A client of the program. Clones share their connections.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    address: String,
    token: Option<String>,
}

/// An answer that has come as a whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// The events of a turn, as they come. Dropping it closes the connection.
pub(crate) struct Stream {
    response: Response,
    buffer: String,
    /// All that has come, as it came.
    pub(crate) text: String,
}

/// An event of a turn.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Client {
    pub(crate) fn new(address: &str, token: Option<&str>) -> Self {
        // No request uses TLS, but the client wants to know how it would.
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .build();
        Self {
            http: http.unwrap(),
            address: address.to_owned(),
            token: token.map(str::to_owned),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.address));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<Body>) -> Answer {
        answer(self.request(Method::PUT, path).body(body)).await
    }

    /// Starts a turn, and returns its stream.
    pub(crate) async fn turn(&self, body: &Value) -> Stream {
        match self.try_turn(body).await {
            Ok(stream) => stream,
            Err(answer) => panic!("no turn: {answer:?}"),
        }
    }

    /// Starts a turn, and returns its stream, or the answer without one.
    pub(crate) async fn try_turn(&self, body: &Value) -> Result<Stream, Answer> {
        stream(self.request(Method::POST, "/turns").json(body)).await
    }

    /// Runs a turn to its end, and returns its thread and its events.
    pub(crate) async fn run(&self, body: &Value) -> (String, Vec<Event>) {
        let events = self.turn(body).await.rest().await;
        let turn = events.iter().rfind(|event| event.name == "turn").unwrap();
        (text(&turn.data["thread"]), events)
    }

    /// Returns what a turn answers that has only a prompt.
    pub(crate) async fn says(&self, prompt: &str) -> String {
        let (_, events) = self.run(&json!({"prompt": prompt})).await;
        done(&events)
    }

    /// Asks for something until it is right.
    pub(crate) async fn get_until(&self, path: &str, is_right: impl Fn(&Value) -> bool) -> Value {
        let polling = async {
            loop {
                let body = self.get(path).await.body;
                if is_right(&body) {
                    return body;
                }
                sleep(POLL).await;
            }
        };
        match timeout(DEADLINE, polling).await {
            Ok(body) => body,
            Err(_) => panic!("{path} stays {}", self.get(path).await.body),
        }
    }

    /// Returns the turns of a thread.
    pub(crate) async fn turns_of(&self, thread: &str) -> Vec<Value> {
        let answer = self.get(&format!("/threads/{thread}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["turns"].as_array().unwrap().clone()
    }
}

impl Answer {
    /// Panics unless it is an error of a class.
    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, class: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.body["error"]["class"], class, "{self:?}");
        assert!(self.body["error"]["message"].is_string(), "{self:?}");
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Stream {
    /// Returns the next event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let (event, rest) = (parse(event), rest.to_owned());
                self.buffer = rest;
                match event {
                    Some(event) => return Some(event),
                    // A comment that keeps the connection alive.
                    None => continue,
                }
            }
            let chunk = timeout(DEADLINE, self.response.chunk()).await;
            let chunk = chunk.expect("the stream hangs").unwrap()?;
            let chunk = str::from_utf8(&chunk).unwrap();
            self.buffer += chunk;
            self.text += chunk;
        }
    }

    /// Waits for an event with a name, and returns its data.
    pub(crate) async fn until(&mut self, name: &str) -> Value {
        let mut passed = Vec::new();
        while let Some(event) = self.next().await {
            if event.name == name {
                return event.data;
            }
            passed.push(event);
        }
        panic!("no {name}: {passed:?}");
    }

    /// Waits for the thread, and returns it with the id of the turn. The stream of a turn that waits long begins without
    /// one.
    pub(crate) async fn thread(&mut self) -> (u64, String) {
        loop {
            let turn = self.until("turn").await;
            if let Some(thread) = turn["thread"].as_str() {
                return (turn["id"].as_u64().unwrap(), thread.to_owned());
            }
        }
    }

    /// Returns all events to the end.
    pub(crate) async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// Returns the answer of a turn, whose events end with it.
#[track_caller]
pub(crate) fn done(events: &[Event]) -> String {
    let last = events.last().unwrap();
    assert_eq!(last.name, "done", "{events:?}");
    text(&last.data["message"])
}

/// Returns the class of the failure of a turn, whose events end with it.
#[track_caller]
pub(crate) fn failed(events: &[Event]) -> String {
    let last = events.last().unwrap();
    assert_eq!(last.name, "error", "{events:?}");
    text(&last.data["class"])
}

#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Sends a request, and returns its stream, or the answer if it has none.
pub(crate) async fn stream(request: RequestBuilder) -> Result<Stream, Answer> {
    let sent = timeout(DEADLINE, request.send()).await;
    let response = sent.expect("no answer").unwrap();
    let kind = response.headers().get("content-type");
    if kind.is_none_or(|kind| kind != "text/event-stream") {
        return Err(read(response).await);
    }
    assert_eq!(response.status(), 200);
    Ok(Stream {
        response,
        buffer: String::new(),
        text: String::new(),
    })
}

async fn answer(request: RequestBuilder) -> Answer {
    let sent = timeout(DEADLINE, request.send()).await;
    read(sent.expect("no answer").unwrap()).await
}

async fn read(response: Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = timeout(DEADLINE, response.bytes()).await;
    let body = body.expect("half an answer").unwrap();
    let body = match body.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&body)
            .unwrap_or_else(|_| panic!("{status}, but no JSON: {body:?}")),
    };
    Answer {
        status,
        headers,
        body,
    }
}

fn parse(event: &str) -> Option<Event> {
    let mut fields = event.lines().filter_map(|line| line.split_once(": "));
    let mut field = |name: &str| {
        let (_, value) = fields.find(|(field, _)| *field == name)?;
        Some(value.to_owned())
    };
    Some(Event {
        name: field("event")?,
        data: serde_json::from_str(&field("data")?).unwrap(),
    })
}

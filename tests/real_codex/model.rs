//! The model server: it answers from a script, and records the requests.
//!
//! It has its own thread and runtime, so it does not depend on the test's runtime. It is also the collector
//! of Codex's own OpenTelemetry export.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, Uri},
    response::Response,
};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::{net::TcpListener, runtime, sync::oneshot};

use crate::{
    gate::Gate,
    reply::{Ending, Reply},
};

/// A server on loopback. Dropping it stops the server.
pub(crate) struct Model {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<Reply>>,
    /// The replies to requests whose conversation has a text.
    scripts: Mutex<Vec<(&'static str, VecDeque<Reply>)>>,
    requests: Mutex<Vec<Recorded>>,
}

/// A recorded request.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// A call of a function, as the model sees it.
#[derive(Clone, Debug)]
pub(crate) struct Called {
    pub(crate) id: String,
    /// With its namespace before a dot, if it has one.
    pub(crate) tool: String,
    /// What the model was told: a text, or content parts.
    pub(crate) output: Option<Value>,
}

// === impl Model ===

impl Model {
    /// Starts a server that answers with each reply of `script` once, in order.
    pub(crate) fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let shared = Arc::new(Shared::default());
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        let serve = async move {
            let listener = TcpListener::from_std(listener).unwrap();
            tokio::select! {
                ended = axum::serve(listener, router) => ended.unwrap(),
                _ = stopped => {}
            }
        };
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            // Dropping the runtime also drops the connections that wait for ever.
            runtime.unwrap().block_on(serve);
        });
        let model = Self {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        };
        model.then(script);
        model
    }

    /// Appends replies to the script.
    pub(crate) fn then(&self, script: impl IntoIterator<Item = Reply>) {
        self.shared.script.lock().unwrap().extend(script);
    }

    /// Appends replies to the script of the requests whose conversation has a text. They come before all others.
    pub(crate) fn then_to(&self, text: &'static str, script: impl IntoIterator<Item = Reply>) {
        let mut scripts = self.shared.scripts.lock().unwrap();
        match scripts.iter_mut().find(|(of, _)| *of == text) {
            Some((_, replies)) => replies.extend(script),
            None => scripts.push((text, script.into_iter().collect())),
        }
    }

    /// Forgets the replies that are left.
    pub(crate) fn forget_scripts(&self) {
        self.shared.scripts.lock().unwrap().clear();
        self.shared.script.lock().unwrap().clear();
    }

    /// Forgets the requests so far.
    #[allow(dead_code, reason = "only benchmarks use it")]
    pub(crate) fn forget_requests(&self) {
        self.shared.requests.lock().unwrap().clear();
    }

    /// Returns the requests to the model so far whose conversation has a text.
    pub(crate) fn asked_about(&self, text: &str) -> Vec<Recorded> {
        let mut asked = self.asked();
        asked.retain(|request| request.is_about(text));
        asked
    }

    /// Returns the URL of a path on this server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns the requests to the model so far.
    pub(crate) fn asked(&self) -> Vec<Recorded> {
        self.received("/v1/responses")
    }

    /// Returns the requests to a path so far.
    pub(crate) fn received(&self, path: &str) -> Vec<Recorded> {
        let requests = self.shared.requests.lock().unwrap();
        let wanted = requests.iter().filter(|request| request.path == path);
        wanted.cloned().collect()
    }

    /// Returns the number of replies that are left.
    pub(crate) fn left(&self) -> usize {
        let scripts = self.shared.scripts.lock().unwrap();
        let of_texts: usize = scripts.iter().map(|(_, replies)| replies.len()).sum();
        self.shared.script.lock().unwrap().len() + of_texts
    }
}

impl Shared {
    /// Takes the reply to a request.
    fn reply(&self, request: &Recorded) -> Reply {
        let mut scripts = self.scripts.lock().unwrap();
        let of_text = scripts
            .iter_mut()
            .filter(|(text, _)| request.is_about(text))
            .find_map(|(_, replies)| replies.pop_front());
        let reply = of_text.or_else(|| self.script.lock().unwrap().pop_front());
        // The text is in the turn's error, and so in the message of the test that fails.
        reply.unwrap_or_else(|| {
            Reply::failure("invalid_prompt", "the test's script has no reply left")
        })
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

// === impl Recorded ===

impl Recorded {
    /// Returns the value of a header, or an empty string.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns whether the conversation has a text.
    pub(crate) fn is_about(&self, text: &str) -> bool {
        self.texts().iter().any(|own| own.contains(text))
    }

    /// Returns all content parts of the conversation.
    pub(crate) fn content(&self) -> Vec<Value> {
        let body = self.json();
        let messages = body["input"].as_array().into_iter().flatten();
        let parts = messages.filter_map(|message| message["content"].as_array());
        parts.flatten().cloned().collect()
    }

    /// Returns the calls of functions in the conversation, in their order.
    pub(crate) fn calls(&self) -> Vec<Called> {
        let body = self.json();
        let items: Vec<&Value> = body["input"].as_array().into_iter().flatten().collect();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let call = |item: &&Value| {
            let name = text(&item["name"]);
            let mut outputs = items.iter().filter(|output| {
                output["type"] == "function_call_output" && output["call_id"] == item["call_id"]
            });
            Called {
                id: text(&item["call_id"]),
                tool: match item["namespace"].as_str() {
                    Some(namespace) => format!("{namespace}.{name}"),
                    None => name,
                },
                output: outputs.next().map(|output| output["output"].clone()),
            }
        };
        let calls = items.iter().filter(|item| item["type"] == "function_call");
        calls.map(call).collect()
    }

    /// Returns all texts of the conversation.
    pub(crate) fn texts(&self) -> Vec<String> {
        let parts = self.content();
        let texts = parts.iter().filter_map(|part| part["text"].as_str());
        texts.map(str::to_owned).collect()
    }
}

// === the server ===

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let is_turn = method == Method::POST && uri.path() == "/v1/responses";
    let request = Recorded {
        path: uri.path().to_owned(),
        headers,
        body,
    };
    shared.requests.lock().unwrap().push(request.clone());
    if !is_turn {
        return plain(200, &[("content-type", "application/json")], "{}".into());
    }
    let mut reply = shared.reply(&request);
    let mut holds = Vec::new();
    while let Reply::Held {
        gate,
        after,
        reply: held,
    } = reply
    {
        holds.push((after, gate));
        reply = *held;
    }
    match reply {
        Reply::Stream {
            headers,
            events,
            ending,
        } => stream_of(&headers, &events, ending, holds, request),
        Reply::Plain {
            status,
            headers,
            body,
        } => {
            for (_, gate) in holds {
                gate.pass(request.clone()).await;
            }
            plain(status, &headers, body)
        }
        Reply::Held { .. } => unreachable!("it was opened above"),
    }
}

fn plain(status: u16, headers: &[(&str, &str)], body: Vec<u8>) -> Response {
    let response = Response::builder().status(status);
    let response = headers.iter().fold(response, |response, (name, value)| {
        response.header(*name, *value)
    });
    response.body(body.into()).unwrap()
}

/// Sends the events of a reply, up to each hold, and the rest when its gate is open.
fn stream_of(
    headers: &[(&str, String)],
    events: &[Value],
    ending: Ending,
    mut holds: Vec<(usize, Gate)>,
    request: Recorded,
) -> Response {
    let write = |event: &Value| {
        let kind = event["type"].as_str().unwrap_or_default();
        format!("event: {kind}\ndata: {event}\n\n")
    };
    let text = |events: &[Value]| events.iter().map(write).collect::<String>();
    holds.sort_by_key(|(after, _)| *after);
    let mut rest = Vec::new();
    let mut end = events.len();
    for (after, gate) in holds.into_iter().rev() {
        rest.push((gate, text(&events[after..end])));
        end = after;
    }
    let rest = stream::iter(rest.into_iter().rev()).then(move |(gate, text)| {
        let request = request.clone();
        async move {
            gate.pass(request).await;
            Ok(text)
        }
    });
    let start = stream::iter([Ok::<_, io::Error>(text(&events[..end]))]).chain(rest);
    let body = match ending {
        Ending::Closed => Body::from_stream(start),
        Ending::Silence => Body::from_stream(start.chain(stream::pending())),
        Ending::Cut => Body::from_stream(start.chain(stream::once(async {
            // So that the events before are sent first.
            tokio::time::sleep(Duration::from_millis(50)).await;
            Err(io::Error::other("cut"))
        }))),
        Ending::After(time) => Body::from_stream(
            stream::once(async move {
                tokio::time::sleep(time).await;
                Ok(String::new())
            })
            .chain(start),
        ),
    };
    let response = Response::builder().header("content-type", "text/event-stream");
    let response = headers.iter().fold(response, |response, (name, value)| {
        response.header(*name, value)
    });
    response.body(body).unwrap()
}

//! Requests of a client to one life of the program. Each has an answer, or the life was killed.

use std::{path::Path, time::Duration};

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::time::timeout;

use crate::{PATIENCE, callers::Caller, ledger::Ledger, program::Life};

pub(crate) struct Session<'a> {
    pub(crate) http: &'a Client,
    pub(crate) ledger: &'a Ledger,
    /// Is in no answer.
    pub(crate) state: &'a Path,
    pub(crate) life: Life,
    pub(crate) caller: Caller,
}

/// An answer that was read to its end.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// Returns a client that connects to the program alone.
pub(crate) fn http() -> Client {
    // reqwest needs a provider of TLS even if nothing uses it. An error means that there is one.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .connect_timeout(PATIENCE)
        .build()
        .expect("a client")
}

// === impl Session ===

impl Session<'_> {
    /// Returns a request with the token of the caller.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path)
            .bearer_auth(self.caller.token())
    }

    /// Returns a request without a token.
    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.life.url))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// Sends a request and waits for the head of the answer; `None` if the program was killed. Any other failure is a
    /// fault.
    pub(crate) async fn begin(&self, what: &str, request: RequestBuilder) -> Option<Response> {
        match self.within(PATIENCE, request.send()).await {
            Ok(response) => Some(response),
            Err(error) => self.failed(what, &error),
        }
    }

    /// Sends a request, and returns the answer.
    pub(crate) async fn send(&self, what: &str, request: RequestBuilder) -> Option<Answer> {
        let response = self.begin(what, request).await?;
        self.read(what, response).await
    }

    /// Returns what the program says of itself. Its status is 503 while it drains.
    pub(crate) async fn health(&self) -> Value {
        let answer = self.send("/healthz", self.get("/healthz")).await;
        let answer = answer.expect("the program answers for its health");
        let is_draining = answer.body["status"] == "draining";
        let status = if is_draining { 503 } else { 200 };
        assert_eq!(answer.status, status, "/healthz: {}", answer.body);
        answer.body
    }

    /// Reads an answer that is no stream.
    pub(crate) async fn read(&self, what: &str, response: Response) -> Option<Answer> {
        let status = response.status().as_u16();
        let text = match self.within(PATIENCE, response.text()).await {
            Ok(text) => text,
            Err(error) => return self.failed(what, &error),
        };
        self.ledger.count(status.to_string());
        self.check(what, &text);
        let body = serde_json::from_str(&text).unwrap_or_default();
        self.check_error(what, status, &text, &body);
        Some(Answer { status, body })
    }

    /// Reports that a request has failed, unless the program was killed.
    pub(crate) fn failed<T>(&self, what: &str, error: &str) -> Option<T> {
        if self.life.is_killed() {
            self.ledger.count("none: the program was killed");
        } else {
            let number = self.life.number;
            self.ledger
                .fault(format!("life {number}, {what}: no answer: {error}"));
        }
        None
    }

    /// Checks that a text to the caller has nothing of another one.
    pub(crate) fn check(&self, what: &str, text: &str) {
        for other in self.caller.others() {
            if text.contains(&other.secret()) {
                let caller = self.caller;
                self.ledger.fault(format!(
                    "{what}: {caller:?} gets what is {other:?}'s: {text}"
                ));
            }
        }
    }

    fn check_error(&self, what: &str, status: u16, text: &str, body: &Value) {
        let has = |key| {
            body["error"][key]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        };
        let is_right = match status {
            200..300 => true,
            503 if body["status"] == "draining" => true,
            400 | 401 | 403 | 404 | 413 | 415 | 429 | 502 | 503 | 504 => {
                has("class") && has("message")
            }
            _ => false,
        };
        let has_path = status >= 400 && text.contains(&*self.state.to_string_lossy());
        if !is_right || has_path {
            self.ledger.fault(format!("{what}: {status} {text}"));
        }
    }

    pub(crate) async fn within<T>(
        &self,
        time: Duration,
        future: impl Future<Output = Result<T, reqwest::Error>>,
    ) -> Result<T, String> {
        match timeout(time, future).await {
            Ok(result) => result.map_err(|error| format!("{error:?}")),
            Err(_) => Err(format!("not within {time:?}")),
        }
    }
}

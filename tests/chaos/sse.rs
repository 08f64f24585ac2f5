//! Server-sent events, as the program sends them: each has a name and a line of JSON.

use std::collections::VecDeque;

use reqwest::Response;
use serde_json::Value;

pub(crate) struct Events {
    response: Response,
    bytes: Vec<u8>,
    ready: VecDeque<(String, Value)>,
}

// === impl Events ===

impl Events {
    pub(crate) fn new(response: Response) -> Self {
        Self {
            response,
            bytes: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// Returns the next event; `None` at the end of the answer.
    pub(crate) async fn next(&mut self) -> Result<Option<(String, Value)>, reqwest::Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let Some(chunk) = self.response.chunk().await? else {
                return Ok(None);
            };
            self.bytes.extend_from_slice(&chunk);
            while let Some(end) = self.bytes.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<_> = self.bytes.drain(..end + 2).collect();
                self.ready.extend(parse(&block));
            }
        }
    }
}

/// Returns the event of a block; `None` for a comment, which keeps the connection alive.
fn parse(block: &[u8]) -> Option<(String, Value)> {
    let text = str::from_utf8(block).expect("events are UTF-8");
    let field = |name| text.lines().find_map(|line| line.strip_prefix(name));
    let data = serde_json::from_str(field("data: ")?).expect("data is JSON");
    Some((field("event: ")?.to_owned(), data))
}

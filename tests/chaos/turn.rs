//! A client that starts a turn, follows it, answers its questions or not, and may go away.

use std::time::Duration;

use fastrand::Rng;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{PATIENCE, ledger::End, session::Session, sse::Events};

/// What a client does.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) prompt: String,
    pub(crate) thread: Option<String>,
    pub(crate) attachments: Vec<String>,
    pub(crate) traceparent: Option<String>,
    /// When the client goes away.
    pub(crate) leave: Option<Duration>,
    /// The answer to a question; `None` if nobody answers.
    pub(crate) decision: Option<Value>,
    /// How long the client pauses before it reads on.
    pub(crate) pause: Duration,
}

// === impl Plan ===

impl Plan {
    /// Returns a client that waits for the end of a turn.
    pub(crate) fn new(prompt: impl Into<String>) -> Self {
        Self {
            prompt: prompt.into(),
            thread: None,
            attachments: Vec::new(),
            traceparent: None,
            leave: None,
            decision: None,
            pause: Duration::ZERO,
        }
    }

    pub(crate) fn in_thread(self, thread: &str) -> Self {
        Self {
            thread: Some(thread.to_owned()),
            ..self
        }
    }

    pub(crate) fn random(session: &Session<'_>, rng: &mut Rng) -> Self {
        let secret = session.caller.secret();
        let number = rng.u32(..);
        let prompt = match rng.u8(..40) {
            0..10 => format!("echo {secret} {number}"),
            10..16 => format!("look around, {secret}"),
            16..21 => format!("long {} {secret}", rng.u64(1..1500)),
            21..23 => format!("hang {secret}"),
            23..25 => format!("limit {secret}"),
            25 => format!("overloaded {secret}"),
            26..28 => format!("fail {secret}"),
            28 => format!("crash {secret}"),
            29..31 => format!("upload {secret}"),
            31..35 => format!("publish {secret} {number}"),
            35..38 => format!("command rm -r {secret}"),
            _ => "command ls".to_owned(),
        };
        let decision = match rng.u8(..6) {
            0 | 1 => Some(json!({"decision": "accept"})),
            2 => Some(json!({"decision": "decline"})),
            3 => Some(json!({"decision": "decline", "reason": "not today"})),
            4 => Some(json!({"decision": "perhaps"})),
            _ => None,
        };
        let seen = session.ledger.lock();
        let mut some = |share| rng.u8(..100) < share;
        let (resumes, attaches, leaves, traces, is_slow) =
            (some(40), some(20), some(33), some(30), some(10));
        // A turn that hangs ends when its client goes away.
        let hangs = prompt.starts_with("hang");
        let longest = if hangs { 3000 } else { 800 };
        let leave = (leaves || hangs).then(|| Duration::from_millis(rng.u64(..longest)));
        let thread = seen.any_thread(session.caller, rng);
        let upload = seen.any_upload(session.caller, rng);
        Self {
            thread: thread.filter(|_| resumes),
            attachments: upload.filter(|_| attaches).into_iter().collect(),
            traceparent: traces.then(|| traceparent(rng)),
            leave,
            decision,
            pause: Duration::from_millis(if is_slow { rng.u64(..300) } else { 0 }),
            ..Self::new(prompt)
        }
    }

    /// Runs the turn, or goes away. Returns how it has ended, if it began.
    pub(crate) async fn run(self, session: &Session<'_>) -> Option<End> {
        let Some(leave) = self.leave else {
            return self.follow(session).await;
        };
        match timeout(leave, self.follow(session)).await {
            Ok(end) => end,
            Err(_) => {
                session.ledger.count("none: the client went away");
                None
            }
        }
    }

    async fn follow(&self, session: &Session<'_>) -> Option<End> {
        let body = json!({
            "prompt": self.prompt, "thread": self.thread, "attachments": self.attachments,
        });
        let mut request = session.request(Method::POST, "/turns").json(&body);
        if let Some(parent) = &self.traceparent {
            request = request.header("traceparent", parent);
        }
        let response = session.begin(&self.prompt, request).await?;
        if response.status() != 200 {
            session.read(&self.prompt, response).await;
            return None;
        }
        let end = self.read(session, Events::new(response)).await?;
        session.ledger.count(match &end {
            End::Done => "200 done".to_owned(),
            End::Error(class) => format!("200 {class}"),
            End::Left | End::Killed => "200 and no end: the program was killed".to_owned(),
        });
        Some(end)
    }

    /// Reads the events of the turn. Its last event is its end, of which there is one.
    async fn read(&self, session: &Session<'_>, mut events: Events) -> Option<End> {
        let (caller, ledger) = (session.caller, session.ledger);
        let mut turn = None;
        let mut end = None;
        loop {
            let event = match session.within(PATIENCE, events.next()).await {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(_) if session.life.is_killed() => {
                    end.get_or_insert(End::Killed);
                    break;
                }
                Err(error) => return session.failed(&self.prompt, &error),
            };
            if end.is_some() {
                ledger.fault(format!("{}: {event:?} after the end", self.prompt));
            }
            let (name, data) = event;
            session.check(&self.prompt, &data.to_string());
            match &*name {
                "turn" => {
                    let id = data["id"].as_u64().filter(|id| *id > 0);
                    match (id, turn) {
                        (Some(id), None) => {
                            ledger.begin(caller, id, &session.life);
                            turn = Some(id);
                        }
                        (id, turn) if id == turn && id.is_some() => {}
                        _ => ledger.fault(format!("{}: {data} is no turn", self.prompt)),
                    }
                    if let Some(thread) = data["thread"].as_str()
                        && !self.is_refused()
                    {
                        ledger.thread(caller, thread, &session.life);
                    }
                }
                "approval" => self.answer(session, &data).await,
                "done" => {
                    self.check_message(session, &data);
                    end = Some(End::Done);
                }
                "error" => {
                    let class = data["class"].as_str().unwrap_or("no class");
                    end = Some(End::Error(class.to_owned()));
                }
                "progress" => {}
                _ => ledger.fault(format!("{}: unknown event {name}", self.prompt)),
            }
            if !self.pause.is_zero() {
                sleep(self.pause).await;
            }
        }
        let Some(end) = end else {
            let why = "the answer ends without an end of the turn";
            return session.failed(&self.prompt, why);
        };
        match turn {
            Some(id) => match &end {
                End::Done => ledger.end(caller, id, End::Done),
                End::Error(class) => ledger.end(caller, id, End::Error(class.clone())),
                End::Left | End::Killed => ledger.end(caller, id, End::Killed),
            },
            None if end == End::Killed => {}
            None => ledger.fault(format!("{}: no event `turn`", self.prompt)),
        }
        Some(end)
    }

    /// Returns whether the model refuses the turn. The next attempt has another thread, and the first one is forgotten.
    fn is_refused(&self) -> bool {
        ["limit", "overloaded"]
            .iter()
            .any(|word| self.prompt.starts_with(word))
    }

    /// Answers a question, as the caller and as another one.
    async fn answer(&self, session: &Session<'_>, question: &Value) {
        let Some(decision) = &self.decision else {
            return;
        };
        let path = format!("/approvals/{}", question["id"]);
        for other in session.caller.others().take(1) {
            let request = session.anonymous(Method::POST, &path);
            let request = request.bearer_auth(other.token()).json(decision);
            let answer = session.send("the answer of another caller", request).await;
            if answer.is_some_and(|answer| answer.status == 204) {
                session
                    .ledger
                    .fault("another caller has answered a question");
            }
        }
        let request = session.request(Method::POST, &path).json(decision);
        session.send("an answer to a question", request).await;
    }

    /// Checks that the answer is that of this turn.
    fn check_message(&self, session: &Session<'_>, done: &Value) {
        let message = done["message"].as_str().unwrap_or_default();
        if self.prompt.starts_with("echo ") && !message.starts_with(&self.prompt) {
            let fault = format!("{}: another answer: {message}", self.prompt);
            session.ledger.fault(fault);
        }
    }
}

fn traceparent(rng: &mut Rng) -> String {
    match rng.u8(..5) {
        0 => "nonsense".to_owned(),
        _ => format!("00-{:032x}-{:016x}-01", rng.u128(1..), rng.u64(1..)),
    }
}

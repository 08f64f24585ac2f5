use std::{
    env,
    io::{self, BufRead},
    process,
    sync::{Arc, mpsc},
    thread,
};

use serde_json::{Value, json};

use super::{
    rollouts::Rollouts,
    threads::{Running, Thread, Threads},
    turn::{Signal, Turn},
    usage::Usage,
    wire::send,
};

/// The code of every error of Codex.
const INVALID_REQUEST: i64 = -32600;

/// The name of the model.
const MODEL: &str = "stand-in";

/// Why a request has no result.
enum Refusal {
    /// The request is wrong, for this reason.
    Invalid(String),
    Io(io::Error),
}

struct Server {
    rollouts: Arc<Rollouts>,
    threads: Arc<Threads>,
}

/// Answers the program until it closes standard input. The turns that still run end with the process.
pub(crate) fn serve() -> io::Result<()> {
    let home = env::var_os("CODEX_HOME")
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "CODEX_HOME is not set"))?;
    let server = Server {
        rollouts: Arc::new(Rollouts::open(home.as_ref())?),
        threads: Arc::default(),
    };
    for line in io::stdin().lock().lines() {
        server.take(&serde_json::from_str(&line?)?)?;
    }
    Ok(())
}

impl Server {
    fn take(&self, message: &Value) -> io::Result<()> {
        let (id, params) = (&message["id"], &message["params"]);
        let result = match message["method"].as_str() {
            Some("thread/start") => self.start_thread(id, params),
            Some("thread/resume") => self.resume_thread(id, params),
            Some("turn/start") => self.start_turn(id, message),
            Some("turn/interrupt") => {
                let thread_id = text(params, "threadId");
                let is_meant = |id: &str, _: &Running| id == thread_id;
                self.threads.signal(is_meant, Signal::Interrupt);
                answer(id, &json!({}))
            }
            // A notification.
            Some(_) if id.is_null() => Ok(()),
            Some(_) => answer(id, &json!({})),
            None => {
                self.answered(message);
                Ok(())
            }
        };
        match result {
            Ok(()) => Ok(()),
            Err(Refusal::Invalid(reason)) => {
                send(&json!({"id": id, "error": {"code": INVALID_REQUEST, "message": reason}}))
            }
            Err(Refusal::Io(error)) => Err(error),
        }
    }

    fn start_thread(&self, id: &Value, params: &Value) -> Result<(), Refusal> {
        let thread_id = new_id();
        self.rollouts.create(&thread_id)?;
        let thread = Thread {
            has_raw_events: params["experimentalRawEvents"] == true,
            used: Usage::default(),
            running: None,
        };
        self.threads.lock().insert(thread_id.clone(), thread);
        answer(id, &loaded(&thread_id))
    }

    fn resume_thread(&self, id: &Value, params: &Value) -> Result<(), Refusal> {
        let thread_id = text(params, "threadId");
        // It becomes the name of a file.
        if !is_id(thread_id) {
            return Err(Refusal::Invalid(format!("invalid thread id: {thread_id}")));
        }
        if self.threads.lock().contains_key(thread_id) {
            return answer(id, &loaded(thread_id));
        }
        let turns = self.rollouts.turns(thread_id)?.ok_or_else(|| {
            Refusal::Invalid(format!("no rollout found for thread id {thread_id}"))
        })?;
        let last = turns.last();
        let used = last.map_or_else(Usage::default, |turn| Usage::from_json(&turn["used"]));
        let thread = Thread {
            has_raw_events: false,
            used,
            running: None,
        };
        self.threads.lock().insert(thread_id.to_owned(), thread);
        answer(id, &loaded(thread_id))?;
        if let Some(turn) = last {
            // Codex repeats the last usage of a thread that it has loaded.
            send(&json!({"method": "thread/tokenUsage/updated", "params": {
                "threadId": thread_id,
                "turnId": turn["turn"],
                "tokenUsage": {"last": turn["last"], "total": turn["used"]},
            }}))?;
        }
        Ok(())
    }

    fn start_turn(&self, id: &Value, message: &Value) -> Result<(), Refusal> {
        let thread_id = text(&message["params"], "threadId");
        let mut threads = self.threads.lock();
        let thread = threads
            .get_mut(thread_id)
            .ok_or_else(|| Refusal::Invalid(format!("thread not found: {thread_id}")))?;
        if let Some(running) = &thread.running {
            // Codex would show the model the input.
            return answer(id, &json!({"turn": {"id": running.turn_id}}));
        }
        let (signals, received) = mpsc::channel();
        let turn_id = new_id();
        let turn = Turn::new(thread_id, &turn_id, message, thread, received);
        answer(
            id,
            &json!({"turn": {"id": turn_id, "status": "inProgress"}}),
        )?;
        thread.running = Some(Running { turn_id, signals });
        drop(threads);
        let (rollouts, threads) = (Arc::clone(&self.rollouts), Arc::clone(&self.threads));
        let running = thread::Builder::new().spawn(move || {
            // The program is gone, or the thread cannot be written. Without an end the turn would run for ever.
            if turn.run(&rollouts, &threads).is_err() {
                process::exit(1);
            }
        });
        running.map(drop).map_err(Refusal::Io)
    }

    /// Hands the answer of the program to the turn that asked.
    fn answered(&self, message: &Value) {
        let asked = message["id"].as_str().and_then(|id| id.split_once(':'));
        let Some((turn_id, _)) = asked else {
            return;
        };
        let is_meant = |_: &str, running: &Running| running.turn_id == turn_id;
        let answer = Signal::Answer(message["result"].clone());
        self.threads.signal(is_meant, answer);
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn answer(id: &Value, result: &Value) -> Result<(), Refusal> {
    Ok(send(&json!({"id": id, "result": result}))?)
}

fn loaded(thread_id: &str) -> Value {
    json!({"thread": {"id": thread_id}, "model": MODEL, "modelProvider": MODEL})
}

fn text<'a>(params: &'a Value, key: &str) -> &'a str {
    params[key].as_str().unwrap_or_default()
}

/// Returns a new id, of the form of a UUID of version 7.
fn new_id() -> String {
    let bits = fastrand::u128(..);
    format!(
        "{:08x}-{:04x}-7{:03x}-8{:03x}-{:012x}",
        bits >> 96,
        bits >> 80 & 0xffff,
        bits >> 68 & 0xfff,
        bits >> 56 & 0xfff,
        bits & 0xffff_ffff_ffff,
    )
}

fn is_id(text: &str) -> bool {
    let groups = text.split('-').map(|group| {
        let is_hex = group.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then_some(group.len())
    });
    groups.eq([8, 4, 4, 4, 12].map(Some))
}

//! A client of the program: turns, uploads, questions, nonsense.

use std::{path::Path, time::Duration};

use fastrand::Rng;
use reqwest::Method;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::watch, time::sleep};

use crate::{
    callers::{CALLERS, MAX_BODY, MAX_UPLOAD},
    ledger::Ledger,
    program::Life,
    session::{self, Session},
    turn::Plan,
};

/// Makes requests until there is no other life.
pub(crate) async fn run(
    ledger: &Ledger,
    state: &Path,
    mut lives: watch::Receiver<Option<Life>>,
    mut rng: Rng,
) {
    let http = session::http();
    loop {
        let Ok(life) = lives
            .wait_for(Option::is_some)
            .await
            .map(|life| life.clone())
        else {
            return;
        };
        let Some(life) = life else {
            continue;
        };
        let session = Session {
            http: &http,
            ledger,
            state,
            life,
            caller: CALLERS[rng.usize(..CALLERS.len())],
        };
        match rng.u8(..100) {
            0..60 => {
                Plan::random(&session, &mut rng).run(&session).await;
            }
            60..72 => upload(&session, &mut rng).await,
            72..86 => look(&session, &mut rng).await,
            86..96 => nonsense(&session, &mut rng).await,
            _ => noise(&session, &mut rng).await,
        }
        sleep(Duration::from_millis(rng.u64(..200))).await;
    }
}

/// Uploads a file: a new one or one again, one that is too large, or one with an invalid name.
async fn upload(session: &Session<'_>, rng: &mut Rng) {
    let secret = session.caller.secret();
    let (mut name, mut size) = (format!("{}.txt", rng.u8(..20)), rng.usize(..4000));
    let mut expected = 201;
    match rng.u8(..10) {
        0 => (size, expected) = (MAX_UPLOAD + rng.usize(1..10_000), 413),
        1 => (name, expected) = ("..%2Fout".to_owned(), 400),
        _ => {}
    }
    let text = format!("{secret} {} ", rng.u8(..20));
    let mut content = text.repeat(1 + size / text.len());
    content.truncate(size);
    let path = format!("/uploads/{name}");
    let request = session.request(Method::PUT, &path);
    let answer = session.send("an upload", request.body(content)).await;
    let Some(answer) = answer else {
        return;
    };
    if answer.status != expected {
        let fault = format!(
            "an upload: {} {}, not {expected}",
            answer.status, answer.body
        );
        session.ledger.fault(fault);
    }
    if let Some(id) = answer.body["id"].as_str() {
        let mut seen = session.ledger.lock();
        let uploads = seen.uploads.entry(session.caller).or_default();
        uploads.insert(id.to_owned());
    }
}

/// Asks for the state, and for what another caller has.
async fn look(session: &Session<'_>, rng: &mut Rng) {
    let other = session.caller.others().nth(rng.usize(..7));
    let (thread, theirs, turn) = {
        let seen = session.ledger.lock();
        let theirs = other.and_then(|other| seen.any_thread(other, rng));
        let turns = seen.turns.keys().rev();
        let mut turns = turns.filter(|(caller, _)| *caller == session.caller);
        let turn = turns.nth(rng.usize(..20)).map(|(_, id)| *id);
        (seen.any_thread(session.caller, rng), theirs, turn)
    };
    let (path, expected) = match (rng.u8(..7), thread, theirs, turn) {
        (0, ..) => ("/threads".to_owned(), 200),
        (1, Some(thread), ..) => (format!("/threads/{thread}"), 200),
        (2, _, Some(theirs), _) => (format!("/threads/{theirs}"), 404),
        (3, .., Some(turn)) => (format!("/turns/{turn}"), 200),
        (4, ..) => ("/uploads".to_owned(), 200),
        (5, ..) => ("/approvals".to_owned(), 200),
        _ => ("/healthz".to_owned(), 200),
    };
    let answer = session.send(&path, session.get(&path)).await;
    if let Some(answer) = answer
        && answer.status != expected
    {
        let fault = format!("{path}: {} {}, not {expected}", answer.status, answer.body);
        session.ledger.fault(fault);
    }
}

/// Sends a request that is invalid.
async fn nonsense(session: &Session<'_>, rng: &mut Rng) {
    let turn = || session.request(Method::POST, "/turns");
    let prompt = json!({"prompt": "echo nonsense"});
    let theirs = {
        let seen = session.ledger.lock();
        let mut others = session.caller.others();
        others.find_map(|other| seen.any_thread(other, rng))
    };
    let kind = rng.u8(..14);
    let (request, expected) = match kind {
        0 => (
            turn()
                .body("{\"prompt\":")
                .header("content-type", "application/json"),
            400,
        ),
        1 => (turn().body("{}"), 415),
        2 => (turn().json(&json!({"prompt": 7})), 400),
        3 => (turn().json(&json!({"prompt": "x", "path": "/etc"})), 400),
        4 => (session.anonymous(Method::POST, "/turns").json(&prompt), 401),
        5 => {
            let request = session.anonymous(Method::GET, "/threads");
            (request.bearer_auth("token-of-nobody-0123456789"), 401)
        }
        6 => (
            turn().json(&json!({"prompt": "x".repeat(MAX_BODY + 1)})),
            413,
        ),
        7 => (
            turn().json(&json!({"prompt": "echo", "attachments": ["none"]})),
            404,
        ),
        8 => (
            turn().json(&json!({"prompt": "echo", "thread": theirs.unwrap_or("none".into())})),
            404,
        ),
        9 => (session.get("/turns/%ff"), 400),
        10 => (session.get("/turns/18446744073709551616"), 404),
        11 => (session.get("/nowhere/../threads/."), 404),
        12 => (session.request(Method::DELETE, "/threads"), 404),
        _ => {
            let request = session.request(Method::POST, "/approvals/999999999");
            (request.json(&json!({"decision": "accept"})), 404)
        }
    };
    let what = format!("nonsense {kind}");
    let answer = session.send(&what, request).await;
    if let Some(answer) = answer
        && answer.status != expected
    {
        let fault = format!("{what}: {} {}, not {expected}", answer.status, answer.body);
        session.ledger.fault(fault);
    }
}

/// Opens a connection, and sends something that is no request, or less than one.
async fn noise(session: &Session<'_>, rng: &mut Rng) {
    let address = session.life.url.trim_start_matches("http://");
    let Ok(mut connection) = TcpStream::connect(address).await else {
        session.failed::<()>("a connection", "it was refused");
        return;
    };
    let bytes = match rng.u8(..6) {
        0 => (0..rng.usize(..300)).map(|_| rng.u8(..)).collect(),
        1 => b"POST /turns HTTP/1.1\r\nauthorization: Bear".to_vec(),
        2 => Vec::new(),
        // Half an upload.
        _ => format!(
            "PUT /uploads/half.txt HTTP/1.1\r\nhost: program\r\nauthorization: Bearer {}\r\n\
             content-length: 5000\r\n\r\n{}",
            session.caller.token(),
            "half ".repeat(500)
        )
        .into_bytes(),
    };
    // An error means that the program has closed the connection, or was killed.
    let _ = connection.write_all(&bytes).await;
    sleep(Duration::from_millis(rng.u64(..500))).await;
    session.ledger.count("none: no request");
}

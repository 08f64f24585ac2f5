//! A service that runs turns of Codex for its callers over HTTP, as a team would run it.
//!
//! ```text
//! cargo run --example service -- [OPTION]…
//! ```
//!
//! It needs nothing but Rust: this program starts itself as its child process, which then speaks like `codex app-server`
//! (`stand_in`). `--codex PATH` takes the real one. With `CODEX_OTLP_ENDPOINT` set, the calls are also exported over OTLP.
//!
//! ```text
//! request ─► caller ─► http.request ─► codex.turn ─► queue ─► limit ─► retry ─► codex.turn ─► Codex
//!            by token      │           the whole     load shedding              each attempt    │ ▲
//!                          │                                                                    ▼ │
//!            journal and uploads of the caller              tools of this program, approvals: the same layers
//! ```
//!
//! | route | |
//! |---|---|
//! | `POST /turns` | runs a turn; its progress as server-sent events: `turn`, `progress`, `approval`, and then `done` or `error` |
//! | `GET /turns/{id}`, `GET /threads`, `GET /threads/{id}` | what became of turns |
//! | `PUT /uploads/{name}`, `GET /uploads` | files for turns |
//! | `GET /approvals`, `POST /approvals/{id}` | what Codex asks, and the answer |
//! | `GET /healthz` | what is active, and the state of the export |
//!
//! ```sh
//! token=$(cat target/service/token)
//! curl -N -H "Authorization: Bearer $token" --json '{"prompt": "Say hi"}' http://127.0.0.1:8080/turns
//! ```
//!
//! A client that goes away cancels its turn. SIGTERM and SIGINT drain: new turns are refused, those that run may end
//! within `--grace`, or until a second signal, and are interrupted then.
//!
//! What the service answers has nothing of other callers but the number of their active calls. All turns run by one Codex
//! as one user, though: the sandbox lets commands read the whole machine, with the tokens of this process, and a command
//! that is accepted may run outside of it. Callers who may not read each other's files need a service each, with another
//! user and another `CODEX_HOME`.
//!
//! `events.jsonl` in the state directory grows: rotate it by `copytruncate`. Each turn is timed as a whole and by its
//! attempts, so queries that count turns count both. The end takes `--grace` and 15 seconds more at most.
//!
//! Exit code: 0 when all turns had ended by themselves, 3 when some had to be interrupted, 1 when the service could not
//! start or stop, 2 on invalid usage.

mod answer;
mod app;
mod approvals;
mod callers;
mod client;
mod health;
mod journal;
mod options;
mod questions;
mod requests;
mod running;
mod server;
mod stand_in;
mod threads;
mod tools;
mod turns;
mod uploads;

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    app::App,
    options::{Options, USAGE},
};

/// How long Codex may take to end, and the export.
const GRACE: Duration = Duration::from_secs(5);

/// How long clients may take to read the rest of their answers.
const CONNECTIONS: Duration = Duration::from_secs(2);

/// How long everything but the export may take to end, after the grace of the turns.
const END: Duration = Duration::from_secs(10);

const FAILED: u8 = 1;
const USAGE_CODE: u8 = 2;
const INTERRUPTED_TURNS: u8 = 3;

fn main() -> ExitCode {
    if std::env::args().next_back().as_deref() == Some("app-server") {
        return match stand_in::serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(FAILED),
        };
    }
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            return ExitCode::from(USAGE_CODE);
        }
    };
    tracing_subscriber::registry()
        .with(fmt::layer().with_writer(io::stderr))
        .with(options.log.clone())
        .init();
    match run(&options) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("the service ends: {error}");
            ExitCode::from(FAILED)
        }
    }
}

#[tokio::main]
async fn run(options: &Options) -> Result<u8, Box<dyn Error>> {
    let mut signals = Signals {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
    };
    let app = App::open(options)?;
    let sweepers = app.sweepers();
    let listener = TcpListener::bind(options.listen).await?;
    // The only line on standard output. A reader that is gone does no harm.
    let _ = writeln!(
        io::stdout(),
        "listening on http://{}",
        listener.local_addr()?
    );

    let closing = CancellationToken::new();
    let server = tokio::spawn(server::serve(listener, app.routes(), closing.clone()));
    signals.next().await;

    // Approvals can still be answered, and the state be asked for.
    app.drain();
    let all_ended = tokio::select! {
        () = app.tasks.wait() => true,
        () = sleep(options.grace) => false,
        () = signals.next() => false,
    };
    // All that follows has one deadline, so that a supervisor can know when the program is gone.
    let deadline = Instant::now() + END;
    // Interrupts what still runs, which then fails as `interrupted`.
    app.codex.shutdown(GRACE).await;
    // What Codex does not run at the moment, such as a turn that waits for its next attempt.
    app.stopping.cancel();
    let have_ended = timeout_at(deadline, app.tasks.wait()).await.is_ok();
    closing.cancel();
    // A client can hold a connection, with half a request or an answer that it does not read. It ends with the process.
    let _ = timeout(CONNECTIONS, server).await;
    let have_ended = have_ended && timeout_at(deadline, app.requests.abort()).await.is_ok();
    for sweeper in sweepers {
        let _ = timeout_at(deadline, sweeper.stop()).await;
    }
    // Last, when nothing makes events any more.
    if let Some(export) = &app.export
        && let Err(undelivered) = export.shutdown(GRACE).await
    {
        tracing::warn!("{undelivered}");
    }
    if !have_ended {
        return Err("some turns or requests did not end".into());
    }
    Ok(if all_ended { 0 } else { INTERRUPTED_TURNS })
}

/// The signals that end the program.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

//! What the routes share, and the routes.

use std::{
    env::{self, VarError},
    error::Error,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post, put},
};
use codex_telemetry::{
    ActiveCalls, BoxError, CodexClassifier, FanOut, JsonLinesSink, OtlpSink, RetryPolicy,
    ServiceBuilderExt, TracingSink,
    attachment::{CleanupService, Sweeper},
    otlp,
    tool::HostTools,
    turn::{ApprovalPolicy, CodexAppServer, Sandbox, Turn, TurnRequest},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{ServiceBuilder, util::BoxCloneSyncService};

use crate::{
    approvals,
    callers::{Callers, private_directory},
    health,
    options::Options,
    questions::Questions,
    requests::Requests,
    threads, tools, turns, uploads,
};

/// The variable with the callers.
const TOKENS: &str = "SERVICE_TOKENS";

/// How often the uploads of a caller are swept.
const SWEEP: Duration = Duration::from_secs(600);

/// What the routes share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) callers: Arc<Callers>,
    pub(crate) questions: Questions,
    pub(crate) sink: Arc<FanOut>,
    pub(crate) active: ActiveCalls,
    pub(crate) export: Option<OtlpSink>,
    pub(crate) codex: CodexAppServer,
    pub(crate) turns: BoxCloneSyncService<TurnRequest, Turn, BoxError>,
    /// The tasks of the turns.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when turns may not go on any more, such as one that waits for its next attempt.
    pub(crate) stopping: CancellationToken,
    pub(crate) requests: Requests,
    is_draining: Arc<AtomicBool>,
    max_body: usize,
    pub(crate) max_uploads: usize,
    /// Held until the program ends: nobody else may use the directory of the state.
    _lock: Arc<File>,
}

// === impl App ===

impl App {
    /// Opens the state and starts what runs beside the requests. Needs the runtime of tokio.
    pub(crate) fn open(options: &Options) -> Result<Self, Box<dyn Error>> {
        let state = &options.state;
        private_directory(state)?;
        let lock = lock(&state.join("lock"))?;
        let tokens = match env::var(TOKENS) {
            Ok(tokens) => Some(tokens),
            Err(VarError::NotPresent) => None,
            Err(VarError::NotUnicode(_)) => return Err(format!("{TOKENS} is no UTF-8").into()),
        };
        let callers = Callers::open(state, tokens.as_deref(), options.max_upload)?;
        let callers = Arc::new(callers);

        let events = open_lines(&state.join("events.jsonl"))?;
        let export = otlp::from_env();
        let active = ActiveCalls::new();
        let sink = Arc::new(
            FanOut::new()
                .with(JsonLinesSink::new(events))
                .with(TracingSink::new())
                .with(active.clone())
                .with(export.clone()),
        );

        let questions = Questions::new(options.accept.clone(), Arc::clone(&callers));
        let codex = codex(options, &sink, &callers, &questions)?;
        Ok(Self {
            turns: turn_stack(options, &sink, codex.clone()),
            callers,
            questions,
            sink,
            active,
            export,
            codex,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            requests: Requests::default(),
            is_draining: Arc::default(),
            max_body: options.max_body,
            max_uploads: options.max_uploads,
            _lock: Arc::new(lock),
        })
    }

    /// Removes expired uploads now and then.
    pub(crate) fn sweepers(&self) -> Vec<Sweeper> {
        let sweep = |store: &_| {
            let cleanup = ServiceBuilder::new()
                .timing(self.sink.clone())
                .error_class(CodexClassifier)
                .service(CleanupService::new(Clone::clone(store)));
            Sweeper::spawn(cleanup, SWEEP)
        };
        self.callers
            .iter()
            .map(|caller| sweep(&caller.uploads))
            .collect()
    }

    pub(crate) fn routes(&self) -> Router {
        Router::new()
            .route("/turns", post(turns::start))
            .route("/turns/{id}", get(threads::turn))
            .route("/threads", get(threads::list))
            .route("/threads/{id}", get(threads::thread))
            .route("/uploads", get(uploads::list))
            .route("/uploads/{name}", put(uploads::stage))
            .route("/approvals", get(approvals::list))
            .route("/approvals/{id}", post(approvals::answer))
            .route("/healthz", get(health::health))
            .fallback(threads::unknown)
            .method_not_allowed_fallback(threads::unknown)
            .layer(DefaultBodyLimit::max(self.max_body))
            .layer(middleware::from_fn_with_state(
                self.requests.clone(),
                Requests::handle,
            ))
            .with_state(self.clone())
    }

    /// Refuses new turns.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, SeqCst);
        self.tasks.close();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(SeqCst)
    }
}

/// Makes sure that nobody else uses the directory. The lock ends with the process, also with one that is killed.
fn lock(path: &Path) -> Result<File, Box<dyn Error>> {
    let file = File::create(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err("another service uses the directory: end it, or use another --state".into())
        }
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Opens a file to append lines to it. A process that was killed can have left its last line incomplete: the next one
/// is on a line of its own.
fn open_lines(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)?;
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// Returns the service of Codex, with the tools of this program and the approver.
fn codex(
    options: &Options,
    sink: &Arc<FanOut>,
    callers: &Arc<Callers>,
    questions: &Questions,
) -> Result<CodexAppServer, Box<dyn Error>> {
    let questions = questions.clone();
    let approver = ServiceBuilder::new()
        .timing(sink.clone())
        .service_fn(move |request| questions.clone().decide(request));
    let deadline = options.approval_timeout;
    let registry = tools::tools(Arc::clone(callers), approver.clone(), deadline)?;
    let stack = ServiceBuilder::new()
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service(registry.clone());
    // The deadline of a call includes the wait for the approval.
    let tools = HostTools::new(&registry, stack, deadline + Duration::from_secs(30));

    let builder = CodexAppServer::builder()
        .client_name("codex_telemetry_service")
        // Commands get the environment of Codex.
        .env_remove(TOKENS)
        .sandbox(Sandbox::ReadOnly)
        .approval_policy(ApprovalPolicy::OnRequest)
        .approver(approver, deadline)
        .tools(tools);
    let builder = match &options.codex {
        Some(codex) => builder.codex(codex),
        // This program stands in for Codex, with threads of its own.
        None => {
            let home = options.state.join("codex-home");
            private_directory(&home)?;
            builder
                .codex(env::current_exe()?)
                .env("CODEX_HOME", fs::canonicalize(home)?)
        }
    };
    Ok(builder.build())
}

/// Returns the layers around the turns, from the outside in.
fn turn_stack(
    options: &Options,
    sink: &Arc<FanOut>,
    codex: CodexAppServer,
) -> BoxCloneSyncService<TurnRequest, Turn, BoxError> {
    let stack = ServiceBuilder::new()
        // The whole turn, with its wait in the queue, which is the phase `wait`.
        .timing(sink.clone())
        .error_class(CodexClassifier)
        // Refuses what the queue does not hold. Turns that come at once are all in the queue for a moment, so it holds as
        // many as may run.
        .load_shed()
        .buffer(options.queue.max(options.max_turns))
        .concurrency_limit(options.max_turns)
        // Only what was refused is tried again, since a turn has side effects.
        .retry(RetryPolicy::new())
        // Each attempt.
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .timeout(options.turn_timeout)
        .service(codex);
    BoxCloneSyncService::new(stack)
}

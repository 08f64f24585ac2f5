//! One turn, from its request to its result.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{
    builder::Config,
    requests,
    router::{RequestError, Router, START_THREAD},
    running_turn::{LoadedThread, RunningTurn},
    servers::Servers,
    thread_locks::ThreadLocks,
    threads::ThreadSettings,
    turns::ActiveTurn,
};
use crate::{
    call::CodexRequest,
    event::{PhaseClock, millis, names},
    turn::{
        Turn, TurnError, TurnRequest,
        calls::{content, short},
        cli::{check, thread_id},
        wire::Fields,
    },
};

/// How long the server has time before it is asked again to load a thread that it unloads. It takes some
/// milliseconds.
const FIRST_LOAD_PAUSE: Duration = Duration::from_millis(5);
const MAX_LOAD_PAUSE: Duration = Duration::from_secs(1);

/// What the turns of a service share.
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) servers: Servers,
    pub(super) locks: ThreadLocks,
}

impl Shared {
    pub(super) async fn run(
        &self,
        request: TurnRequest,
        active: Arc<ActiveTurn>,
        stopping: impl Future<Output = ()>,
        phases: &Arc<PhaseClock>,
    ) -> Result<Turn, TurnError> {
        let request = self.prepare(request).await?;
        let wanted = requests::settings(&request)?;
        let mut thread = tokio::select! {
            thread = self.thread(&request, &wanted, &active, phases) => thread?,
            () = stopping => return Err(TurnError::Stopped),
        };
        let params = requests::start_turn(&thread.id, &request, &wanted, &mut thread.settings)?;
        let turn = RunningTurn::begin(&request, thread, &self.config, phases);
        turn.run(params, self.config.exit_grace).await
    }

    /// Adds the defaults, and checks the request.
    async fn prepare(&self, request: TurnRequest) -> Result<TurnRequest, TurnError> {
        requests::check(&request)?;
        let request = request.with_defaults(&self.config.defaults);
        let context = request.context();
        if let Some(model) = request.model() {
            context.record(names::REQUEST_MODEL, model.to_owned());
        }
        let mut config = self.config.config.iter().rev();
        let of_service = config.find(|(key, _)| key == "model_provider");
        let of_service = of_service.and_then(|(_, value)| value.as_str());
        if let Some(provider) = request.provider().or(of_service) {
            context.record(names::PROVIDER_NAME, short(provider));
        }
        content::record_prompt(&request);
        let has_files = !request.images().is_empty() || request.files().next().is_some();
        if request.working_directory().is_none() && !has_files {
            check(&request)?;
            return Ok(request);
        }
        // The checks look at the disk.
        let checked = tokio::task::spawn_blocking(move || check(&request).map(|()| request));
        checked.await.map_err(|source| TurnError::Io {
            action: "checking the request on a blocking thread",
            // Not by `into`, which would hide the `JoinError` that the classification looks for.
            source: std::io::Error::other(source),
        })?
    }

    /// Locks and loads the thread of a request.
    async fn thread(
        &self,
        request: &TurnRequest,
        wanted: &ThreadSettings,
        active: &Arc<ActiveTurn>,
        phases: &PhaseClock,
    ) -> Result<LoadedThread, TurnError> {
        let Some(id) = thread_id(request) else {
            phases.starting_up();
            return self.new_thread(wanted, active).await;
        };
        let began = Instant::now();
        let lock = self.locks.lock(&id).await;
        let waited = millis(began.elapsed());
        phases.starting_up();
        let lease = self.servers.lease(Some(&id), active).await?;
        let router = lease.router();
        let is_ready = router.thread(&id).is_some_and(|(_, is_ready)| is_ready);
        if !is_ready {
            self.load(router, &id, wanted, active).await?;
        }
        // A thread that was still loaded keeps its settings, whatever the request to load it says. It is looked at
        // after the answer: a turn that was dropped may have loaded the thread meanwhile.
        let settings = router
            .thread(&id)
            .map_or_else(|| wanted.clone(), |(settings, _)| settings);
        Ok(LoadedThread {
            id,
            lock,
            lease,
            settings,
            waited: Some(waited),
        })
    }

    /// Has the server load a thread. It refuses that while it unloads the thread, and tells of the unload a moment
    /// before it allows a load.
    async fn load(
        &self,
        router: &Router,
        thread_id: &str,
        wanted: &ThreadSettings,
        active: &Arc<ActiveTurn>,
    ) -> Result<(), RequestError> {
        let params = requests::resume_thread(thread_id, wanted);
        let (began, patience) = (Instant::now(), self.config.request_timeout);
        let mut pause = FIRST_LOAD_PAUSE;
        loop {
            let loading = router.load("thread/resume", params.clone(), wanted.clone(), active);
            match loading.await {
                Err(RequestError::Rejected(_, rejection))
                    if rejection.is_closing() && began.elapsed() < patience =>
                {
                    // An error means that the server does not tell it.
                    let _ = timeout(patience, router.closed(thread_id)).await;
                    sleep(pause).await;
                    pause = MAX_LOAD_PAUSE.min(2 * pause);
                }
                loaded => return loaded.map(drop),
            }
        }
    }

    async fn new_thread(
        &self,
        wanted: &ThreadSettings,
        active: &Arc<ActiveTurn>,
    ) -> Result<LoadedThread, TurnError> {
        let lease = self.servers.lease(None, active).await?;
        let params = requests::start_thread(wanted, self.config.host_tools.as_ref());
        let router = lease.router();
        let answer = router
            .load(START_THREAD, params, wanted.clone(), active)
            .await?;
        let fields = Fields::from_line(answer.get().as_bytes()).ok();
        let thread = fields.and_then(|fields| fields.object("thread"));
        let id = thread.and_then(|thread| thread.text("id"));
        let id = id.ok_or_else(|| TurnError::Rejected {
            method: START_THREAD,
            code: 0,
            message: "the answer has no id of a thread".to_owned(),
        })?;
        // Nobody else knows the thread.
        let lock = self.locks.lock(&id).await;
        Ok(LoadedThread {
            id,
            lock,
            lease,
            settings: wanted.clone(),
            waited: None,
        })
    }
}

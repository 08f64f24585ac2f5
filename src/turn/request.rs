use std::{
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use opentelemetry::StringValue;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{Progress, Usage, item::hidden};
use crate::{
    call::{CallContext, CodexRequest},
    event::Operation,
};

/// What a turn is asked to do, and how.
///
/// What is not set is left to Codex's own configuration. Clones are cheap and share the prompt.
///
/// ```
/// use codex_telemetry::turn::{Sandbox, TurnRequest};
///
/// let request = TurnRequest::new("Explain this repository")
///     .with_model("gpt-5.5")
///     .with_working_directory("/srv/checkout")
///     .with_sandbox(Sandbox::ReadOnly)
///     .with_config("model_reasoning_effort", "\"high\"");
/// # let _ = request;
/// ```
#[derive(Clone)]
pub struct TurnRequest {
    context: CallContext,
    /// Shared and copied on write: requests move through every layer by value, so they stay small.
    parameters: Arc<Parameters>,
}

#[derive(Clone, Default)]
pub(super) struct Parameters {
    pub(super) prompt: String,
    pub(super) agent: Option<StringValue>,
    pub(super) model: Option<String>,
    pub(super) working_directory: Option<PathBuf>,
    pub(super) additional_directories: Vec<PathBuf>,
    pub(super) sandbox: Option<Sandbox>,
    pub(super) images: Vec<PathBuf>,
    pub(super) output_schema: Option<Value>,
    pub(super) resume: Option<String>,
    /// What the resumed thread had used before, when the caller knows.
    pub(super) used: Option<Usage>,
    pub(super) config: Vec<(String, String)>,
    pub(super) environment: Vec<(OsString, Option<OsString>)>,
    pub(super) progress: Option<mpsc::Sender<Progress>>,
}

/// What Codex may do to the machine.
///
/// ```
/// use codex_telemetry::turn::Sandbox;
///
/// assert_eq!(Sandbox::from_name("read-only"), Some(Sandbox::ReadOnly));
/// assert_eq!(Sandbox::from_name("sandpit"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sandbox {
    /// Read files, write none.
    ReadOnly,
    /// Write inside the working directory.
    WorkspaceWrite,
    /// Anything that the user running Codex may do.
    DangerFullAccess,
}

// === impl TurnRequest ===

impl TurnRequest {
    /// Returns a request to answer `prompt` in a new thread.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self {
            context: CallContext::new(),
            parameters: Arc::new(Parameters {
                prompt: prompt.into(),
                ..Parameters::default()
            }),
        }
    }

    /// Sets the context.
    #[must_use]
    pub fn with_context(mut self, context: CallContext) -> Self {
        self.context = context;
        self
    }

    /// Sets the name of the agent, which names the call.
    #[must_use]
    pub fn with_agent(self, name: impl Into<StringValue>) -> Self {
        self.with(|p| p.agent = Some(name.into()))
    }

    /// Sets the model.
    #[must_use]
    pub fn with_model(self, model: impl Into<String>) -> Self {
        self.with(|p| p.model = Some(model.into()))
    }

    /// Sets the directory to work in; the default is the one that this process works in.
    #[must_use]
    pub fn with_working_directory(self, path: impl Into<PathBuf>) -> Self {
        self.with(|p| p.working_directory = Some(path.into()))
    }

    /// Adds a directory that may be written to beside the working directory.
    #[must_use]
    pub fn with_additional_directory(self, path: impl Into<PathBuf>) -> Self {
        self.with(|p| p.additional_directories.push(path.into()))
    }

    /// Sets what Codex may do to the machine.
    #[must_use]
    pub fn with_sandbox(self, sandbox: Sandbox) -> Self {
        self.with(|p| p.sandbox = Some(sandbox))
    }

    /// Adds an image to the prompt.
    #[must_use]
    pub fn with_image(self, path: impl Into<PathBuf>) -> Self {
        self.with(|p| p.images.push(path.into()))
    }

    /// Sets the JSON schema that the final message has to follow.
    #[must_use]
    pub fn with_output_schema(self, schema: Value) -> Self {
        self.with(|p| p.output_schema = Some(schema))
    }

    /// Goes on with a thread, by the id that an earlier [`Turn`](super::Turn) told.
    ///
    /// Codex remembers neither directory nor sandbox nor model of the thread: set them again. It counts
    /// tokens by thread; see [`with_previous_usage`](Self::with_previous_usage) for how the turn's own share is found.
    #[must_use]
    pub fn with_resume(self, thread_id: impl Into<String>) -> Self {
        self.with(|p| p.resume = Some(thread_id.into()))
    }

    /// Sets what the resumed thread had used before, by the
    /// [`thread_usage`](super::Turn::thread_usage) of its last turn.
    ///
    /// Without it the service takes what Codex wrote down about the thread; when that cannot be read
    /// either, the turn's usage is `None`. What Codex wrote down also counts turns that failed or were
    /// cancelled in between, of which no [`Turn`](super::Turn) told.
    #[must_use]
    pub fn with_previous_usage(self, used: Usage) -> Self {
        self.with(|p| p.used = Some(used))
    }

    /// Overrides one key of Codex's configuration; the value is TOML, a text stands in quotes.
    #[must_use]
    pub fn with_config(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|p| p.config.push((key.into(), value.into())))
    }

    /// Sets an environment variable of Codex, beside those that it inherits.
    #[must_use]
    pub fn with_env(self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let (key, value) = (key.as_ref().to_owned(), value.as_ref().to_owned());
        self.with(|p| p.environment.push((key, Some(value))))
    }

    /// Removes an environment variable from those that Codex inherits.
    #[must_use]
    pub fn without_env(self, key: impl AsRef<OsStr>) -> Self {
        let key = key.as_ref().to_owned();
        self.with(|p| p.environment.push((key, None)))
    }

    /// Sends progress to a channel while the turn runs.
    ///
    /// A full channel holds the turn up until there is room, and a closed one is ignored.
    #[must_use]
    pub fn with_progress(self, channel: mpsc::Sender<Progress>) -> Self {
        self.with(|p| p.progress = Some(channel))
    }

    /// Returns the prompt.
    #[must_use]
    pub fn prompt(&self) -> &str {
        &self.parameters.prompt
    }

    /// Returns the model, when the request names one.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.parameters.model.as_deref()
    }

    /// Returns the directory to work in, when the request names one.
    #[must_use]
    pub fn working_directory(&self) -> Option<&Path> {
        self.parameters.working_directory.as_deref()
    }

    /// Returns the id of the thread that the request goes on with.
    #[must_use]
    pub fn resumed_thread(&self) -> Option<&str> {
        self.parameters.resume.as_deref()
    }

    pub(super) fn into_parts(self) -> (CallContext, Arc<Parameters>) {
        (self.context, self.parameters)
    }

    fn with(mut self, set: impl FnOnce(&mut Parameters)) -> Self {
        set(Arc::make_mut(&mut self.parameters));
        self
    }
}

impl CodexRequest for TurnRequest {
    fn operation(&self) -> Operation {
        Operation::Turn
    }

    fn name(&self) -> Option<StringValue> {
        self.parameters.agent.clone()
    }

    fn context(&self) -> &CallContext {
        &self.context
    }

    fn context_mut(&mut self) -> &mut CallContext {
        &mut self.context
    }
}

/// Shows sizes and names only: prompts, configuration and environment may hold secrets.
impl fmt::Debug for TurnRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p = &*self.parameters;
        let keys = |(key, _): &(String, String)| key.clone();
        f.debug_struct("TurnRequest")
            .field("prompt", &hidden(&p.prompt))
            .field("agent", &p.agent)
            .field("model", &p.model)
            .field("working_directory", &p.working_directory)
            .field("sandbox", &p.sandbox)
            .field("images", &p.images)
            .field("resume", &p.resume)
            .field("config", &p.config.iter().map(keys).collect::<Vec<_>>())
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

// === impl Sandbox ===

impl Sandbox {
    /// Returns the name as Codex writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::WorkspaceWrite => "workspace-write",
            Self::DangerFullAccess => "danger-full-access",
        }
    }

    /// Returns the mode of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::ReadOnly, Self::WorkspaceWrite, Self::DangerFullAccess]
            .into_iter()
            .find(|mode| mode.as_str() == name)
    }
}

#[cfg(feature = "attachment")]
use std::any::Any;
use std::{
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use opentelemetry::StringValue;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{ApprovalPolicy, Progress, Sandbox, Usage, item::hidden, tool_server::ToolServer};
use crate::{
    call::{CallContext, CodexRequest},
    event::Operation,
};

/// A prompt, and how Codex has to answer it.
///
/// Codex's own configuration decides what neither the request nor the service sets. Clones are cheap and
/// share the prompt.
///
/// ```
/// use codex_telemetry::turn::{ApprovalPolicy, Sandbox, TurnRequest};
///
/// let request = TurnRequest::new("Explain this repository")
///     .with_agent("guide")
///     .with_model("gpt-5.5")
///     .with_working_directory("/srv/checkout")
///     .with_additional_directory("/srv/cache")
///     .with_sandbox(Sandbox::WorkspaceWrite)
///     .with_approval_policy(ApprovalPolicy::Never)
///     .with_config("model_reasoning_effort", "high");
/// assert_eq!(request.prompt(), "Explain this repository");
/// assert_eq!((request.agent(), request.model()), (Some("guide"), Some("gpt-5.5")));
/// assert_eq!(request.working_directory(), Some("/srv/checkout".as_ref()));
/// assert_eq!(request.additional_directories(), ["/srv/cache"].map(std::path::PathBuf::from));
/// assert_eq!(request.sandbox(), Some(Sandbox::WorkspaceWrite));
/// assert_eq!(request.approval_policy(), Some(ApprovalPolicy::Never));
/// ```
///
/// What belongs to the prompt, and what an answer should look like:
///
/// ```
/// use codex_telemetry::turn::TurnRequest;
/// use serde_json::json;
///
/// let schema = json!({"type": "object", "properties": {"title": {"type": "string"}}});
/// let request = TurnRequest::new("What does the plot show?")
///     .with_image("/srv/inbox/plot.png")
///     .with_file("/srv/inbox/plot.csv")
///     .with_output_schema(schema.clone());
/// assert_eq!(request.images().len(), 1);
/// assert!(request.files().eq([("plot.csv", "/srv/inbox/plot.csv".as_ref())]));
/// assert_eq!(request.output_schema(), Some(&schema));
/// ```
///
/// A service of a program's own, such as a fake, reads the request, and sends progress to it:
///
/// ```
/// use codex_telemetry::{
///     CallContext,
///     turn::{Progress, Turn, TurnError, TurnRequest, Usage},
/// };
/// use tower::{ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), TurnError> {
/// let fake = service_fn(|request: TurnRequest| async move {
///     if let Some(progress) = request.progress() {
///         let _ = progress.send(Progress::TurnStarted).await;
///     }
///     let thread = request.resume().unwrap_or("thread-1").to_owned();
///     let used = request.previous_usage().unwrap_or_default();
///     let is_ephemeral = request.ephemeral().unwrap_or_default();
///     let answer = format!("{thread} used {} tokens (ephemeral: {is_ephemeral})", used.input_tokens);
///     Ok::<_, TurnError>(Turn::new().with_thread_id(thread).with_final_message(answer))
/// });
///
/// let (sender, mut progress) = tokio::sync::mpsc::channel(8);
/// let mut used = Usage::default();
/// used.input_tokens = 7;
/// let request = TurnRequest::new("And now?")
///     .with_context(CallContext::new().with_attempt(2))
///     .with_resume("thread-7")
///     .with_previous_usage(used)
///     .with_ephemeral(false)
///     .with_progress(sender);
/// let turn = fake.oneshot(request).await?;
/// assert_eq!(turn.final_message.as_deref(), Some("thread-7 used 7 tokens (ephemeral: false)"));
/// assert_eq!(progress.recv().await, Some(Progress::TurnStarted));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TurnRequest {
    context: CallContext,
    /// Shared and copied on write: requests move through every layer by value, so they stay small.
    parameters: Arc<Parameters>,
}

#[derive(Clone, Default)]
struct Parameters {
    prompt: String,
    agent: Option<StringValue>,
    additional_directories: Vec<PathBuf>,
    images: Vec<PathBuf>,
    /// The names and paths of other files.
    files: Vec<(String, PathBuf)>,
    output_schema: Option<Value>,
    resume: Option<String>,
    previous_usage: Option<Usage>,
    progress: Option<mpsc::Sender<Progress>>,
    tool_server: Option<Arc<dyn ToolServer>>,
    settings: Settings,
    /// What the request keeps alive: the leases of attachments.
    #[cfg(feature = "attachment")]
    held: Vec<Arc<dyn Any + Send + Sync>>,
}

/// What both a request and, as its defaults, a service can set.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Settings {
    pub(super) model: Option<String>,
    pub(super) working_directory: Option<PathBuf>,
    pub(super) sandbox: Option<Sandbox>,
    pub(super) config: Vec<(String, Value)>,
    pub(super) ephemeral: Option<bool>,
    pub(super) approval_policy: Option<ApprovalPolicy>,
    pub(super) environment: Vec<(OsString, Option<OsString>)>,
}

// === impl TurnRequest ===

impl TurnRequest {
    /// Returns a request to answer `prompt` in a new thread.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self {
            context: CallContext::new().with_phases(),
            parameters: Arc::new(Parameters {
                prompt: prompt.into(),
                ..Parameters::default()
            }),
        }
    }

    /// Sets the context.
    #[must_use]
    pub fn with_context(mut self, context: CallContext) -> Self {
        self.context = context.with_phases();
        self
    }

    /// Sets the name of the agent, which is the name of the call.
    #[must_use]
    pub fn with_agent(self, name: impl Into<StringValue>) -> Self {
        self.with(|p| p.agent = Some(name.into()))
    }

    /// Sets the model.
    #[must_use]
    pub fn with_model(self, model: impl Into<String>) -> Self {
        self.with(|p| p.settings.model = Some(model.into()))
    }

    /// Sets the working directory; the default is the one of this process.
    #[must_use]
    pub fn with_working_directory(self, path: impl Into<PathBuf>) -> Self {
        self.with(|p| p.settings.working_directory = Some(path.into()))
    }

    /// Adds a directory that Codex may write to, beside the working directory.
    #[must_use]
    pub fn with_additional_directory(self, path: impl Into<PathBuf>) -> Self {
        self.with(|p| p.additional_directories.push(path.into()))
    }

    /// Sets what Codex may do to the machine.
    #[must_use]
    pub fn with_sandbox(self, sandbox: Sandbox) -> Self {
        self.with(|p| p.settings.sandbox = Some(sandbox))
    }

    /// Adds an image to the prompt.
    #[must_use]
    pub fn with_image(self, path: impl Into<PathBuf>) -> Self {
        self.with(|p| p.images.push(path.into()))
    }

    /// Adds a file of any kind, which Codex's commands can read.
    ///
    /// Codex gets its name and its absolute path, in a line below the prompt:
    ///
    /// ```text
    /// Summarize the notes
    ///
    /// Files attached by the user:
    /// - notes.txt: /srv/inbox/notes.txt
    /// ```
    ///
    /// A turn with a file that is missing, or whose path is not UTF-8 or has a control character, fails with
    /// [`TurnError::InvalidRequest`](super::TurnError::InvalidRequest) before anything runs.
    ///
    /// Commands read any file in each of Codex's sandboxes. A permission profile can restrict that, and then has to
    /// allow the file's directory: with a profile `narrow` in the file of Codex's configuration, by
    /// `with_config("permissions.narrow.filesystem", json!({"/srv/inbox": "read"}))`.
    /// [`with_additional_directory`](Self::with_additional_directory) would make the directory writable.
    #[must_use]
    pub fn with_file(self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path.file_name().unwrap_or_default();
        self.with_named_file(name.to_string_lossy().into_owned(), path)
    }

    /// Sets the JSON schema of the final message.
    #[must_use]
    pub fn with_output_schema(self, schema: Value) -> Self {
        self.with(|p| p.output_schema = Some(schema))
    }

    /// Resumes a thread, by its id ([`Turn::thread_id`](super::Turn::thread_id)).
    ///
    /// `codex exec` remembers neither the directory nor the sandbox nor the model of a thread: set them again. The
    /// app-server restores the model, the directory, the sandbox, the approval policy and the reasoning effort of the
    /// thread's last turn, where neither the request nor the service sets them.
    ///
    /// `codex exec` counts tokens per thread; [`with_previous_usage`](Self::with_previous_usage) explains how the
    /// service finds the share of one turn.
    #[must_use]
    pub fn with_resume(self, thread_id: impl Into<String>) -> Self {
        self.with(|p| p.resume = Some(thread_id.into()))
    }

    /// Sets what the resumed thread had used before: the [`thread_usage`](super::Turn::thread_usage) of its
    /// last turn. Only [`CodexExec`](super::CodexExec) needs it: the app-server reports what each response used.
    ///
    /// Without it the service reads the total from the thread's file in `CODEX_HOME`. If the file has no
    /// total either, the turn's usage is `None`. The file also counts turns that failed or were cancelled
    /// in between, for which there is no [`Turn`](super::Turn).
    #[must_use]
    pub fn with_previous_usage(self, usage: Usage) -> Self {
        self.with(|p| p.previous_usage = Some(usage))
    }

    /// Overrides one key of Codex's configuration.
    ///
    /// The key may have dots: `mcp_servers.files.command` is a key in a table in a table. Codex splits it at each
    /// of them, also in quotes, so a name with a dot goes into a table as the value.
    ///
    /// With [`CodexExec`](super::CodexExec) it is a flag of the process, which the other users of the machine can see: a
    /// secret belongs into the environment. With [`CodexAppServer`](super::CodexAppServer) it is sent to the server.
    ///
    /// The value is JSON, which becomes the same value of TOML. TOML has no `null` and no integers above
    /// [`i64::MAX`], also within lists and tables. Codex would take them for something else, so a turn with one of
    /// them, with a value that is nested more than 64 levels deep, or with a key that Codex would misread fails with
    /// [`TurnError::InvalidRequest`](super::TurnError::InvalidRequest).
    ///
    /// ```
    /// use codex_telemetry::turn::TurnRequest;
    /// use serde_json::json;
    ///
    /// let request = TurnRequest::new("Tidy up")
    ///     .with_config("model_reasoning_effort", "high")
    ///     .with_config("mcp_servers.files", json!({"command": "files", "args": ["--all"]}))
    ///     .with_config("projects", json!({"/srv/my.project": {"trust_level": "trusted"}}));
    /// assert_eq!(request.config().count(), 3);
    /// ```
    #[must_use]
    pub fn with_config(self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.with(|p| p.settings.config.push((key.into(), value.into())))
    }

    /// Sets whether the new thread leaves nothing on disk, and so cannot be resumed. It does not by default, and the
    /// service can have another one.
    #[must_use]
    pub fn with_ephemeral(self, ephemeral: bool) -> Self {
        self.with(|p| p.settings.ephemeral = Some(ephemeral))
    }

    /// Sets when Codex asks for an approval.
    ///
    /// `codex exec` never asks, so with [`CodexExec`](super::CodexExec) a turn with another policy than
    /// [`ApprovalPolicy::Never`] fails with [`TurnError::InvalidRequest`](super::TurnError::InvalidRequest).
    #[must_use]
    pub fn with_approval_policy(self, policy: ApprovalPolicy) -> Self {
        self.with(|p| p.settings.approval_policy = Some(policy))
    }

    /// Sets an environment variable of Codex and its commands.
    ///
    /// [`CodexExec`](super::CodexExec#environment) lists what Codex inherits, and in which order the
    /// settings apply. The turns of a [`CodexAppServer`](super::CodexAppServer#environment) share its environment, so
    /// there a request with a change of it fails with
    /// [`TurnError::InvalidRequest`](super::TurnError::InvalidRequest).
    #[must_use]
    pub fn with_env(self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let (key, value) = (key.as_ref().to_owned(), value.as_ref().to_owned());
        self.with(|p| p.settings.environment.push((key, Some(value))))
    }

    /// Removes an environment variable of Codex and its commands.
    ///
    /// ```
    /// use codex_telemetry::turn::TurnRequest;
    ///
    /// let request = TurnRequest::new("Run the tests")
    ///     .with_env("RUST_LOG", "debug")
    ///     .without_env("DATABASE_URL");
    /// let changes = request.environment().map(|(key, value)| (key.to_str(), value.is_some()));
    /// assert!(changes.eq([(Some("RUST_LOG"), true), (Some("DATABASE_URL"), false)]));
    /// // Values may be secrets.
    /// assert!(!format!("{request:?}").contains("debug"));
    /// ```
    #[must_use]
    pub fn without_env(self, key: impl AsRef<OsStr>) -> Self {
        let key = key.as_ref().to_owned();
        self.with(|p| p.settings.environment.push((key, None)))
    }

    /// Sends progress to a channel while the turn runs.
    ///
    /// The turn does not wait for the receiver while it runs: up to 1,024 updates wait for room in the channel,
    /// and further ones are dropped. Once Codex has exited, the receiver has the service's
    /// [`exit_grace`](super::CodexExecBuilder::exit_grace), and a minute at most, to take what still waits. The open call has the
    /// number of dropped updates as `codex.turn.dropped_progress`. A closed channel is ignored.
    #[must_use]
    pub fn with_progress(self, channel: mpsc::Sender<Progress>) -> Self {
        self.with(|p| p.progress = Some(channel))
    }

    /// Returns the prompt, without the lines of its [files](Self::files).
    #[must_use]
    pub fn prompt(&self) -> &str {
        &self.parameters.prompt
    }

    /// Returns the name of the agent.
    #[must_use]
    pub fn agent(&self) -> Option<&str> {
        self.parameters.agent.as_ref().map(StringValue::as_str)
    }

    /// Returns the model.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.parameters.settings.model.as_deref()
    }

    /// Returns the working directory.
    #[must_use]
    pub fn working_directory(&self) -> Option<&Path> {
        self.parameters.settings.working_directory.as_deref()
    }

    /// Returns the directories that Codex may write to, beside the working directory.
    #[must_use]
    pub fn additional_directories(&self) -> &[PathBuf] {
        &self.parameters.additional_directories
    }

    /// Returns what Codex may do to the machine.
    #[must_use]
    pub fn sandbox(&self) -> Option<Sandbox> {
        self.parameters.settings.sandbox
    }

    /// Returns the images of the prompt.
    #[must_use]
    pub fn images(&self) -> &[PathBuf] {
        &self.parameters.images
    }

    /// Returns the files of the prompt, by name and with their paths.
    #[must_use]
    pub fn files(&self) -> impl DoubleEndedIterator<Item = (&str, &Path)> {
        let files = self.parameters.files.iter();
        files.map(|(name, path)| (&**name, &**path))
    }

    /// Returns the JSON schema of the final message.
    #[must_use]
    pub fn output_schema(&self) -> Option<&Value> {
        self.parameters.output_schema.as_ref()
    }

    /// Returns the id of the thread to resume.
    #[must_use]
    pub fn resume(&self) -> Option<&str> {
        self.parameters.resume.as_deref()
    }

    /// Returns what the resumed thread had used before.
    #[must_use]
    pub fn previous_usage(&self) -> Option<Usage> {
        self.parameters.previous_usage
    }

    /// Returns the overrides of Codex's configuration, in the order in which they apply.
    #[must_use]
    pub fn config(&self) -> impl DoubleEndedIterator<Item = (&str, &Value)> {
        let config = self.parameters.settings.config.iter();
        config.map(|(key, value)| (&**key, value))
    }

    /// Returns whether the new thread leaves nothing on disk; `None` if the request does not say.
    #[must_use]
    pub fn ephemeral(&self) -> Option<bool> {
        self.parameters.settings.ephemeral
    }

    /// Returns when Codex asks for an approval.
    #[must_use]
    pub fn approval_policy(&self) -> Option<ApprovalPolicy> {
        self.parameters.settings.approval_policy
    }

    /// Returns the changes to the environment, in the order in which they apply; `None` removes a variable.
    #[must_use]
    pub fn environment(&self) -> impl DoubleEndedIterator<Item = (&OsStr, Option<&OsStr>)> {
        let changes = self.parameters.settings.environment.iter();
        changes.map(|(key, value)| (&**key, value.as_deref()))
    }

    /// Returns the channel for progress.
    #[must_use]
    pub fn progress(&self) -> Option<&mpsc::Sender<Progress>> {
        self.parameters.progress.as_ref()
    }

    /// Returns the id of the model's provider, if the settings have it. The last one wins.
    pub(super) fn provider(&self) -> Option<&str> {
        let mut config = self.config().rev();
        config.find(|(key, _)| *key == "model_provider")?.1.as_str()
    }

    /// Returns what a service can set as well.
    pub(super) fn settings(&self) -> &Settings {
        &self.parameters.settings
    }

    /// Adds a file under another name than the one that it has.
    pub(crate) fn with_named_file(self, name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.with(|p| p.files.push((name.into(), path.into())))
    }

    /// Keeps a value until the request and its clones are dropped. A running turn has the request to its end.
    #[cfg(feature = "attachment")]
    pub(crate) fn holding(self, value: Arc<dyn Any + Send + Sync>) -> Self {
        self.with(|p| p.held.push(value))
    }

    /// Has Codex connect to a server of the program's tools.
    #[cfg(any(test, feature = "mcp"))]
    pub(crate) fn with_tool_server(self, server: Arc<dyn ToolServer>) -> Self {
        self.with(|p| p.tool_server = Some(server))
    }

    /// Returns the server of the program's tools.
    pub(super) fn tool_server(&self) -> Option<&Arc<dyn ToolServer>> {
        self.parameters.tool_server.as_ref()
    }

    /// Adds what the request does not set itself. Configuration and environment of the request apply last.
    pub(super) fn with_defaults(self, defaults: &Settings) -> Self {
        // Without a change, the prompt of a shared request is not copied.
        if *defaults == Settings::default() {
            return self;
        }
        self.with(|p| p.settings.add_defaults(defaults.clone()))
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
        f.debug_struct("TurnRequest")
            .field("prompt", &hidden(&p.prompt))
            .field("agent", &p.agent)
            .field("model", &p.settings.model)
            .field("working_directory", &p.settings.working_directory)
            .field("sandbox", &p.settings.sandbox)
            .field("ephemeral", &p.settings.ephemeral)
            .field("approval_policy", &p.settings.approval_policy)
            .field("images", &p.images)
            .field("files", &names(&p.files))
            .field("resume", &p.resume)
            .field("config", &names(&p.settings.config))
            .field("environment", &names(&p.settings.environment))
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

// === impl Settings ===

impl Settings {
    /// Adds the settings of a service, over which these take precedence.
    fn add_defaults(&mut self, mut defaults: Self) {
        self.model = self.model.take().or(defaults.model);
        self.working_directory = self.working_directory.take().or(defaults.working_directory);
        self.sandbox = self.sandbox.or(defaults.sandbox);
        self.ephemeral = self.ephemeral.or(defaults.ephemeral);
        self.approval_policy = self.approval_policy.or(defaults.approval_policy);
        defaults.config.append(&mut self.config);
        self.config = defaults.config;
        defaults.environment.append(&mut self.environment);
        self.environment = defaults.environment;
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("model", &self.model)
            .field("working_directory", &self.working_directory)
            .field("sandbox", &self.sandbox)
            .field("ephemeral", &self.ephemeral)
            .field("approval_policy", &self.approval_policy)
            .field("config", &names(&self.config))
            .field("environment", &names(&self.environment))
            .finish()
    }
}

fn names<K, V>(pairs: &[(K, V)]) -> Vec<&K> {
    pairs.iter().map(|(name, _)| name).collect()
}

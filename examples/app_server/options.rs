//! The command line.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    path::Path,
    time::Duration,
};

use codex_telemetry::{
    CallContext, JsonLinesSink, Originator,
    turn::{ApprovalPolicy, CodexAppServer, CodexAppServerBuilder, Sandbox},
};
use tracing_subscriber::filter::Targets;

pub(crate) const USAGE: &str = "\
usage: app_server [OPTION]...

  --codex PATH            the Codex CLI (default: CODEX_PATH, or codex on the PATH)
  --log FILTER            what to log on standard error, such as codex_telemetry::events=debug
                          (default: warnings, without events)
  --events FILE           append the events to a file, as JSON lines
  -c, --config KEY=VALUE  override a key of Codex's configuration, by JSON or else by a text; may be repeated
  --model M               the model
  --sandbox MODE          read-only, workspace-write or danger-full-access
  --approval-policy P     when Codex asks: never, on-request or untrusted
  --approval-timeout S    decline after this time, in seconds (default: 120)
  --cd DIR                the working directory
  --ephemeral             leave nothing on disk: each prompt has a thread of its own
  --resume ID             resume a thread
  --originator NAME       who asks: cli (the default), sdk, or a name
  --timeout S             cancel a turn after this time, in seconds
  --timeline              show a timeline after each turn
";

/// The default filter: warnings of the crate, for example of an exporter that cannot start.
const LOG: &str = "warn,codex_telemetry::events=off";

pub(crate) struct Options {
    pub(crate) codex: CodexAppServerBuilder,
    pub(crate) log: Targets,
    pub(crate) events: Option<JsonLinesSink<File>>,
    pub(crate) originator: Originator,
    pub(crate) context: CallContext,
    pub(crate) resume: Option<String>,
    pub(crate) is_ephemeral: bool,
    pub(crate) approval_timeout: Duration,
    pub(crate) timeout: Duration,
    pub(crate) timeline: bool,
}

impl Options {
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;

        let mut codex = CodexAppServer::builder();
        let mut options = Self {
            codex: codex.clone(),
            log: LOG.parse().expect("a filter"),
            events: None,
            originator: Originator::Cli,
            context: context(),
            resume: None,
            is_ephemeral: false,
            approval_timeout: Duration::from_secs(120),
            timeout: Duration::MAX,
            timeline: false,
        };
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("codex") => codex = codex.codex(parser.value()?),
                Long("log") => options.log = parser.value()?.parse()?,
                Long("events") => options.events = Some(events(parser.value()?.as_ref())?),
                Short('c') | Long("config") => {
                    let pair = parser.value()?.string()?;
                    let (key, text) = pair.split_once('=').ok_or("-c needs KEY=VALUE")?;
                    let value: serde_json::Value =
                        serde_json::from_str(text).unwrap_or_else(|_| text.into());
                    codex = codex.config(key, value);
                }
                Long("model") => codex = codex.model(parser.value()?.string()?),
                Long("sandbox") => {
                    let mode = Sandbox::from_name(&parser.value()?.string()?).ok_or(
                        "--sandbox needs read-only, workspace-write or danger-full-access",
                    )?;
                    codex = codex.sandbox(mode);
                }
                Long("approval-policy") => {
                    let name = parser.value()?.string()?;
                    let policy = policy(&name)
                        .ok_or("--approval-policy needs never, on-request or untrusted")?;
                    codex = codex.approval_policy(policy);
                }
                Long("approval-timeout") => options.approval_timeout = seconds(&mut parser)?,
                Long("cd") => codex = codex.working_directory(parser.value()?),
                Long("ephemeral") => options.is_ephemeral = true,
                Long("resume") => options.resume = Some(parser.value()?.string()?),
                Long("originator") => options.originator = parser.value()?.parse()?,
                Long("timeout") => options.timeout = seconds(&mut parser)?,
                Long("timeline") => options.timeline = true,
                other => return Err(other.unexpected()),
            }
        }
        // So the model's provider sees the same name.
        let name = options.originator.to_string();
        options.codex = codex.client_name(name).ephemeral(options.is_ephemeral);
        Ok(options)
    }
}

fn policy(name: &str) -> Option<ApprovalPolicy> {
    [
        ApprovalPolicy::Never,
        ApprovalPolicy::OnRequest,
        ApprovalPolicy::Untrusted,
    ]
    .into_iter()
    .find(|policy| policy.as_str() == name)
}

fn seconds(parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    use lexopt::ValueExt;

    let seconds: f64 = parser.value()?.parse()?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "a time is a number of seconds, from 0".into())
}

fn events(path: &Path) -> Result<JsonLinesSink<File>, lexopt::Error> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    match file {
        Ok(file) => Ok(JsonLinesSink::new(file)),
        Err(error) => Err(format!("cannot open {}: {error}", path.display()).into()),
    }
}

/// Returns the context of the turns: a child of the span of the program that started this one.
fn context() -> CallContext {
    let variable = |name| std::env::var(name).ok();
    match variable("TRACEPARENT") {
        Some(parent) => {
            CallContext::new().with_traceparent(&parent, variable("TRACESTATE").as_deref())
        }
        None => CallContext::new(),
    }
}

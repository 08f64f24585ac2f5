use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::NamedTempFile;
use tokio::process::Command;

use super::{rollout, transcript::Expected};
use crate::{
    call::CallContext,
    event::Originator,
    turn::{TurnError, request::Parameters},
};

/// Who Codex is told that it works for; official SDKs put a name of their own here.
const ORIGINATOR: &str = "CODEX_INTERNAL_ORIGINATOR_OVERRIDE";

/// How the service calls Codex, whatever the request.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) codex: Option<PathBuf>,
    pub(super) skip_git_repo_check: bool,
    pub(super) ephemeral: bool,
    pub(super) ignore_user_config: bool,
}

/// A request made ready to run.
pub(super) struct Invocation {
    pub(super) program: PathBuf,
    pub(super) command: Command,
    pub(super) expected: Expected,
    /// Removed when the run is over.
    pub(super) output_schema: Option<NamedTempFile>,
}

impl Invocation {
    /// Checks the request, finds the binary and what Codex knows of the thread. Blocks on the disk.
    pub(super) fn prepare(
        options: &Options,
        context: &CallContext,
        parameters: &Arc<Parameters>,
    ) -> Result<Self, TurnError> {
        let p = &**parameters;
        check(p)?;
        let program = find_codex(options.codex.as_deref(), p)?;
        let output_schema = p.output_schema.as_ref().map(write_schema).transpose()?;
        let schema_path = output_schema.as_ref().map(NamedTempFile::path);

        let mut command = Command::new(&program);
        command.args(arguments(options, p, schema_path));
        set_environment(&mut command, context, p);

        let resumed = thread_id(p).map(|thread_id| {
            let used = p.used.or_else(|| {
                let home = codex_home(p)?;
                rollout::used(&home, &thread_id)
            });
            (thread_id, used)
        });
        Ok(Self {
            program,
            command,
            expected: Expected {
                resumed,
                sandbox: p.sandbox,
            },
            output_schema,
        })
    }
}

/// Refuses what Codex would take the wrong way without a word.
fn check(p: &Parameters) -> Result<(), TurnError> {
    let refuse = |reason| Err(TurnError::InvalidRequest { reason });
    if let Some(path) = &p.working_directory
        && !path.is_dir()
    {
        return Err(TurnError::WorkingDirectory { path: path.clone() });
    }
    for image in &p.images {
        let path = image.display();
        if !image.is_file() {
            return refuse(format!("the image {path} is not a file"));
        }
        if image.as_os_str().as_encoded_bytes().contains(&b',') {
            return refuse(format!(
                "the image {path} has a comma in its path, at which Codex would cut it in two: \
                 give it another name"
            ));
        }
    }
    let texts = p.config.iter().flat_map(|(key, value)| [key, value]);
    if texts.chain(&p.model).any(|text| text.contains('\0')) {
        return refuse("a model or a configuration value holds a NUL character".to_owned());
    }
    if let Some(resume) = &p.resume
        && !is_thread_id(resume)
    {
        return refuse(
            "the thread to resume is not named by an id (32 hexadecimal digits in 5 groups), as \
             `Turn::thread_id` tells it"
                .to_owned(),
        );
    }
    Ok(())
}

/// The id of the thread to resume, as Codex writes it in its answer and in the name of the thread's file.
fn thread_id(p: &Parameters) -> Option<String> {
    p.resume.as_ref().map(|id| id.to_ascii_lowercase())
}

fn is_thread_id(text: &str) -> bool {
    let groups = text.split('-').map(|group| {
        let hex = group.bytes().all(|byte| byte.is_ascii_hexdigit());
        hex.then_some(group.len())
    });
    groups.eq([8, 4, 4, 4, 12].map(Some))
}

fn find_codex(configured: Option<&Path>, p: &Parameters) -> Result<PathBuf, TurnError> {
    let named = variable(p, "CODEX_PATH").filter(|path| !path.is_empty());
    let (wanted, looked_for) = match (configured, named) {
        (Some(path), _) => (path.into(), format!("as {}", path.display())),
        (None, Some(path)) => {
            let told = format!("as CODEX_PATH says: {}", path.display());
            (path, told)
        }
        (None, None) => ("codex".into(), "as codex on the PATH".to_owned()),
    };
    // By the PATH that Codex itself will have.
    let here = env::current_dir().unwrap_or_default();
    which::which_in(wanted, variable(p, "PATH"), here)
        .map_err(|_| TurnError::CodexNotFound { looked_for })
}

/// The command line. What stands before `resume` is refused behind it, except for `--image`, which
/// takes as many values as follow and would swallow the thread's id.
fn arguments(options: &Options, p: &Parameters, output_schema: Option<&Path>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["exec".into(), "--json".into()];
    let flag = |name: &str, value: &OsStr| {
        let mut flag = OsString::from(format!("--{name}="));
        flag.push(value);
        flag
    };
    arguments.extend(
        p.config
            .iter()
            .map(|(key, value)| flag("config", format!("{key}={value}").as_ref())),
    );
    arguments.extend(p.model.as_ref().map(|model| flag("model", model.as_ref())));
    arguments.extend(
        p.sandbox
            .map(|mode| flag("sandbox", mode.as_str().as_ref())),
    );
    let directory = p.working_directory.as_ref();
    arguments.extend(directory.map(|path| flag("cd", path.as_ref())));
    let directories = p.additional_directories.iter();
    arguments.extend(directories.map(|path| flag("add-dir", path.as_ref())));
    for (wanted, name) in [
        (options.skip_git_repo_check, "--skip-git-repo-check"),
        (options.ephemeral, "--ephemeral"),
        (options.ignore_user_config, "--ignore-user-config"),
    ] {
        if wanted {
            arguments.push(name.into());
        }
    }
    arguments.extend(output_schema.map(|path| flag("output-schema", path.as_ref())));
    if let Some(thread_id) = thread_id(p) {
        arguments.extend(["resume".into(), thread_id.into()]);
    }
    for image in &p.images {
        arguments.push(flag("image", image.as_ref()));
    }
    arguments
}

fn set_environment(command: &mut Command, context: &CallContext, p: &Parameters) {
    if let Some(originator) = context.originator()
        && env::var_os(ORIGINATOR).is_none()
    {
        command.env(ORIGINATOR, originator_name(originator));
    }
    if let Some(traceparent) = context.traceparent() {
        command.env("TRACEPARENT", traceparent);
        match context.tracestate() {
            Some(tracestate) => command.env("TRACESTATE", tracestate),
            // An inherited one belongs to another parent.
            None => command.env_remove("TRACESTATE"),
        };
    }
    // Last, so that the caller's word counts.
    for (key, value) in &p.environment {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
}

fn originator_name(originator: &Originator) -> &str {
    match originator {
        Originator::Cli => "codex_cli_rs",
        Originator::Sdk => "codex_sdk_rs",
        Originator::Named(name) => name.as_str(),
    }
}

fn codex_home(p: &Parameters) -> Option<PathBuf> {
    match variable(p, "CODEX_HOME").filter(|home| !home.is_empty()) {
        Some(home) => Some(home.into()),
        None => Some(PathBuf::from(variable(p, "HOME")?).join(".codex")),
    }
}

/// A variable as Codex will see it.
fn variable(p: &Parameters, name: &str) -> Option<OsString> {
    let set = p.environment.iter().rev().find(|(key, _)| key == name);
    match set {
        Some((_, value)) => value.clone(),
        None => env::var_os(name),
    }
}

fn write_schema(schema: &serde_json::Value) -> Result<NamedTempFile, TurnError> {
    let write = || {
        let file = NamedTempFile::with_prefix("codex-output-schema-")?;
        serde_json::to_writer(file.as_file(), schema)?;
        Ok(file)
    };
    write().map_err(|source| TurnError::Io {
        action: "writing the output schema to a temporary file",
        source,
    })
}

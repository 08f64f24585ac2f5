use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::NamedTempFile;

use super::{builder::Config, environment::Environment, rollout, turn_state::Resumed};
use crate::turn::{TurnError, TurnRequest};

/// A command that runs a request.
pub(super) struct Invocation {
    pub(super) program: PathBuf,
    pub(super) command: Command,
    pub(super) resumed: Option<Resumed>,
    /// The file is removed when this is dropped.
    pub(super) output_schema: Option<NamedTempFile>,
}

impl Invocation {
    /// Checks the request, finds the binary, and reads the resumed thread's usage. Blocks on the disk.
    pub(super) fn prepare(config: &Config, request: &TurnRequest) -> Result<Self, TurnError> {
        check(request)?;
        let environment = Environment {
            clear: config.env_clear,
            request,
        };
        let program = find_codex(config.codex.as_deref(), &environment)?;
        let output_schema = request.output_schema().map(write_schema).transpose()?;
        let schema_path = output_schema.as_ref().map(NamedTempFile::path);

        let mut command = Command::new(&program);
        command.args(arguments(config, request, schema_path));
        environment.apply(&mut command);

        let resumed = thread_id(request).map(|thread_id| Resumed {
            previous_usage: request
                .previous_usage()
                .or_else(|| rollout::thread_usage(&environment.codex_home()?, &thread_id)),
            thread_id,
        });
        Ok(Self {
            program,
            command,
            resumed,
            output_schema,
        })
    }
}

/// Rejects what Codex would misread without an error.
fn check(request: &TurnRequest) -> Result<(), TurnError> {
    let invalid = |reason| Err(TurnError::InvalidRequest { reason });
    if let Some(path) = request.working_directory()
        && !path.is_dir()
    {
        let path = path.to_owned();
        return Err(TurnError::WorkingDirectory { path });
    }
    for image in request.images() {
        let path = image.display();
        if !image.is_file() {
            return invalid(format!("the image {path} is not a file"));
        }
        if image.as_os_str().as_encoded_bytes().contains(&b',') {
            return invalid(format!(
                "the path of the image {path} has a comma, at which Codex splits it: rename the file"
            ));
        }
    }
    let mut texts = request
        .config()
        .flat_map(|(key, value)| [key, value])
        .chain(request.model());
    if texts.any(|text| text.contains('\0')) {
        return invalid("the model or a configuration value has a NUL character".to_owned());
    }
    if request.resume().is_some_and(|id| !is_thread_id(id)) {
        return invalid(
            "the id of the thread to resume is not 32 hexadecimal digits in 5 groups: use \
             `Turn::thread_id`"
                .to_owned(),
        );
    }
    Ok(())
}

/// Returns the id of the thread to resume, in Codex's own spelling.
fn thread_id(request: &TurnRequest) -> Option<String> {
    request.resume().map(str::to_ascii_lowercase)
}

fn is_thread_id(text: &str) -> bool {
    let groups = text.split('-').map(|group| {
        let hex = group.bytes().all(|byte| byte.is_ascii_hexdigit());
        hex.then_some(group.len())
    });
    groups.eq([8, 4, 4, 4, 12].map(Some))
}

fn find_codex(
    configured: Option<&Path>,
    environment: &Environment<'_>,
) -> Result<PathBuf, TurnError> {
    let from_env = environment.get("CODEX_PATH");
    let from_env = from_env.filter(|path| !path.is_empty());
    let (program, searched) = match (configured, from_env) {
        (Some(path), _) => (path.into(), path.display().to_string()),
        (None, Some(path)) => {
            let searched = format!("CODEX_PATH={}", path.display());
            (path, searched)
        }
        (None, None) => ("codex".into(), "codex on the PATH".to_owned()),
    };
    let here = env::current_dir().unwrap_or_default();
    which::which_in(program, environment.get("PATH"), here)
        .map_err(|_| TurnError::CodexNotFound { searched })
}

/// Returns the command line. Codex rejects the flags before `resume` after it, except for `--image`, which
/// takes all values that follow, and so the id of the thread.
fn arguments(
    config: &Config,
    request: &TurnRequest,
    output_schema: Option<&Path>,
) -> Vec<OsString> {
    let flag = |name: &str, value: &OsStr| {
        let mut flag = OsString::from(format!("--{name}="));
        flag.push(value);
        flag
    };
    let mut arguments: Vec<OsString> = vec!["exec".into(), "--json".into()];
    for (key, value) in request.config() {
        arguments.push(flag("config", format!("{key}={value}").as_ref()));
    }
    let sandbox = request.sandbox().map(|mode| mode.as_str().as_ref());
    let directory = request.working_directory().map(Path::as_os_str);
    for (name, value) in [
        ("model", request.model().map(OsStr::new)),
        ("sandbox", sandbox),
        ("cd", directory),
    ] {
        arguments.extend(value.map(|value| flag(name, value)));
    }
    for directory in request.additional_directories() {
        arguments.push(flag("add-dir", directory.as_ref()));
    }
    for (enabled, name) in [
        (config.skip_git_repo_check, "--skip-git-repo-check"),
        (config.ephemeral, "--ephemeral"),
        (config.ignore_user_config, "--ignore-user-config"),
    ] {
        arguments.extend(enabled.then(|| name.into()));
    }
    arguments.extend(output_schema.map(|path| flag("output-schema", path.as_ref())));
    if let Some(thread_id) = thread_id(request) {
        arguments.extend(["resume".into(), thread_id.into()]);
    }
    for image in request.images() {
        arguments.push(flag("image", image.as_ref()));
    }
    arguments
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

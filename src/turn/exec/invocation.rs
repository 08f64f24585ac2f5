use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::NamedTempFile;

use super::{builder::Config, rollout, turn_state::Resumed};
use crate::{
    call::CodexRequest,
    turn::{
        ApprovalPolicy, TurnError, TurnRequest,
        cli::{Environment, check, find_codex, thread_id, toml},
        tool_server::ToolAccess,
    },
};

/// The variable that has the token of the request's MCP server.
const TOKEN: &str = "CODEX_TELEMETRY_MCP_TOKEN";

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
    pub(super) fn prepare(
        config: &Config,
        request: &TurnRequest,
        tools: Option<&dyn ToolAccess>,
    ) -> Result<Self, TurnError> {
        check(request)?;
        check_images(request)?;
        check_policy(request)?;
        let environment = Environment {
            clear: config.env_clear,
            changes: &request.settings().environment,
        };
        let program = find_codex(config.codex.as_deref(), &environment)?;
        let output_schema = request.output_schema().map(write_schema).transpose()?;
        let schema_path = output_schema.as_ref().map(NamedTempFile::path);

        let mut command = Command::new(&program);
        command.args(arguments(config, request, tools, schema_path));
        environment.apply(&mut command, request.context());
        if let Some(tools) = tools {
            command.env(TOKEN, tools.token());
            environment.bypass_proxy(&mut command);
        }

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

/// Returns the command line. Codex rejects the flags before `resume` after it, except for `--image`, which
/// takes all values that follow, and so the id of the thread.
fn arguments(
    config: &Config,
    request: &TurnRequest,
    tools: Option<&dyn ToolAccess>,
    output_schema: Option<&Path>,
) -> Vec<OsString> {
    let flag = |name: &str, value: &OsStr| {
        let mut flag = OsString::from(format!("--{name}="));
        flag.push(value);
        flag
    };
    let mut arguments: Vec<OsString> = vec!["exec".into(), "--json".into()];
    let own = request.config();
    let own = own.map(|(key, value)| (key.to_owned(), value.clone()));
    // After what the request sets, which may have a server of the same name.
    for (key, value) in own.chain(tools.into_iter().flat_map(tool_server)) {
        let mut text = format!("{key}=");
        toml::write(&mut text, &value);
        arguments.push(flag("config", text.as_ref()));
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
        (request.ephemeral() == Some(true), "--ephemeral"),
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

/// Returns the configuration of an MCP server, and what hides its token from commands.
fn tool_server(tools: &dyn ToolAccess) -> [(String, Value); 2] {
    let mut server = tools.config();
    server.insert("bearer_token_env_var".to_owned(), TOKEN.into());
    [
        (format!("mcp_servers.{}", tools.server()), server.into()),
        // Not by `exclude`, which would replace the list of the user.
        (format!("shell_environment_policy.set.{TOKEN}"), "".into()),
    ]
}

/// Rejects a policy that Codex would ignore.
fn check_policy(request: &TurnRequest) -> Result<(), TurnError> {
    match request.approval_policy() {
        None | Some(ApprovalPolicy::Never) => Ok(()),
        Some(policy) => Err(TurnError::InvalidRequest {
            reason: format!(
                "the approval policy is {}, but `codex exec` never asks: use `CodexAppServer`",
                policy.as_str()
            ),
        }),
    }
}

/// Rejects a path that Codex would split.
fn check_images(request: &TurnRequest) -> Result<(), TurnError> {
    for image in request.images() {
        if image.as_os_str().as_encoded_bytes().contains(&b',') {
            let path = image.display();
            return Err(TurnError::InvalidRequest {
                reason: format!(
                    "the path of the image {path} has a comma, at which Codex splits it: rename the file"
                ),
            });
        }
    }
    Ok(())
}

fn write_schema(schema: &Value) -> Result<NamedTempFile, TurnError> {
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

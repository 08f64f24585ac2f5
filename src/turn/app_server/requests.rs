//! The parameters of requests.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{host_calls, router::Trace, thread_tools::ThreadTools, threads::ThreadSettings};
use crate::{
    call::CallContext,
    tool::HostTools,
    turn::{TurnError, TurnRequest, cli::traceparent, prompt, tool_server},
};

/// The keys of the configuration that can change from turn to turn, and the parameters that do it.
const OF_TURN: &[(&str, &str)] = &[
    ("model_reasoning_effort", "effort"),
    ("model_reasoning_summary", "summary"),
];

/// Who answers the questions of Codex: this program. By its configuration Codex may have a model decide instead.
const REVIEWER: &str = "user";

/// Returns with what a request wants its thread to run.
pub(super) fn settings(request: &TurnRequest) -> Result<ThreadSettings, TurnError> {
    let directories = request.additional_directories().iter();
    Ok(ThreadSettings {
        is_ephemeral: request.ephemeral() == Some(true) && request.resume().is_none(),
        model: request.model().map(str::to_owned),
        working_directory: request.working_directory().map(absolute).transpose()?,
        sandbox: request.sandbox(),
        additional_directories: directories
            .map(|path| absolute(path))
            .collect::<Result<_, _>>()?,
        approval_policy: request.approval_policy(),
        config: request
            .config()
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .collect(),
        tools: tool_server::open(request)?.map(ThreadTools),
    })
}

/// Returns the parameters that start a thread.
pub(super) fn start_thread(settings: &ThreadSettings, tools: Option<&HostTools>) -> Value {
    let mut params = of_thread(settings);
    if let Some(tools) = tools {
        // Codex keeps them with the thread: `thread/resume` has no such parameter.
        params.insert("dynamicTools".to_owned(), host_calls::dynamic_tools(tools));
    }
    params.insert("ephemeral".to_owned(), settings.is_ephemeral.into());
    // Codex then tells the end of each response of the model.
    params.insert("experimentalRawEvents".to_owned(), true.into());
    Value::Object(params)
}

/// Returns the parameters that load a thread.
pub(super) fn resume_thread(thread_id: &str, settings: &ThreadSettings) -> Value {
    let mut params = of_thread(settings);
    params.insert("threadId".to_owned(), thread_id.into());
    params.insert("excludeTurns".to_owned(), true.into());
    Value::Object(params)
}

fn of_thread(settings: &ThreadSettings) -> Map<String, Value> {
    let mut params = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            params.insert(name.to_owned(), value);
        }
    };
    set("model", settings.model.clone().map(Value::from));
    set("cwd", settings.working_directory.as_deref().map(path));
    set("sandbox", settings.sandbox.map(|mode| mode.as_str().into()));
    set(
        "approvalPolicy",
        settings
            .approval_policy
            .map(|policy| policy.as_str().into()),
    );
    set("approvalsReviewer", Some(REVIEWER.into()));
    let mut config: Map<_, _> = settings.config.iter().cloned().collect();
    if !settings.additional_directories.is_empty() {
        let roots = settings.additional_directories.iter();
        let roots: Vec<_> = roots.map(|root| path(root)).collect();
        config.insert(
            "sandbox_workspace_write.writable_roots".to_owned(),
            roots.into(),
        );
    }
    config.extend(settings.tools.as_ref().map(ThreadTools::config));
    set("config", (!config.is_empty()).then(|| config.into()));
    params
}

/// Returns the parameters that start a turn, with what differs from `loaded`, with which the thread runs. Changes
/// `loaded` to what the thread runs with then.
pub(super) fn start_turn(
    thread_id: &str,
    request: &TurnRequest,
    wanted: &ThreadSettings,
    loaded: &mut ThreadSettings,
) -> Result<Value, TurnError> {
    let mut input = Vec::new();
    for image in request.images() {
        input.push(json!({"type": "localImage", "path": path(&absolute(image)?)}));
    }
    let prompt = prompt::with_files(request);
    input.push(json!({"type": "text", "text": prompt, "text_elements": []}));
    let mut params = Map::new();
    params.insert("threadId".to_owned(), thread_id.into());
    params.insert("input".to_owned(), input.into());
    // A thread that is loaded ignores it when it is resumed.
    params.insert("approvalsReviewer".to_owned(), REVIEWER.into());
    if let Some(schema) = request.output_schema() {
        params.insert("outputSchema".to_owned(), schema.clone());
    }
    change_config(wanted, loaded, &mut params)?;
    check_tools(wanted, loaded)?;
    change(&wanted.model, &mut loaded.model, |model| {
        params.insert("model".to_owned(), model.clone().into());
    });
    change(
        &wanted.working_directory,
        &mut loaded.working_directory,
        |directory| {
            params.insert("cwd".to_owned(), path(directory));
        },
    );
    change(
        &wanted.approval_policy,
        &mut loaded.approval_policy,
        |policy| {
            params.insert("approvalPolicy".to_owned(), policy.as_str().into());
        },
    );
    let has_other_directories = wanted.additional_directories != loaded.additional_directories;
    if wanted.sandbox.is_some() && (wanted.sandbox != loaded.sandbox || has_other_directories) {
        loaded.sandbox = wanted.sandbox;
        loaded
            .additional_directories
            .clone_from(&wanted.additional_directories);
        params.insert("sandboxPolicy".to_owned(), sandbox_policy(wanted));
    } else if has_other_directories {
        return Err(TurnError::InvalidRequest {
            reason:
                "the thread is loaded with other additional directories: set the sandbox as well"
                    .to_owned(),
        });
    }
    Ok(Value::Object(params))
}

/// Returns the settings without those that each turn can change. What they are is unknown then.
pub(super) fn without_those_of_turn(settings: ThreadSettings) -> ThreadSettings {
    let mut config = settings.config;
    config.retain(|(key, _)| OF_TURN.iter().all(|(of, _)| of != key));
    ThreadSettings {
        model: None,
        working_directory: None,
        sandbox: None,
        approval_policy: None,
        config,
        ..settings
    }
}

fn change<T: Clone + PartialEq>(wanted: &Option<T>, loaded: &mut Option<T>, set: impl FnOnce(&T)) {
    if let Some(value) = wanted
        && loaded.as_ref() != Some(value)
    {
        set(value);
        *loaded = Some(value.clone());
    }
}

/// Sets what the configuration of a request changes for a thread that is loaded. Most of it cannot change.
fn change_config(
    wanted: &ThreadSettings,
    loaded: &mut ThreadSettings,
    params: &mut Map<String, Value>,
) -> Result<(), TurnError> {
    let last = |config: &[(String, Value)], key: &str| {
        let mut config = config.iter().rev();
        config
            .find(|(of, _)| of == key)
            .map(|(_, value)| value.clone())
    };
    for (key, _) in &wanted.config {
        let value = last(&wanted.config, key);
        if value == last(&loaded.config, key) {
            continue;
        }
        let of_turn = OF_TURN.iter().find(|(of, _)| of == key);
        match (of_turn, value) {
            (Some((_, name)), Some(value)) => {
                params.insert((*name).to_owned(), value.clone());
                loaded.config.retain(|(of, _)| of != key);
                loaded.config.push((key.clone(), value));
            }
            _ => {
                return Err(TurnError::InvalidRequest {
                    reason: format!(
                        "the thread is loaded with another {key}, which Codex cannot change: set it in the \
                         first turn, or for the service"
                    ),
                });
            }
        }
    }
    Ok(())
}

/// Rejects an MCP server that the thread is not loaded with.
fn check_tools(wanted: &ThreadSettings, loaded: &ThreadSettings) -> Result<(), TurnError> {
    if wanted.tools.is_none() || wanted.tools == loaded.tools {
        return Ok(());
    }
    Err(TurnError::InvalidRequest {
        reason: "the thread is loaded without the MCP server of the request, which Codex cannot change: set it in the first \
                 turn"
            .to_owned(),
    })
}

fn sandbox_policy(settings: &ThreadSettings) -> Value {
    use crate::turn::Sandbox as S;
    match settings.sandbox {
        Some(S::WorkspaceWrite) => {
            let roots = settings.additional_directories.iter();
            let roots: Vec<_> = roots.map(|root| path(root)).collect();
            json!({
                "type": "workspaceWrite",
                "writableRoots": roots,
                "networkAccess": false,
                "excludeTmpdirEnvVar": false,
                "excludeSlashTmp": false,
            })
        }
        Some(S::DangerFullAccess) => json!({"type": "dangerFullAccess"}),
        Some(S::ReadOnly) | None => json!({"type": "readOnly", "networkAccess": false}),
    }
}

/// Returns the trace of a request, if its call is recorded or has a parent.
pub(super) fn trace(context: &CallContext) -> Option<Trace> {
    Some(Trace {
        traceparent: traceparent(&context.span_context()?)?,
        tracestate: context.tracestate(),
    })
}

/// Rejects what belongs to the server, and cannot change for one turn.
pub(super) fn check(request: &TurnRequest) -> Result<(), TurnError> {
    if request.environment().next().is_some() {
        return Err(TurnError::InvalidRequest {
            reason:
                "the request has an environment, but the server has one for all turns: set it with \
                     `CodexAppServerBuilder::env`"
                    .to_owned(),
        });
    }
    Ok(())
}

/// Returns an absolute path that is text: another one would be the path of something else for the server.
fn absolute(path: &Path) -> Result<PathBuf, TurnError> {
    let path = std::path::absolute(path).map_err(|source| TurnError::Io {
        action: "making a path of the request absolute",
        source,
    })?;
    if path.to_str().is_none() {
        return Err(TurnError::InvalidRequest {
            reason: format!(
                "the path {} is not UTF-8, as the server is told it",
                path.display()
            ),
        });
    }
    Ok(path)
}

fn path(path: &Path) -> Value {
    path.to_string_lossy().into()
}

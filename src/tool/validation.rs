//! What a specification has to be for Codex and for the models.

use std::sync::Arc;

use super::{ToolSpec, ToolSpecError, schema};

/// The most characters of a name. Codex takes 128 for a tool and 64 for a namespace, and cuts longer names of MCP tools.
pub(super) const MAX_NAME_LEN: usize = 64;

/// The names of Codex's own tools and namespaces, with those that its configuration can switch on.
///
/// Codex takes a tool of the program with the name of one that is on, and never calls it.
pub(super) const BUILT_IN: &[&str] = &[
    "apply_patch",
    "clock",
    "close_agent",
    "codex_app",
    "collaboration",
    "create_goal",
    "curr_time",
    "exec",
    "exec_command",
    "followup_task",
    "functions",
    "get_context_remaining",
    "get_goal",
    "image_gen",
    "image_generation",
    "interrupt_agent",
    "list_agents",
    "list_mcp_resource_templates",
    "list_mcp_resources",
    "local_shell",
    "mcp",
    "multi_agent_v1",
    "new_context",
    "read_mcp_resource",
    "request_permissions",
    "request_user_input",
    "request_user_input_async",
    "resume_agent",
    "send_input",
    "send_message",
    "send_message_to_user_async",
    "shell",
    "shell_command",
    "skills",
    "sleep",
    "spawn_agent",
    "tool_search",
    "update_goal",
    "update_plan",
    "view_image",
    "wait",
    "wait_agent",
    "wait_for_environment",
    "web",
    "web_search",
    "write_stdin",
];

/// Checks the name and the description of a namespace.
pub(super) fn check_namespace(name: &Arc<str>, description: &str) -> Result<(), ToolSpecError> {
    check_name("namespace", name, name)?;
    check_description(name, description)
}

/// Checks a specification by itself.
pub(super) fn check(spec: &ToolSpec) -> Result<(), ToolSpecError> {
    let name = spec.shared_name();
    match spec.parts() {
        (Some(_), tool) if is_name(tool) => {}
        (Some(_), _) => {
            return Err(ToolSpecError::InvalidName {
                of: "tool",
                name: Arc::clone(name),
            });
        }
        (None, tool) => check_name("tool", tool, name)?,
    }
    check_description(name, spec.description())?;
    schema::check(spec.input_schema()).map_err(|reason| ToolSpecError::InvalidSchema {
        tool: Arc::clone(name),
        reason,
    })
}

fn check_name(of: &'static str, name: &str, whole: &Arc<str>) -> Result<(), ToolSpecError> {
    let name_of = Arc::clone(whole);
    if !is_name(name) {
        return Err(ToolSpecError::InvalidName { of, name: name_of });
    }
    let name = name_in_scripts(name);
    // The tools of an MCP server are in a namespace that begins so.
    if BUILT_IN.contains(&&*name) || name.starts_with("mcp__") {
        return Err(ToolSpecError::BuiltIn { name: name_of });
    }
    Ok(())
}

fn check_description(name: &Arc<str>, description: &str) -> Result<(), ToolSpecError> {
    if description.trim().is_empty() {
        return Err(ToolSpecError::NoDescription {
            name: Arc::clone(name),
        });
    }
    Ok(())
}

/// Returns the name that a tool has for a model that calls tools from a script, as many models do. Of two tools with the
/// same one, the model gets one.
pub(super) fn name_in_scripts(name: &str) -> String {
    let mut name = name.replace('.', "__").replace('-', "_");
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        name.replace_range(..1, "_");
    }
    name
}

fn is_name(name: &str) -> bool {
    has_name_chars(name) && name.len() <= MAX_NAME_LEN
}

/// Returns whether a text has only characters that names have, and at least one.
pub(crate) fn has_name_chars(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    !name.is_empty() && name.bytes().all(is_allowed)
}

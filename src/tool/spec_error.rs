use std::sync::Arc;

/// A registry of tools cannot be built: a specification is wrong.
///
/// It says which one, and what to do. Codex itself takes most of these silently, and the tool then does not work.
///
/// ```
/// use codex_telemetry::tool::{ToolError, ToolService, ToolSpec, ToolSpecError, tool_fn};
///
/// let echo = tool_fn(|value: String, _context| async move { Ok::<_, ToolError>(value) });
/// let spec = |name: &str| ToolSpec::new(name, "Returns its arguments");
/// let built = |name: &str| ToolService::builder().tool(spec(name), echo.clone()).build();
///
/// assert!(built("echo").is_ok());
/// assert!(matches!(built("echo it"), Err(ToolSpecError::InvalidName { of: "tool", .. })));
/// assert_eq!(
///     built("words.echo").unwrap_err().to_string(),
///     "the tool `words.echo` is in a namespace that the registry does not have: add it with `namespace`"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ToolSpecError {
    /// The name of a tool or of a namespace has a character that names do not have, or a wrong length.
    #[error(
        "the name {name:?} of a {of} is invalid: use 1 to {max} of the characters a-z, A-Z, 0-9, _ and -",
        max = super::validation::MAX_NAME_LEN
    )]
    InvalidName {
        /// `tool` or `namespace`.
        of: &'static str,
        /// The name.
        name: Arc<str>,
    },
    /// Codex has a tool or a namespace of this name.
    #[error("the name `{name}` belongs to Codex: choose another one")]
    BuiltIn {
        /// The name.
        name: Arc<str>,
    },
    /// Two tools or two namespaces have the same name.
    #[error("the name `{name}` is registered twice: give one of the two another name")]
    Duplicate {
        /// The name.
        name: Arc<str>,
    },
    /// The names of two tools are the same in a script, where `-` and `.` are written with `_`.
    ///
    /// Many models call tools from a script, and Codex would leave out one of the two.
    #[error(
        "the names `{name}` and `{other}` are the same in a script: give one of the two another name"
    )]
    Ambiguous {
        /// The name of one tool.
        name: Arc<str>,
        /// The name of the other.
        other: Arc<str>,
    },
    /// The namespace of a tool is not registered.
    #[error(
        "the tool `{tool}` is in a namespace that the registry does not have: add it with `namespace`"
    )]
    UnknownNamespace {
        /// The name of the tool.
        tool: Arc<str>,
    },
    /// The description is empty, from which no model could know when to call the tool.
    #[error("`{name}` has no description: say what it does")]
    NoDescription {
        /// The name of the tool or the namespace.
        name: Arc<str>,
    },
    /// The schema of the arguments is invalid.
    #[error("the input schema of the tool `{tool}` is invalid: {reason}")]
    InvalidSchema {
        /// The name of the tool.
        tool: Arc<str>,
        /// What is wrong.
        reason: String,
    },
}

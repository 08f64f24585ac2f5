/// What Codex may do to the machine.
///
/// ```
/// use codex_telemetry::turn::Sandbox;
///
/// // A name in a configuration.
/// let sandbox = Sandbox::from_name("read-only");
/// assert_eq!(sandbox, Some(Sandbox::ReadOnly));
/// assert_eq!(Sandbox::from_name("sandpit"), None);
/// assert_eq!(Sandbox::WorkspaceWrite.as_str(), "workspace-write");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "json",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Sandbox {
    /// Read files, write none.
    ReadOnly,
    /// Write inside the working directory.
    WorkspaceWrite,
    /// Anything that the user running Codex may do.
    DangerFullAccess,
}

impl Sandbox {
    /// Returns Codex's name of the mode.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::WorkspaceWrite => "workspace-write",
            Self::DangerFullAccess => "danger-full-access",
        }
    }

    /// Returns the mode with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::ReadOnly, Self::WorkspaceWrite, Self::DangerFullAccess]
            .into_iter()
            .find(|mode| mode.as_str() == name)
    }
}

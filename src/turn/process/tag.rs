use std::process::Command;

use crate::event::id;

const VARIABLE: &str = "CODEX_TELEMETRY_TAG";

/// A variable in the environment of one child, which everything that it starts inherits.
#[derive(Debug)]
pub(super) struct Tag {
    /// As `NAME=VALUE`. The value begins with the id of this process.
    #[cfg(target_os = "linux")]
    pub(super) variable: String,
}

impl Tag {
    /// Tags a command, and what it will start.
    pub(super) fn set_on(command: &mut Command) -> Self {
        let value = format!("{}-{}", std::process::id(), id::span_id());
        command.env(VARIABLE, &value);
        Self {
            #[cfg(target_os = "linux")]
            variable: format!("{VARIABLE}={value}"),
        }
    }
}

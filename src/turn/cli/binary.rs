use std::{
    env,
    path::{Path, PathBuf},
};

use super::Environment;
use crate::turn::TurnError;

/// Finds the binary: the configured one, or else the one in `CODEX_PATH`, or else `codex` on the `PATH`.
pub(in crate::turn) fn find_codex(
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

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    error::Error,
    rungs::{CALLS, Rung},
};

/// The function of [`crate::rungs`] in which instructions count. No other name may contain this.
const COUNTED: &str = "*counted_calls*";

/// Runs this program again under callgrind, with one rung; returns the instructions per call.
///
/// Each rung has a process of its own, so that it does not depend on what the others leave in the allocator.
pub(crate) fn instructions(rung: &Rung) -> Result<f64, Error> {
    let program = env::current_exe().map_err(|error| Error::new(error.to_string()))?;
    let file = out_file(&program, rung);
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--trace-children=no"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(&program)
        .args(["--rung", rung.name])
        // The environment may tune the allocator and choose the `memcpy` of the C library.
        .env_clear()
        .envs(env::var_os("PATH").map(|path| ("PATH", path)))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::new(format!("valgrind does not start: {error}")))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let (name, status) = (rung.name, output.status);
        return Err(Error::new(format!("{name}: {status}: {stderr}")));
    }
    let text = fs::read_to_string(&file).map_err(|error| Error::at(&file, error))?;
    let total = total(&text).ok_or_else(|| Error::at(&file, "no line `totals: NUMBER`"))?;
    if total == 0 {
        return Err(Error::at(
            &file,
            "callgrind has not seen the counted function",
        ));
    }
    Ok(total as f64 / f64::from(CALLS))
}

/// Returns where callgrind writes the profile of a rung: beside the program, for `callgrind_annotate`.
pub(crate) fn out_file(program: &Path, rung: &Rung) -> PathBuf {
    let name = rung.name.replace([',', ' '], "-").replace("--", "-");
    program.with_file_name(format!("callgrind.{name}.out"))
}

/// Returns the instructions of a whole profile.
fn total(profile: &str) -> Option<u64> {
    let mut lines = profile.lines();
    lines
        .find_map(|line| line.strip_prefix("totals: "))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_a_profile_is_in_its_last_lines() {
        let profile = "events: Ir\nsummary: 7\n\nfn=(1) counted_calls\n12 7\n\ntotals: 481000\n";
        assert_eq!(total(profile), Some(481_000));
        assert_eq!(total("events: Ir\n"), None);
    }
}

use std::{
    env,
    io::Write,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const DIRECTORY: &str = "CODEX_TELEMETRY_TEST_DIRECTORY";

/// The exit code of a shell that cannot set up what a test needs.
const SETUP_FAILED: i32 = 77;

/// Returns a command that runs one ignored test of this binary in a child process.
///
/// `prefix` is a command line that runs the command line that follows it. It can be empty.
pub(super) fn command(prefix: &[String], test: &str, directory: &Path) -> Command {
    let binary = env::current_exe().unwrap();
    let mut command = match prefix {
        [] => Command::new(binary),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(binary);
            command
        }
    };
    command
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    command
}

/// Returns the directory that [`command`] has passed, or `None` if a person runs the ignored tests.
pub(super) fn directory() -> Option<PathBuf> {
    env::var_os(DIRECTORY).map(PathBuf::from)
}

/// Runs one ignored test of this binary as [`command`] does, and fails if it fails.
///
/// If the machine does not allow the prefix, it prints that the test is skipped.
pub(super) fn run(prefix: &[String], test: &str, directory: &Path) {
    let output = command(prefix, test, directory)
        .stdout(Stdio::piped())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return print_skipped(test, &error.to_string()),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(SETUP_FAILED) {
        return print_skipped(test, &stderr);
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{} (signal {:?})\n{stdout}\n{stderr}",
        output.status,
        output.status.signal()
    );
}

/// Returns a prefix that runs a shell command first.
pub(super) fn after(set_up: &str) -> Vec<String> {
    let script = format!("{{ {set_up}; }} || exit {SETUP_FAILED}; exec \"$0\" \"$@\"");
    ["sh", "-c", &script].map(str::to_owned).to_vec()
}

/// Returns a prefix that runs a shell command first, in a mount namespace of its own.
pub(super) fn after_mounting(set_up: &str) -> Vec<String> {
    // Tried first, because a failed `unshare` looks the same as a failed test.
    let mut prefix = after("unshare --user --map-root-user --mount true");
    prefix.extend(["unshare", "--user", "--map-root-user", "--mount"].map(str::to_owned));
    prefix.extend(after(set_up));
    prefix
}

fn print_skipped(test: &str, reason: &str) {
    // Not `eprintln!`, which the test harness captures.
    let _ = writeln!(
        std::io::stderr(),
        "skipped {test}: this machine does not allow it: {}",
        reason.trim()
    );
}

use std::{
    env,
    io::Write,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const DIRECTORY: &str = "CODEX_TELEMETRY_TEST_DIRECTORY";

/// What a shell exits with that cannot set up what a test is about.
const CANNOT: i32 = 77;

/// A command that runs one test of this binary, for the process that a test needs besides its own.
///
/// `before` is a command line that runs what follows it, or is empty.
pub(super) fn command(before: &[String], test: &str, directory: &Path) -> Command {
    let this = env::current_exe().unwrap();
    let mut command = match before {
        [] => Command::new(this),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(this);
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

/// The directory that [`command`] was given; `None` when somebody runs the ignored tests by hand.
pub(super) fn directory() -> Option<PathBuf> {
    env::var_os(DIRECTORY).map(PathBuf::from)
}

/// Runs one test of this binary as [`command`] says, and fails when it does.
///
/// Where the machine does not allow what stands before it, that is said on standard error.
pub(super) fn run(before: &[String], test: &str, directory: &Path) {
    let output = command(before, test, directory)
        .stdout(Stdio::piped())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return skip(test, &error.to_string()),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(CANNOT) {
        return skip(test, &stderr);
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{} (signal {:?})\n{stdout}\n{stderr}",
        output.status,
        output.status.signal()
    );
}

/// A shell that sets something up, as far as it is allowed, and then becomes what follows.
pub(super) fn after(set_up: &str) -> Vec<String> {
    let script = format!("{{ {set_up}; }} || exit {CANNOT}; exec \"$0\" \"$@\"");
    ["sh", "-c", &script].map(str::to_owned).to_vec()
}

/// The same, with mounts of its own, which end with it.
pub(super) fn after_mounting(set_up: &str) -> Vec<String> {
    // Asked first: that `unshare` failed could not be told from a test that did.
    let mut shell = after("unshare --user --map-root-user --mount true");
    shell.extend(["unshare", "--user", "--map-root-user", "--mount"].map(str::to_owned));
    shell.extend(after(set_up));
    shell
}

fn skip(test: &str, why: &str) {
    // Not by `eprintln!`, which the harness keeps to itself while a test passes.
    let _ = writeln!(
        std::io::stderr(),
        "skipped: {test}, as this machine does not allow it: {}",
        why.trim()
    );
}

//! The programs and the environment that the commands of the page need.

use std::{
    env, fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The variable that, set to `1`, makes a run without the tools fail.
const REQUIRED: &str = "CODEX_TELEMETRY_REQUIRE_RUNBOOK";

/// Commands that succeed if the tools of the page are installed.
const TOOLS: &[&str] = &[
    "jq --version",
    "pgrep --version",
    "ps --version",
    "flock --version",
    "setsid --version",
    "find --version",
    "stat --version",
    "bash --version",
];

/// Whether the tools of the page are installed.
///
/// # Panics
///
/// If one is missing and the tools are required.
pub(crate) fn are_available() -> bool {
    let works = |tool: &&&str| {
        let (name, version) = tool.split_once(' ').unwrap();
        let mut command = Command::new(name);
        command.arg(version).stdin(Stdio::null());
        command.output().is_ok_and(|output| output.status.success())
    };
    let Some(missing) = TOOLS.iter().find(|tool| !works(tool)) else {
        return true;
    };
    skip(&format!(
        "the commands of RUNBOOK.md, because `{missing}` does not work here, see the top of RUNBOOK.md"
    ));
    false
}

/// Reports a test that does nothing, because a tool is missing.
///
/// # Panics
///
/// If the tools are required.
pub(crate) fn skip(what: &str) {
    assert!(
        env::var_os(REQUIRED).is_none_or(|value| value != "1"),
        "this is required: {what}"
    );
    // Unlike the print macros, this is not captured: a run that tested nothing reports it.
    let line = format!("\nSKIPPED: {what}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Returns a command for bash with `directory` as its home, which starts in `checkout`, a stand-in for a checkout.
pub(crate) fn bash(directory: &Path) -> Command {
    let checkout = directory.join("checkout");
    let programs = directory.join("programs");
    let temporary = directory.join("tmp");
    for directory in [&checkout, &programs, &temporary] {
        fs::create_dir(directory).unwrap();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    symlink(root.join("tests"), checkout.join("tests")).unwrap();
    fs::write(programs.join("cargo"), cargo()).unwrap();
    fs::set_permissions(programs.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = env::var("PATH").unwrap_or_default();

    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile"])
        .current_dir(checkout)
        .env_clear()
        .env("HOME", directory)
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("TMPDIR", temporary);
    bash
}

/// Returns the directory of the examples that `cargo test` builds beside the tests.
pub(crate) fn examples() -> PathBuf {
    let test = env::current_exe().unwrap();
    // From target/PROFILE/deps/runbook-HASH to target/PROFILE/examples.
    test.ancestors().nth(2).unwrap().join("examples")
}

/// Returns a script in place of cargo, which runs examples that are already built: a test must not wait for a build.
fn cargo() -> String {
    format!(
        r#"#!/bin/sh
test "$1 $2 $3" = "run --quiet --example" || {{ echo "cargo $*: not in a test" >&2; exit 1; }}
example='{}'/$4
test -x "$example" || {{ echo "$example is not built: run \`cargo test\` as a whole" >&2; exit 1; }}
shift 4
test "$1" = -- && shift
exec "$example" "$@"
"#,
        examples().display()
    )
}

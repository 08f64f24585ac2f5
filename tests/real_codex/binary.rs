//! Finds the real Codex.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

/// The variable with the path of a binary to test.
const NAMED: &str = "CODEX_TELEMETRY_TEST_CODEX";

/// The variable that makes a run without a binary fail, when it is `1`.
const REQUIRED: &str = "CODEX_TELEMETRY_REQUIRE_CODEX";

/// Where npm puts the native binary, as in `scripts/fetch-codex`.
const LAYOUTS: &[&str] = &[
    "node_modules/@openai/codex-*/vendor/*/bin/codex",
    "node_modules/@openai/codex/node_modules/@openai/codex-*/vendor/*/bin/codex",
    "node_modules/@openai/codex/vendor/*/bin/codex",
];

/// Returns the binary; `None` when it is missing and not required.
pub(crate) fn codex() -> Option<&'static Path> {
    static FOUND: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
        let found = find();
        if let Err(why) = &found
            && !is_required()
        {
            // The test harness captures the output of the print macros, but not this.
            let line = format!("\nSKIPPED: all tests with the real Codex, because {why}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        found
    });
    match &*FOUND {
        Ok(path) => Some(path),
        Err(why) if is_required() => panic!("{why}"),
        Err(_) => None,
    }
}

/// Returns whether a run without the binary fails. It does when the path of a binary is wrong.
fn is_required() -> bool {
    env::var_os(NAMED).is_some() || env::var_os(REQUIRED).is_some_and(|value| value == "1")
}

fn find() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os(NAMED) {
        let path = PathBuf::from(named);
        if !path.is_file() {
            return Err(format!("{NAMED}={} is not a file", path.display()));
        }
        return Ok(path);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let base = root.join("target/codex");
    let version = wanted_version(root);
    let mut candidates = LAYOUTS
        .iter()
        .flat_map(|layout| matching(vec![base.join(&version)], layout));
    candidates
        .find(|path| runs(path, &base, &version))
        .ok_or_else(|| {
            format!(
                "Codex {version} is not under {}: run scripts/fetch-codex, or name a binary in {NAMED}",
                base.display()
            )
        })
}

/// Returns the version that the script fetches.
fn wanted_version(root: &Path) -> String {
    let script = fs::read_to_string(root.join("scripts/fetch-codex")).unwrap();
    let line = script
        .lines()
        .find_map(|line| line.strip_prefix("version="));
    line.expect("scripts/fetch-codex names a version")
        .to_owned()
}

/// Returns the files below `roots` with the path `layout`, in which `*` is the rest of a name.
fn matching(roots: Vec<PathBuf>, layout: &str) -> Vec<PathBuf> {
    layout.split('/').fold(roots, |parents, part| {
        let Some((start, _)) = part.split_once('*') else {
            return parents.iter().map(|parent| parent.join(part)).collect();
        };
        let entries = parents
            .iter()
            .filter_map(|parent| fs::read_dir(parent).ok());
        let named = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(start))
        };
        let paths = entries.flatten().flatten().map(|entry| entry.path());
        paths.filter(named).collect()
    })
}

/// Returns whether the binary runs on this machine. The package for another one may be beside it.
fn runs(path: &Path, home: &Path, version: &str) -> bool {
    let output = Command::new(path)
        .arg("--version")
        .env("CODEX_HOME", home)
        .stdin(Stdio::null())
        .output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(version))
}

//! The queries of a page, and the names that Prometheus' and Tempo's own grammars find in them.

use std::{
    env,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use crate::tools::skip;

/// A query of a page.
#[derive(Debug, Serialize)]
pub(super) struct Query<'a> {
    pub(super) language: &'static str,
    pub(super) text: &'a str,
    /// The page and the line of its block.
    #[serde(skip)]
    pub(super) place: String,
}

/// What a parser finds in a query.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Parsed {
    pub(super) error: Option<String>,
    /// The selectors of `PromQL`.
    pub(super) selectors: Vec<Selector>,
    /// The labels of each `by`, with the metrics that it applies to.
    pub(super) groups: Vec<Group>,
    /// The attributes of `TraceQL`.
    pub(super) attributes: Vec<Matcher>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Selector {
    pub(super) metric: String,
    pub(super) matchers: Vec<Matcher>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Group {
    pub(super) labels: Vec<String>,
    pub(super) metrics: Vec<String>,
}

/// A label or an attribute with what it is compared with.
#[derive(Debug, Deserialize)]
pub(super) struct Matcher {
    pub(super) name: String,
    /// Empty if it is not compared.
    pub(super) operator: String,
    pub(super) value: String,
}

/// Returns the queries in the blocks of a page. An empty line separates them.
pub(super) fn queries<'a>(name: &str, page: &'a str) -> Vec<Query<'a>> {
    let mut queries = Vec::new();
    for language in ["promql", "traceql"] {
        let start = format!("\n```{language}\n");
        for (at, _) in page.match_indices(&start) {
            let block = &page[at + start.len()..];
            let (block, _) = block.split_once("\n```").unwrap();
            let line = page[..at].lines().count() + 2;
            queries.extend(block.split("\n\n").map(|text| Query {
                language,
                text,
                place: format!("{name}:{line}"),
            }));
        }
    }
    queries
}

/// Parses queries, or returns `None` if the parsers are missing and not required.
pub(super) fn parse(queries: &[Query<'_>]) -> Option<Vec<Parsed>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = packages();
    let node = Command::new("node")
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    if !packages.is_dir() || node.is_err() {
        skip("the check of the queries, because their parsers are missing: run scripts/queries");
        return None;
    }
    let mut node = Command::new("node")
        .arg(root.join("tests/runbook/queries/parse.cjs"))
        .arg(packages)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = serde_json::to_vec(queries).unwrap();
    node.stdin.take().unwrap().write_all(&input).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "the parser failed: {output:?}");
    let parsed: Vec<Parsed> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(parsed.len(), queries.len());
    Some(parsed)
}

/// The directory in which `scripts/queries` installs the parsers.
fn packages() -> PathBuf {
    let test = env::current_exe().unwrap();
    // From target/PROFILE/deps/runbook-HASH to target/queries.
    test.ancestors().nth(3).unwrap().join("queries")
}

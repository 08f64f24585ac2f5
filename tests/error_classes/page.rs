//! `docs/error-classes.md` agrees with the code, and with the tests that prove its rows.

use std::{fs, path::Path};

use codex_telemetry::ErrorClass;

const PAGE: &str = include_str!("../../docs/error-classes.md");

/// A row of the tables of failures.
struct Failure {
    cause: &'static str,
    message: &'static str,
    /// The class by `codex exec`, or if there is none, by app-server.
    class: ErrorClass,
    /// What the page says of app-server.
    by_app_server: ByAppServer,
    /// The body of the test that proves it.
    test: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ByAppServer {
    Same,
    Otherwise(ErrorClass),
    Harmless,
    /// The failure cannot happen by `codex exec`.
    Alone,
}

/// The lists of what is otherwise by app-server.
const LISTS: &str = include_str!("../real_codex/table.rs");

/// What tries a failure by each transport.
const BY_BOTH: &[&str] = &[
    "each_reply_fails(",
    "request_fails_at_the_model(",
    "each_request_is_rejected(",
    "each_tool_fails(",
    "each_by_both(",
    "Transport::ALL",
    "Transport::AppServer",
];

fn section(title: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n## {title}\n")).unwrap();
    rest.split("\n## ").next().unwrap()
}

/// Returns the cells of a row, or `None` for a table's head and for any other line.
fn cells(line: &'static str) -> Option<Vec<&'static str>> {
    let row = line.strip_prefix("| ")?.strip_suffix(" |")?;
    let cells: Vec<_> = row.split('|').map(str::trim).collect();
    (!["class", "cause"].contains(&cells[0])).then_some(cells)
}

/// Returns the text of a cell without backticks.
fn code(cell: &'static str) -> &'static str {
    cell.trim_matches('`').trim()
}

fn class(cell: &'static str) -> ErrorClass {
    let name = code(cell);
    let known = ErrorClass::ALL.iter().find(|class| class.as_str() == name);
    *known.unwrap_or_else(|| panic!("unknown class {name}"))
}

/// Returns the body of a test of `tests/real_codex`, which is named as `file::function`.
fn body(test: &str) -> String {
    let (file, function) = test.split_once("::").unwrap();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_codex");
    let source = fs::read_to_string(directory.join(file).with_extension("rs"));
    let source = source.unwrap_or_else(|error| panic!("{test}: {error}"));
    let (before, rest) = source
        .split_once(&format!("async fn {function}("))
        .unwrap_or_else(|| panic!("unknown test {test}"));
    assert!(before.ends_with("#[tokio::test]\n"), "{test} is no test");
    let body = rest.split("\n}\n").next().unwrap();
    // A quote within a text is escaped there.
    body.replace("\\\"", "\"")
}

fn failures() -> Vec<Failure> {
    let mut test = String::new();
    let mut failures = Vec::new();
    for line in section("The failures").lines() {
        if let Some(name) = line.strip_prefix("Proved by `") {
            test = body(name.trim_end_matches("`:"));
        }
        let Some(cells) = cells(line) else { continue };
        let [cause, message, by_exec, by_app_server] = cells[..] else {
            panic!("{line}");
        };
        let (named, by_app_server) = match (by_exec, by_app_server) {
            ("–", alone) => (alone, ByAppServer::Alone),
            (by_exec, "same") => (by_exec, ByAppServer::Same),
            (by_exec, "–") => (by_exec, ByAppServer::Harmless),
            (by_exec, other) => (by_exec, ByAppServer::Otherwise(class(other))),
        };
        failures.push(Failure {
            cause,
            message: code(message),
            class: class(named),
            by_app_server,
            test: test.clone(),
        });
    }
    failures
}

/// Returns the name of the variant, such as `RateLimit`.
fn variant(class: ErrorClass) -> String {
    format!("{class:?}")
}

#[test]
fn every_class_has_its_row_in_order() {
    let rows: Vec<_> = section("The classes").lines().filter_map(cells).collect();
    let named: Vec<_> = rows.iter().map(|row| class(row[0])).collect();
    assert_eq!(named, ErrorClass::ALL);
    for (row, class) in rows.iter().zip(named) {
        let [_, retry, happened, to_do] = row[..] else {
            panic!("{row:?}");
        };
        assert_eq!(retry == "↻", class.is_retryable(), "{class}");
        assert!(!happened.is_empty() && !to_do.is_empty(), "{class}");
    }
}

#[test]
fn every_failure_has_the_class_and_the_message_that_its_test_proves() {
    let failures = failures();
    assert!(failures.len() >= 30, "{} rows", failures.len());
    for Failure {
        cause,
        message,
        class,
        test,
        ..
    } in failures
    {
        let variant = variant(class);
        let Some((_, row)) = test.split_once(&format!("\"{cause}\"")) else {
            // The test proves one failure and does not name it.
            assert!(
                test.contains(&format!("::{variant}")),
                "{cause}: not {variant}"
            );
            assert!(
                message == "–" || test.contains(message),
                "{cause}: not {message}"
            );
            continue;
        };
        // The first class after the cause is that of the row.
        let (before, after) = row
            .split_once("C::")
            .unwrap_or_else(|| panic!("{cause}: no class after it"));
        let is_class = after
            .strip_prefix(&variant)
            .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
        assert!(is_class, "{cause}: not {variant}");
        let text = if before.contains('"') { before } else { &test };
        assert!(
            message == "–" || text.contains(message),
            "{cause}: not {message}"
        );
    }
}

/// Returns the texts of a list of `table.rs`, and the class behind each, if there is one.
fn list(name: &str) -> Vec<(String, Option<String>)> {
    let (_, list) = LISTS.split_once(&format!("const {name}: ")).unwrap();
    let list = list
        .split("\n];")
        .next()
        .unwrap()
        .split_once('=')
        .unwrap()
        .1;
    let mut texts: Vec<(String, Option<String>)> = Vec::new();
    let mut is_text = false;
    for part in list.split('"') {
        if is_text {
            texts.push((part.to_owned(), None));
        } else if let Some((_, behind)) = part.split_once("ErrorClass::") {
            let class = behind.split(|c: char| !c.is_alphanumeric()).next();
            texts.last_mut().unwrap().1 = class.map(str::to_owned);
        }
        is_text = !is_text;
    }
    texts
}

#[test]
fn every_failure_is_by_app_server_as_its_test_proves() {
    // A cause, and then the text with the class.
    let otherwise = list("OTHERWISE");
    let otherwise: Vec<_> = otherwise.chunks(2).collect();
    let harmless = list("HARMLESS");
    for failure in failures() {
        let Failure {
            cause,
            class,
            by_app_server,
            test,
            ..
        } = failure;
        let is_by_both = BY_BOTH.iter().any(|by| test.contains(by));
        assert!(
            is_by_both || by_app_server == ByAppServer::Alone,
            "{cause}: the test does not try it by app-server"
        );
        let is_harmless = harmless.iter().any(|(text, _)| text == cause);
        assert_eq!(
            is_harmless,
            by_app_server == ByAppServer::Harmless,
            "{cause}"
        );
        let listed = otherwise.iter().find(|row| row[0].0 == cause);
        let listed = listed.map_or_else(|| variant(class), |row| row[1].1.clone().unwrap());
        match by_app_server {
            ByAppServer::Otherwise(other) => assert_eq!(listed, variant(other), "{cause}"),
            _ => assert_eq!(listed, variant(class), "{cause}"),
        }
    }
}

#[test]
fn every_failure_that_is_otherwise_by_app_server_has_a_row() {
    let listed: Vec<_> = failures().iter().map(|failure| failure.cause).collect();
    let otherwise = list("OTHERWISE");
    let causes = otherwise.chunks(2).map(|row| &row[0]);
    for (cause, _) in causes.chain(&list("HARMLESS")) {
        assert!(listed.contains(&&**cause), "{cause} is not on the page");
    }
}

#[test]
fn every_failure_of_a_test_has_a_row() {
    let listed: Vec<_> = failures().iter().map(|failure| failure.cause).collect();
    for file in [
        "statuses",
        "responses",
        "startup",
        "refusals",
        "endings",
        "tool_failures",
        "app_server_errors",
    ] {
        let path = format!("{}/tests/real_codex/{file}.rs", env!("CARGO_MANIFEST_DIR"));
        let source = fs::read_to_string(path).unwrap();
        // A row is a cause, a message and a class.
        let mut texts = source.split("C::").collect::<Vec<_>>();
        texts.pop();
        for text in texts {
            let literals: Vec<_> = text
                .replace("\\\"", "'")
                .split('"')
                .map(str::to_owned)
                .collect();
            let [.., cause, between, _message, behind] = &literals[..] else {
                continue;
            };
            if between.trim() == "," && behind.trim() == "," {
                assert!(
                    listed.contains(&&**cause),
                    "{file}: {cause} is not on the page"
                );
            }
        }
    }
}

#[test]
fn every_failure_without_a_class_is_in_a_test() {
    let unclassified = section("What has no class");
    let name = unclassified
        .lines()
        .find_map(|line| line.strip_prefix("Proved by `"))
        .unwrap();
    let test = body(name.trim_end_matches("`:"));
    let rows: Vec<_> = unclassified
        .lines()
        .filter_map(|line| line.strip_prefix("- "))
        .collect();
    assert!(!rows.is_empty());
    for cause in rows {
        assert!(test.contains(&format!("\"{cause}\"")), "no row {cause}");
    }
}

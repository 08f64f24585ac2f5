//! The queries over metrics and spans use names that are exported.
//!
//! They are compared with the export of a turn that succeeds, of one that fails, and of tools. Of the queries'
//! grammar, only brackets and known words are checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use codex_telemetry::ErrorClass;

use crate::{
    page::{Language, PAGE, blocks},
    receiver::{Attributes, Metric, MetricKind, Receiver, Span},
    tools::examples,
};

/// The functions of `PromQL` that the page uses.
const FUNCTIONS: &[&str] = &["histogram_quantile", "increase", "rate", "sum"];

/// The intrinsic fields of `TraceQL` and their values that the page uses.
const INTRINSICS: &[&str] = &["duration", "error", "name", "status"];

#[derive(Clone, Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Text(&'a str),
    Number(&'a str),
    Sign(char),
}

/// The names in a query.
#[derive(Debug, Default, PartialEq)]
struct Names<'a> {
    metrics: Vec<&'a str>,
    labels: Vec<&'a str>,
}

fn tokens(query: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    let mut open = Vec::new();
    let mut rest = query.trim_start();
    while let Some(first) = rest.chars().next() {
        let in_word = |c: char| c.is_ascii_alphanumeric() || "_.:".contains(c);
        let length = match first {
            '"' => {
                let end = rest[1..].find('"').ok_or("a string is not closed")?;
                tokens.push(Token::Text(&rest[1..=end]));
                end + 2
            }
            c if in_word(c) => {
                let end = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
                let word = &rest[..end];
                tokens.push(if c.is_ascii_digit() {
                    Token::Number(word)
                } else {
                    Token::Word(word)
                });
                end
            }
            c if c.is_ascii() => {
                match c {
                    '(' => open.push(')'),
                    '[' => open.push(']'),
                    '{' => open.push('}'),
                    ')' | ']' | '}' if open.pop() != Some(c) => {
                        return Err(format!("unmatched {c}"));
                    }
                    _ => {}
                }
                tokens.push(Token::Sign(c));
                1
            }
            c => return Err(format!("unexpected {c}")),
        };
        rest = rest[length..].trim_start();
    }
    match open.pop() {
        Some(close) => Err(format!("missing {close}")),
        None => Ok(tokens),
    }
}

fn promql(query: &str) -> Result<Names<'_>, String> {
    use Token::{Number, Sign, Text, Word};

    let tokens = tokens(query)?;
    let mut names = Names::default();
    // Whether a word is a label here: between braces, or behind `by`.
    let mut labels = vec![false];
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| &tokens[at]);
        let next = tokens.get(at + 1);
        match token {
            Sign('{') => labels.push(true),
            Sign('(') => labels.push(before == Some(&Word("by"))),
            Sign('}' | ')') => drop(labels.pop()),
            Sign('[') if !matches!(next, Some(Number(_))) => {
                return Err("[ without a duration".into());
            }
            Word(label) if labels.last() == Some(&true) => names.labels.push(label),
            Word("by") => {}
            Word(function) if next == Some(&Sign('(')) || next == Some(&Word("by")) => {
                if !FUNCTIONS.contains(function) {
                    return Err(format!("unknown function {function}"));
                }
            }
            Word(metric) => names.metrics.push(metric),
            Text(_) if labels.last() != Some(&true) => return Err("a string outside of {}".into()),
            Sign(_) | Number(_) | Text(_) => {}
        }
    }
    match names.metrics[..] {
        [] => Err("the query has no metric".into()),
        _ => Ok(names),
    }
}

/// Returns the span attributes in a query, each with the string that it is compared with.
fn traceql(query: &str) -> Result<BTreeMap<&str, Option<&str>>, String> {
    let tokens = tokens(query)?;
    if tokens.first() != Some(&Token::Sign('{')) {
        return Err("the query does not start with {".into());
    }
    let mut attributes = BTreeMap::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        match word.strip_prefix("span.") {
            Some(attribute) => {
                let behind = tokens[at + 1..].iter();
                let value = behind.skip_while(|token| matches!(token, Token::Sign('=' | '~')));
                let value = value.take(1).find_map(|token| match token {
                    Token::Text(text) => Some(*text),
                    _ => None,
                });
                attributes.insert(attribute, value);
            }
            None if INTRINSICS.contains(word) => {}
            None => return Err(format!("unknown field {word}")),
        }
    }
    Ok(attributes)
}

/// Returns the names of a metric in Prometheus, and the names of its labels.
fn prometheus(metric: &Metric) -> (Vec<String>, BTreeSet<String>) {
    let underscored = |name: &str| name.replace('.', "_");
    let unit = match metric.unit.as_str() {
        "s" => "_seconds",
        "By" => "_bytes",
        // Prometheus has no unit for an annotation.
        annotation if annotation.starts_with('{') => "",
        other => panic!("{metric:?}: the name of the unit {other:?} in Prometheus is unknown"),
    };
    let name = underscored(&metric.name) + unit;
    let (suffixes, mut labels) = match metric.kind {
        MetricKind::Histogram => (&["_bucket", "_count", "_sum"][..], vec!["le".to_owned()]),
        MetricKind::Sum { monotonic: true } => (&["_total"][..], vec![]),
        _ => (&[""][..], vec![]),
    };
    let points = metric.points.iter();
    labels.extend(points.flat_map(|point| point.attributes.keys().map(|key| underscored(key))));
    let names = suffixes.iter().map(|suffix| format!("{name}{suffix}"));
    (names.collect(), labels.into_iter().collect())
}

/// Returns what turns and tools export: the metrics by their names in Prometheus, and the spans.
fn exported() -> (BTreeMap<String, BTreeSet<String>>, Vec<Span>) {
    let receiver = Receiver::http();
    let endpoint = receiver.endpoint();
    let good = r#"
        echo '{"type":"thread.started","thread_id":"t"}'
        echo '{"type":"item.completed","item":{"id":"i","type":"command_execution","command":"ls",
            "aggregated_output":"","exit_code":1,"status":"failed"}}' | tr -d '\n'
        echo
        echo '{"type":"turn.completed","usage":{"input_tokens":1,"output_tokens":1}}'
    "#;
    let bad = r#"echo '{"type":"turn.failed","error":{"message":"rate limit exceeded"}}'"#;
    for script in [good, bad] {
        let fake = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/turn/fake-codex");
        let mut exec = Command::new(examples().join("exec"));
        exec.arg("hello")
            .env("CODEX_PATH", fake)
            .env("FAKE_CODEX", script)
            .env("CODEX_OTLP_ENDPOINT", &endpoint);
        exec.output().unwrap();
    }
    let mut metrics: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for metric in receiver.metrics() {
        let (names, labels) = prometheus(&metric);
        for name in names {
            metrics.entry(name).or_default().extend(labels.clone());
        }
    }
    (metrics, receiver.spans())
}

fn queries(language: Language) -> Vec<(usize, String)> {
    let blocks = blocks(PAGE).unwrap();
    let blocks = blocks
        .into_iter()
        .filter(|block| block.language == language);
    let queries: Vec<_> = blocks
        .flat_map(|block| {
            let texts: Vec<_> = block.text.split("\n\n").map(str::to_owned).collect();
            texts.into_iter().map(move |text| (block.line, text))
        })
        .collect();
    assert!(!queries.is_empty(), "the page has no query in {language:?}");
    queries
}

#[test]
fn every_query_uses_names_that_are_exported() {
    let (metrics, spans) = exported();
    for (line, query) in queries(Language::PromQl) {
        let names =
            promql(&query).unwrap_or_else(|error| panic!("line {line}: {error} in\n{query}"));
        let known: Option<Vec<_>> = names
            .metrics
            .iter()
            .map(|name| metrics.get(*name))
            .collect();
        let known = known.unwrap_or_else(|| {
            panic!("line {line}: unknown metric in {query}\nexported: {metrics:#?}")
        });
        for label in names.labels {
            let has = known.iter().any(|labels| labels.contains(label));
            assert!(has, "line {line}: unknown label {label} in {query}");
        }
    }

    let exported: Vec<&Attributes> = spans.iter().map(|span| &span.attributes).collect();
    for (line, query) in queries(Language::TraceQl) {
        let attributes =
            traceql(&query).unwrap_or_else(|error| panic!("line {line}: {error} in\n{query}"));
        for (attribute, value) in attributes {
            let has = exported
                .iter()
                .any(|span| match (span.get(attribute), value) {
                    (Some(_), _) if attribute == "error.type" => {
                        let classes = ErrorClass::ALL.iter().map(|class| class.as_str());
                        value.is_none_or(|value| classes.clone().any(|class| class == value))
                    }
                    (Some(_), None) => true,
                    (Some(exported), Some(value)) => exported.as_str() == Some(value),
                    (None, _) => false,
                });
            assert!(has, "line {line}: no span has {attribute} {value:?}");
        }
    }
}

#[test]
fn an_invalid_query_is_an_error() {
    let names = promql(r#"sum by (a) (rate(m_total{b!=""}[5m])) / sum(n)"#).unwrap();
    assert_eq!(names.metrics, ["m_total", "n"]);
    assert_eq!(names.labels, ["a", "b"]);
    for bad in [
        "rate(m[5m]",
        "rate(m[5m]))",
        "rate(m[])",
        "rates(m[5m])",
        "sum by (a) ()",
        "m{a=\"b}",
        "m + \"b\"",
    ] {
        assert!(promql(bad).is_err(), "{bad}: {:?}", promql(bad));
    }

    let attributes = traceql(r#"{ span.a.b = "c" && duration > 5s }"#).unwrap();
    assert_eq!(attributes, BTreeMap::from([("a.b", Some("c"))]));
    for bad in ["{ span.a = 1", "span.a = 1", "{ length > 5s }"] {
        assert!(traceql(bad).is_err(), "{bad}");
    }
}

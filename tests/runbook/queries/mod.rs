//! The queries of RUNBOOK.md and of the pages in docs/ parse, and use names that are exported.

mod exported;
mod parser;

use std::{collections::BTreeMap, fs, path::Path};

use self::{
    exported::Exported,
    parser::{Query, parse, queries},
};

/// Returns the texts of RUNBOOK.md and of the pages in docs/ by their names.
fn pages() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    docs.chain([root.join("RUNBOOK.md")])
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

#[test]
fn every_query_parses_and_uses_names_that_are_exported() {
    let pages = pages();
    let pages = pages.iter();
    let queries: Vec<_> = pages.flat_map(|(name, page)| queries(name, page)).collect();
    for language in ["promql", "traceql"] {
        let found = queries.iter().any(|query| query.language == language);
        assert!(found, "no page has a query in {language}");
    }
    let Some(parsed) = parse(&queries) else {
        return;
    };
    let exported = Exported::by_turns();
    let wrong: Vec<_> = queries
        .iter()
        .zip(&parsed)
        .filter_map(|(query, parsed)| {
            let error = exported.check(parsed).err()?;
            Some(format!("{}: {error} in\n{}\n", query.place, query.text))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "\n{}\nexported: {exported:#?}",
        wrong.join("\n")
    );
}

#[test]
fn a_query_with_a_mistake_is_an_error() {
    let labels = |names: &[&str]| {
        let names = names
            .iter()
            .map(|name| ((*name).to_owned(), ["b".to_owned()].into()));
        names.collect::<BTreeMap<_, _>>()
    };
    let exported = Exported {
        metrics: [("m_total".to_owned(), labels(&["a", "error_type"]))].into(),
        attributes: labels(&["span.a", "span.error.type"]),
    };
    let cases = [
        ("promql", "sum by (a) (increase(m_total[5m]))", ""),
        (
            "promql",
            r#"m_total{a="b"} - (m_total offset 5m or m_total)"#,
            "",
        ),
        (
            "promql",
            r#"m_total{error_type!="",error_type!="cancelled"}"#,
            "",
        ),
        ("promql", r#"m_total{error_type="rate_limit"}"#, ""),
        ("promql", r#"m_total{error_type="cancelled"}"#, ""),
        ("promql", r#"m_total{error_type="_OTHER"}"#, ""),
        (
            "promql",
            r#"m_total{error_type="other"}"#,
            r#"is never "other""#,
        ),
        ("traceql", "{ span.a > 5 }", ""),
        ("promql", "rate(m_total[5m]", "unexpected end"),
        ("promql", "rate(m_total[5m]))", "unexpected )"),
        ("promql", "rate(m_total[])", "unexpected"),
        ("promql", "rates(m_total[5m])", "unexpected"),
        ("promql", r#"m_total{a="b}"#, "unexpected"),
        ("promql", "1 + 1", "selects nothing"),
        ("promql", "rate(m[5m])", "no metric m is exported"),
        ("promql", "m_total - n", "no metric n is exported"),
        ("promql", "sum by (c) (m_total)", "m_total has no label c"),
        ("promql", r#"m_total{c="b"}"#, "nothing has c"),
        ("promql", r#"m_total{a="c"}"#, r#"a is never "c""#),
        (
            "promql",
            r#"m_total{error_type="rate"}"#,
            r#"is never "rate""#,
        ),
        ("promql", r#"m_total{a=~"b|c"}"#, "compare it with = or !="),
        ("promql", r#"m_total{error_type!=""}"#, "include cancelled"),
        ("traceql", r#"{ span.a = "b" && duration > 5s }"#, ""),
        (
            "traceql",
            r#"{ span.error.type = "timeout" } | rate() by (span.a)"#,
            "",
        ),
        ("traceql", "{ span.a = \"b\" ", "unexpected end"),
        ("traceql", "{ length > 5s }", "unexpected length"),
        ("traceql", "{ status = wrong }", "unexpected wrong"),
        ("traceql", "{ span.b = 1 }", "nothing has span.b"),
        ("traceql", r#"{ .a = "b" }"#, "nothing has .a"),
        ("traceql", r#"{ span.a = "c" }"#, r#"is never "c""#),
        ("traceql", "{ span.error.type != nil }", "include cancelled"),
    ];
    let queries: Vec<_> = cases
        .iter()
        .map(|&(language, text, _)| Query {
            language,
            text,
            place: String::new(),
        })
        .collect();
    let Some(parsed) = parse(&queries) else {
        return;
    };
    for ((_, text, error), parsed) in cases.iter().zip(&parsed) {
        let found = exported.check(parsed).err().unwrap_or_default();
        assert!(
            found.contains(error) && found.is_empty() == error.is_empty(),
            "{text}: {found:?}"
        );
    }
}

//! Patterns: how the page shows output that differs from run to run.

/// Matches any text within a line; alone on a line, any number of lines.
const ANY: char = '…';

/// Whether a text matches a pattern. Whitespace at the end of a line is ignored.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let lines = |text: &'_ str| -> Vec<String> {
        text.lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    };
    lines_match(&lines(pattern), &lines(text))
}

fn lines_match(pattern: &[String], text: &[String]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [any, rest @ ..] if any.chars().eq([ANY]) => {
            (0..=text.len()).any(|skipped| lines_match(rest, &text[skipped..]))
        }
        [line, rest @ ..] => text
            .split_first()
            .is_some_and(|(first, others)| line_matches(line, first) && lines_match(rest, others)),
    }
}

/// Whether a line matches a line of a pattern.
pub(crate) fn line_matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split(ANY);
    let Some(mut rest) = parts.next().and_then(|start| line.strip_prefix(start)) else {
        return false;
    };
    let Some(end) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(end)
}

#[test]
fn a_pattern_without_an_ellipsis_matches_only_itself() {
    assert!(matches("a\nb\n", "a\nb  \n"));
    for other in ["", "a\n", "a\nb\nc\n", "a\nbb\n", "b\na\n"] {
        assert!(!matches("a\nb\n", other), "{other:?}");
    }
    assert!(matches("", ""));
    assert!(!matches("", "a\n"));
}

#[test]
fn an_ellipsis_within_a_line_matches_any_text_of_that_line() {
    assert!(matches("… took … ms", "it took 12.5 ms"));
    assert!(matches("so it ends…", "so it ends"));
    for other in ["it took 12 s", "it took 12.5 ms or so", "it took\n12 ms"] {
        assert!(!matches("… took … ms", other), "{other:?}");
    }
    assert!(!line_matches("ab…bc", "abc"));
    assert!(!line_matches("…a…a", "a"));
}

#[test]
fn an_ellipsis_alone_on_a_line_matches_any_number_of_lines() {
    for text in ["b\n", "a\nb\n", "a\na\nb\n"] {
        assert!(matches("…\nb\n", text), "{text:?}");
    }
    assert!(matches("a\n…\n", "a\nb\nc\n"));
    assert!(!matches("…\nb\n", "a\nb\nc\n"));
}

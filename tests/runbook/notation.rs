//! How the page writes what differs from one time to the next.

/// Stands for any text within a line, and alone on a line for any number of lines.
const ANY: char = '…';

/// Whether a text is what a pattern says; blanks at the end of a line do not count.
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
fn a_text_without_the_sign_is_itself_alone() {
    assert!(matches("a\nb\n", "a\nb  \n"));
    for other in ["", "a\n", "a\nb\nc\n", "a\nbb\n", "b\na\n"] {
        assert!(!matches("a\nb\n", other), "{other:?}");
    }
    assert!(matches("", ""));
    assert!(!matches("", "a\n"));
}

#[test]
fn the_sign_within_a_line_is_any_text_there() {
    assert!(matches("… took … ms", "it took 12.5 ms"));
    assert!(matches("so it ends…", "so it ends"));
    for other in ["it took 12 s", "it took 12.5 ms or so", "it took\n12 ms"] {
        assert!(!matches("… took … ms", other), "{other:?}");
    }
    assert!(!line_matches("ab…bc", "abc"));
    assert!(!line_matches("…a…a", "a"));
}

#[test]
fn the_sign_alone_is_any_number_of_lines() {
    for text in ["b\n", "a\nb\n", "a\na\nb\n"] {
        assert!(matches("…\nb\n", text), "{text:?}");
    }
    assert!(matches("a\n…\n", "a\nb\nc\n"));
    assert!(!matches("…\nb\n", "a\nb\nc\n"));
}

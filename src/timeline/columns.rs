//! How wide a text is on a terminal, and what of it a terminal or a page may get.

/// Ranges of characters that take two columns: the wide ones of East Asia, and pictures.
const WIDE: &[(char, char)] = &[
    ('\u{1100}', '\u{115f}'),
    ('\u{231a}', '\u{231b}'),
    ('\u{23e9}', '\u{23f3}'),
    ('\u{25fd}', '\u{25fe}'),
    ('\u{2614}', '\u{2615}'),
    ('\u{2648}', '\u{2653}'),
    ('\u{26a1}', '\u{26a1}'),
    ('\u{2705}', '\u{2705}'),
    ('\u{270a}', '\u{270b}'),
    ('\u{2728}', '\u{2728}'),
    ('\u{274c}', '\u{274e}'),
    ('\u{2753}', '\u{2757}'),
    ('\u{2795}', '\u{2797}'),
    ('\u{2b1b}', '\u{2b1c}'),
    ('\u{2e80}', '\u{303e}'),
    ('\u{3041}', '\u{a4cf}'),
    ('\u{a960}', '\u{a97c}'),
    ('\u{ac00}', '\u{d7a3}'),
    ('\u{f900}', '\u{faff}'),
    ('\u{fe10}', '\u{fe19}'),
    ('\u{fe30}', '\u{fe6f}'),
    ('\u{ff00}', '\u{ff60}'),
    ('\u{ffe0}', '\u{ffe6}'),
    ('\u{16fe0}', '\u{18d08}'),
    ('\u{1b000}', '\u{1b2fb}'),
    ('\u{1f300}', '\u{1f64f}'),
    ('\u{1f680}', '\u{1f6ff}'),
    ('\u{1f900}', '\u{1faff}'),
    ('\u{20000}', '\u{3fffd}'),
];

/// Ranges of characters that take no column of their own: they combine with the one before.
const COMBINING: &[(char, char)] = &[
    ('\u{300}', '\u{36f}'),
    ('\u{483}', '\u{489}'),
    ('\u{591}', '\u{5bd}'),
    ('\u{610}', '\u{61a}'),
    ('\u{64b}', '\u{65f}'),
    ('\u{e31}', '\u{e31}'),
    ('\u{e34}', '\u{e3a}'),
    ('\u{e47}', '\u{e4e}'),
    ('\u{1ab0}', '\u{1aff}'),
    ('\u{1dc0}', '\u{1dff}'),
    ('\u{20d0}', '\u{20ff}'),
    ('\u{302a}', '\u{302d}'),
    ('\u{3099}', '\u{309a}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{fe20}', '\u{fe2f}'),
    ('\u{e0100}', '\u{e01ef}'),
];

/// Ranges of characters without a glyph, which may change the order of those around them, or are no text in XML.
const INVISIBLE: &[(char, char)] = &[
    ('\u{ad}', '\u{ad}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{fffe}', '\u{ffff}'),
    ('\u{e0000}', '\u{e007f}'),
];

/// Returns at most `max_chars` characters of `text`, of which those that a terminal would interpret are replaced.
///
/// A model may choose the text. A terminal interprets control characters, and some invisible ones turn text around.
pub(crate) fn printable(text: &str, max_chars: usize) -> String {
    let is_bad = |c: char| c.is_control() || is_in(INVISIBLE, c);
    let printable = |c| if is_bad(c) { '\u{fffd}' } else { c };
    let mut chars = text.chars().map(printable);
    let mut kept: String = chars.by_ref().take(max_chars).collect();
    if chars.next().is_some() {
        kept.pop();
        kept.push('…');
    }
    kept
}

/// Returns the number of columns of a text on a terminal.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// Returns `text`, or the start of it and `…` if it has more than `max` columns.
pub(super) fn shortened(text: &str, max: usize) -> String {
    // Characters count as well, because those that combine have no column.
    if columns(text) <= max && text.chars().count() <= max.saturating_mul(2) {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut left = max.saturating_sub(1);
    for c in text.chars().take(max.saturating_mul(2).saturating_sub(1)) {
        let columns = columns_of(c);
        if columns > left {
            break;
        }
        left -= columns;
        kept.push(c);
    }
    if max > 0 {
        kept.push('…');
    }
    kept
}

/// Returns `text` with spaces after it, up to `width` columns.
pub(crate) fn padded(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(columns(text));
    text.to_owned() + &" ".repeat(missing)
}

fn columns_of(c: char) -> usize {
    match c {
        c if c.is_ascii() => 1,
        c if is_in(COMBINING, c) => 0,
        c if is_in(WIDE, c) => 2,
        _ => 1,
    }
}

fn is_in(ranges: &[(char, char)], c: char) -> bool {
    // Most names are ASCII, which is in none.
    !c.is_ascii()
        && ranges
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_character_takes_two_columns_and_a_combining_one_none() {
        for (text, expected) in [
            ("shell", 5),
            ("検索", 4),
            ("a\u{301}", 1),
            ("🔍 web", 6),
            ("é", 1),
        ] {
            assert_eq!(columns(text), expected, "{text}");
            assert_eq!(columns(&padded(text, 8)), 8, "{text}");
        }
    }

    #[test]
    fn a_shortened_text_fits_and_ends_with_an_ellipsis() {
        for max in 1..9 {
            for text in [
                "a long name",
                "検索検索検索",
                "a\u{301}b\u{301}c\u{301}d\u{301}efghijk",
            ] {
                let short = shortened(text, max);
                assert!(columns(&short) <= max, "{short:?} has more than {max}");
                assert!(short.ends_with('…'), "{short:?}");
            }
        }
        assert_eq!(shortened("fits", 4), "fits");
        assert_eq!(shortened("fits", 0), "");
        let heap = "a".to_owned() + &"\u{301}".repeat(10_000);
        assert!(shortened(&heap, 10).chars().count() <= 20);
    }

    #[test]
    fn what_a_terminal_or_xml_would_interpret_is_replaced() {
        let text = "a\u{1b}[31m\n\u{202e}b\u{200b}\u{fffe}\0";
        assert_eq!(
            printable(text, 99),
            "a\u{fffd}[31m\u{fffd}\u{fffd}b\u{fffd}\u{fffd}\u{fffd}"
        );
        assert_eq!(printable("abcd", 4), "abcd");
        assert_eq!(printable("abcde", 4), "abc…");
    }
}

//! Matches the beginning of a text, without regard to case and to the kind of its apostrophes.

/// Returns what follows `words`, which are in lower case.
pub(super) fn strip<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let mut rest = text.chars();
    for word in words.chars() {
        let found = match rest.next()? {
            '’' => '\'',
            other => other.to_ascii_lowercase(),
        };
        if found != word {
            return None;
        }
    }
    Some(rest.as_str())
}

/// Returns what follows the first of `choices` that the text begins with.
pub(super) fn strip_any<'a>(text: &'a str, choices: &[&str]) -> Option<&'a str> {
    choices.iter().find_map(|words| strip(text, words))
}

/// Skips the first of `choices` that the text begins with, if there is one.
pub(super) fn skip_any<'a>(text: &'a str, choices: &[&str]) -> &'a str {
    strip_any(text, choices).unwrap_or(text)
}

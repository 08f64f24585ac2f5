use std::error::Error;

/// Truncates `text` to at most `limit` bytes, at a character boundary, and appends `…` if it was longer.
pub(crate) fn truncate(text: &mut String, limit: usize) {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
}

/// Returns the text of an error and of its sources, in one line.
pub(crate) fn error_text(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let part = error.to_string();
        // Some errors print their source themselves.
        if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_long_text_is_truncated_at_a_character_boundary() {
        for (text, limit, expected) in [("abc", 3, "abc"), ("abcd", 3, "abc…"), ("aäb", 2, "a…")]
        {
            let mut text = text.to_owned();
            truncate(&mut text, limit);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_source_that_the_error_prints_itself_is_not_repeated() {
        let outer = io::Error::other(io::Error::other("disk full"));
        assert_eq!(error_text(&outer), "disk full");
    }
}

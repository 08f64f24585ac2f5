use std::error::Error;

/// Truncates `text` to at most `limit` bytes, at a character boundary, and appends `…` if it was longer.
pub(crate) fn truncate(text: &mut String, limit: usize) {
    if let Some(truncated) = truncated(text, limit) {
        *text = truncated;
    }
}

/// Returns the text that [`truncate`] leaves, or `None` if `text` is not longer than `limit`.
#[inline]
pub(super) fn truncated(text: &str, limit: usize) -> Option<String> {
    (text.len() > limit).then(|| {
        let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end));
        format!("{}…", &text[..end.unwrap_or_default()])
    })
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
    use std::fmt;

    use super::*;

    /// An error with a source.
    #[derive(Debug)]
    struct Outer(&'static str, Option<Box<Outer>>);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|source| source as _)
        }
    }

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
        for (outer, text) in [
            ("write", "write: disk full"),
            ("write: disk full", "write: disk full"),
        ] {
            let error = Outer(outer, Some(Box::new(Outer("disk full", None))));
            assert_eq!(error_text(&error), text);
        }
    }
}

use std::ptr;

use serde_json::value::RawValue;

/// A line, split into the output of a command and the rest.
///
/// Outputs are most of what Codex writes. Of an output only the end is searched, five times as fast as JSON is parsed.
/// The rest is JSON with an empty string in its place.
pub(in crate::turn) struct SplitLine<'a> {
    rest: Vec<u8>,
    /// Where the rest has the empty string.
    place: usize,
    output: &'a [u8],
}

impl<'a> SplitLine<'a> {
    /// Splits a line at the first string whose key is `key`, which is that of an output; `None` if it has none.
    ///
    /// `key` is as Codex writes it, from its quote to that of the string: `"key":"`.
    pub(in crate::turn) fn new(line: &'a [u8], key: &[u8]) -> Option<Self> {
        let start = memchr::memmem::find(line, key)?;
        // Otherwise it may be the end of another key. A quote after one of these is none of a string, but opens or
        // closes it, so no text in a string looks like a key.
        let (b'{' | b',') = line.get(start.checked_sub(1)?)? else {
            return None;
        };
        let place = start + key.len() - 1;
        let end = place + 1 + string_length(&line[place + 1..])?;
        Some(Self {
            rest: [&line[..=place], &line[end..]].concat(),
            place,
            output: &line[place..=end],
        })
    }

    /// Returns the rest.
    pub(in crate::turn) fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// Returns the output, a JSON string with its quotes, if it was in the place of a field of the rest. Its text was not
    /// checked.
    pub(in crate::turn) fn output_of(&self, field: &RawValue) -> Option<&'a [u8]> {
        let is_there = ptr::eq(field.get().as_ptr(), &raw const self.rest[self.place]);
        is_there.then_some(self.output)
    }
}

/// Returns the length of the string that a text begins with, up to its closing quote.
fn string_length(text: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'"', text).find(|end| {
        let before = text[..*end].iter().rev();
        let backslashes = before.take_while(|byte| **byte == b'\\').count();
        backslashes % 2 == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::wire::Fields;

    const KEY: &[u8] = br#""out":""#;

    #[test]
    fn an_output_ends_at_the_first_quote_that_is_not_escaped() {
        for output in [
            r#""""#,
            r#""a\"b""#,
            r#""a\\""#,
            r#""\\\"\\\\""#,
            r#""é\n""#,
        ] {
            let line = format!(r#"{{"id":"i","out":{output},"text":"\"out\":\""}}"#);
            let split = SplitLine::new(line.as_bytes(), KEY).unwrap();
            let fields = Fields::from_line(split.rest()).unwrap();
            assert_eq!(fields.text("text").as_deref(), Some(r#""out":""#));
            assert_eq!(split.output, output.as_bytes());
            assert!(split.output_of(fields.get("id").unwrap()).is_none());
        }
    }

    #[test]
    fn a_line_without_an_output_is_not_split() {
        for line in [
            "",
            "{}",
            r#""out":"a""#,
            r#"{"x\"out":"a"}"#,
            r#"{"out": "a"}"#,
            r#"{"out":7}"#,
            r#"{"out":"a"#,
            r#"{"out":"a\""#,
            r#"{"text":"\"out\":\"a\""}"#,
        ] {
            assert!(SplitLine::new(line.as_bytes(), KEY).is_none(), "{line}");
        }
    }
}

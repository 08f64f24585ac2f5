//! Contents as text and as JSON, which stays valid when it is cut.

use std::io;

use serde::Serialize;

use super::{record::MAX_CONTENT_LEN, text::truncated};

/// What ends a text that was cut.
const CUT: &str = "…\"";

/// Serializes a value. A long one is cut as [`cut_json`] does, and what follows is not serialized.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    let mut prefix = Prefix(Vec::new());
    let is_whole = serde_json::to_writer(&mut prefix, value).is_ok();
    // Cut at any byte, so the last character may be incomplete.
    let text = prefix.0.utf8_chunks().next();
    let text = text.map(|chunk| chunk.valid()).unwrap_or_default();
    if is_whole {
        text.to_owned()
    } else {
        cut(text, MAX_CONTENT_LEN)
    }
}

/// Returns a JSON text, cut to the longest content if it is longer. It stays valid: a string that does not
/// fit is cut, what follows is left out, and what is open is closed.
#[cfg(any(test, all(feature = "turn", unix)))]
pub(crate) fn cut_json(json: &str) -> String {
    if json.len() <= MAX_CONTENT_LEN {
        json.to_owned()
    } else {
        cut(json, MAX_CONTENT_LEN)
    }
}

/// Returns a text, cut to the longest content if it is longer.
pub(crate) fn to_text(text: &str) -> String {
    truncated(text, MAX_CONTENT_LEN).unwrap_or_else(|| text.to_owned())
}

/// Takes bytes up to the longest content, then fails.
struct Prefix(Vec<u8>);

impl io::Write for Prefix {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = MAX_CONTENT_LEN - self.0.len();
        if left == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let taken = &bytes[..bytes.len().min(left)];
        self.0.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns valid JSON of `limit` bytes at most, for a valid JSON text or a prefix of one.
fn cut(json: &str, limit: usize) -> String {
    let mut closers = Vec::new();
    // The end of the last value that is whole, except for what is open.
    let mut whole = None;
    let mut is_key = false;
    let mut at = 0;
    while let Some(byte) = json.as_bytes().get(at)
        && at + closers.len() + CUT.len() < limit
    {
        match byte {
            b'"' => match string_end(json, at, limit - closers.len() - CUT.len()) {
                Ok(end) => {
                    at = end;
                    if !is_key {
                        whole = Some(at);
                    }
                    continue;
                }
                Err(_) if is_key => break,
                Err(end) => return close(&json[..end], CUT, &closers),
            },
            b'[' | b'{' => {
                is_key = *byte == b'{';
                closers.push(if is_key { '}' } else { ']' });
                whole = Some(at + 1);
            }
            b']' | b'}' => {
                closers.pop();
                whole = Some(at + 1);
            }
            b',' => {
                is_key = closers.last() == Some(&'}');
                whole = Some(at);
            }
            b':' => is_key = false,
            _ => {}
        }
        at += 1;
    }
    match whole {
        Some(end) => close(&json[..end], "", &closers),
        // A long number.
        None => "\"…\"".to_owned(),
    }
}

fn close(json: &str, end: &str, closers: &[char]) -> String {
    let mut closed = json.to_owned();
    closed.push_str(end);
    closed.extend(closers.iter().rev());
    closed
}

/// Returns the end of the string that begins at `start`, or, if that is behind `limit`, the end of its last
/// character that is not.
fn string_end(json: &str, start: usize, limit: usize) -> Result<usize, usize> {
    let mut end = start + 1;
    loop {
        let length = match json[end..].chars().next() {
            Some('"') => return Ok(end + 1),
            Some('\\') => escape_length(&json.as_bytes()[end..]),
            Some(other) => other.len_utf8(),
            None => return Err(end),
        };
        let next = end + length;
        // Not within a character: a text that is no JSON has an escape of any.
        if next > limit || !json.is_char_boundary(next) {
            return Err(end);
        }
        end = next;
    }
}

/// Returns the length of an escape sequence, or of the two that make up one character.
fn escape_length(json: &[u8]) -> usize {
    match json {
        // Half a character is no valid JSON.
        [
            b'\\',
            b'u',
            b'd' | b'D',
            b'8' | b'9' | b'a' | b'b' | b'A' | b'B',
            ..,
        ] => 12,
        [b'\\', b'u', ..] => 6,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use serde_json::{Value, json};

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,12}|[\\x00-\\x20\"\\\\]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            let entries = vec(("[a-z\"\\\\:,{}]{0,4}", inner.clone()), 0..5);
            prop_oneof![
                vec(inner, 0..5).prop_map(Value::from),
                entries.prop_map(|entries| entries.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_that_is_cut_anywhere_is_valid_and_within_the_limit(
            value in any_json(),
            is_pretty in any::<bool>(),
            end in any::<proptest::sample::Index>(),
            limit in 5..200_usize,
        ) {
            let text = if is_pretty { format!("{value:#}") } else { value.to_string() };
            // What was serialized up to the limit.
            let end = end.index(text.len() + 1);
            let prefix = text.as_bytes()[..end].utf8_chunks().next().map_or("", |chunk| chunk.valid());
            for json in [&*text, prefix] {
                let cut = cut(json, limit);
                prop_assert!(cut.len() <= limit, "{cut}");
                prop_assert!(serde_json::from_str::<Value>(&cut).is_ok(), "{cut}");
            }
        }

        #[test]
        fn any_text_is_cut_without_a_panic(text in "[\\[\\]{}\",:\\\\ud8ä]{0,40}", limit in 5..40_usize) {
            cut(&text, limit);
        }
    }

    #[test]
    fn the_string_at_the_end_is_cut_and_what_is_open_is_closed() {
        for (json, limit, expected) in [
            (r#"{"a":"xyzxyzxyz"}"#, 13, r#"{"a":"xy…"}"#),
            (r#"{"a":[1,2345678901234]}"#, 15, r#"{"a":[1]}"#),
            (r#"{"a":1,"long key":2}"#, 12, r#"{"a":1}"#),
            (
                r#"["\ud83d\ude00\ud83d\ude00"]"#,
                20,
                r#"["\ud83d\ude00…"]"#,
            ),
            (r#"["ääää"]"#, 10, r#"["ä…"]"#),
            ("12345678901234567890", 10, "\"…\""),
        ] {
            let cut = cut(json, limit);
            assert_eq!(cut, expected);
            assert!(cut.len() <= limit && serde_json::from_str::<Value>(&cut).is_ok());
        }
    }

    #[test]
    fn a_short_value_is_whole_and_a_long_one_is_cut() {
        let short = json!({"b": [1, "x"], "a": null});
        assert_eq!(to_json(&short), short.to_string());
        assert_eq!(cut_json(&short.to_string()), short.to_string());

        let long = json!([1, "ä\n".repeat(MAX_CONTENT_LEN)]);
        for cut in [to_json(&long), cut_json(&long.to_string())] {
            assert!((MAX_CONTENT_LEN - 16..=MAX_CONTENT_LEN).contains(&cut.len()));
            let cut: Value = serde_json::from_str(&cut).unwrap();
            assert!(cut[1].as_str().unwrap().ends_with('…'));
        }
    }
}

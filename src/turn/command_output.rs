use std::{
    borrow::Cow,
    fmt, iter,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use super::item::Hidden;

/// What a command printed.
///
/// Outputs are most of what Codex writes, and few of them are read. So one is kept as Codex wrote it, as a JSON string,
/// and decoded when it is used as a `&str`: by [`as_str`](Self::as_str), or by any method of `str`. From then on the
/// text is kept beside the JSON; [`decode`](Self::decode) does not keep it.
///
/// A clone shares the output. Two outputs are equal if their texts are. `Debug` shows the size of what is kept. As JSON,
/// with the feature `json`, it is a string.
///
/// Any output can be decoded: what is not UTF-8, and half of a surrogate pair, which no text can have, becomes `U+FFFD`,
/// and an escape that JSON does not have stays as it is.
///
/// ```
/// use codex_telemetry::turn::CommandOutput;
///
/// let output = CommandOutput::from("two\nlines");
/// assert_eq!(output, "two\nlines");
/// assert_eq!(output.lines().count(), 2);
/// assert_eq!(output.as_str().len(), 9);
/// // For a text that is read once.
/// assert_eq!(output.decode(), "two\nlines");
/// assert!(!output.is_empty());
/// assert_eq!(format!("{output:?}"), "*** (9 bytes)");
/// ```
#[derive(Clone)]
pub struct CommandOutput(Kept);

/// How an output is kept. Neither has room to grow.
#[derive(Clone)]
enum Kept {
    Text(Arc<str>),
    Json(Arc<Json>),
}

/// What is between the quotes of a JSON string, with escapes or with bytes that are not UTF-8.
struct Json {
    content: Box<[u8]>,
    /// Its text, once it was asked for.
    text: OnceLock<Box<str>>,
}

/// The length of an escape that is a UTF-16 unit, in bytes.
const UNIT: usize = r"\u0000".len();

// === impl CommandOutput ===

impl CommandOutput {
    /// Returns the output that a JSON value is; an empty one if that is not a string. What is between its quotes may be
    /// anything.
    pub(super) fn from_json(json: &[u8]) -> Self {
        let content = json
            .strip_prefix(b"\"")
            .and_then(|it| it.strip_suffix(b"\""));
        let Some(content) = content else {
            return Self::default();
        };
        let text = match memchr::memchr(b'\\', content) {
            Some(_) => None,
            None => str::from_utf8(content).ok(),
        };
        text.map(Self::from).unwrap_or_else(|| {
            Self(Kept::Json(Arc::new(Json {
                content: content.into(),
                text: OnceLock::new(),
            })))
        })
    }

    /// Returns the text. The first call decodes it, which takes a millisecond or two for each megabyte.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Kept::Text(text) => text,
            Kept::Json(kept) => kept.text.get_or_init(|| decode(&kept.content).into()),
        }
    }

    /// Returns the text, without keeping it if it has to be decoded.
    #[must_use]
    pub fn decode(&self) -> Cow<'_, str> {
        match &self.0 {
            Kept::Text(text) => Cow::Borrowed(text),
            Kept::Json(kept) => match kept.text.get() {
                Some(text) => Cow::Borrowed(text),
                None => Cow::Owned(decode(&kept.content)),
            },
        }
    }

    /// Returns whether the output is empty. It is not decoded for that.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Kept::Text(text) => text.is_empty(),
            Kept::Json(_) => false,
        }
    }

    /// Returns the size of what is kept, in bytes.
    pub(super) fn size(&self) -> usize {
        match &self.0 {
            Kept::Text(text) => text.len(),
            Kept::Json(kept) => kept.content.len(),
        }
    }
}

/// Decodes what is between the quotes of a JSON string. A backslash that begins no escape stays.
fn decode(content: &[u8]) -> String {
    // Nearly always it is UTF-8, and this looks at several bytes at once.
    let written =
        str::from_utf8(content).map_or_else(|_| String::from_utf8_lossy(content), Cow::Borrowed);
    let mut text = String::with_capacity(written.len());
    let mut rest = &*written;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        text.push_str(&rest[..at]);
        let (character, length) = escape(&rest[at..]);
        text.push(character);
        rest = &rest[at + length..];
    }
    text.push_str(rest);
    text
}

/// Returns the character of the escape that a text begins with, and the length of the escape.
fn escape(text: &str) -> (char, usize) {
    let character = match text.as_bytes().get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'"') => '"',
        Some(b'/') => '/',
        Some(b'\\') => '\\',
        Some(b'u') => return escape_of_units(text),
        _ => return ('\\', 1),
    };
    (character, 2)
}

/// Does the same for a `\u`. A character may be two of them; half of one is replaced.
fn escape_of_units(text: &str) -> (char, usize) {
    let Some(unit) = unit(text) else {
        return ('\\', 1);
    };
    let units = iter::once(unit).chain(self::unit(&text[UNIT..]));
    match char::decode_utf16(units).next() {
        Some(Ok(character)) => (character, character.len_utf16() * UNIT),
        _ => (char::REPLACEMENT_CHARACTER, UNIT),
    }
}

/// Returns the UTF-16 unit of the escape that a text begins with.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then(|| u16::from_str_radix(digits, 16).ok())?
}

/// Nothing.
impl Default for CommandOutput {
    fn default() -> Self {
        Self::from("")
    }
}

impl From<&str> for CommandOutput {
    fn from(text: &str) -> Self {
        Self(Kept::Text(text.into()))
    }
}

impl From<String> for CommandOutput {
    fn from(text: String) -> Self {
        Self(Kept::Text(text.into()))
    }
}

impl From<CommandOutput> for String {
    fn from(output: CommandOutput) -> Self {
        output.decode().into_owned()
    }
}

impl Deref for CommandOutput {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for CommandOutput {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for CommandOutput {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kept::Json(a), Kept::Json(b)) if a.content == b.content => true,
            _ => self.decode() == other.decode(),
        }
    }
}

impl Eq for CommandOutput {}

impl PartialEq<str> for CommandOutput {
    fn eq(&self, text: &str) -> bool {
        self.decode() == text
    }
}

impl PartialEq<&str> for CommandOutput {
    fn eq(&self, text: &&str) -> bool {
        self == *text
    }
}

impl PartialEq<String> for CommandOutput {
    fn eq(&self, text: &String) -> bool {
        self == text.as_str()
    }
}

impl fmt::Display for CommandOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.decode().fmt(f)
    }
}

impl fmt::Debug for CommandOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hidden(self.size()).fmt(f)
    }
}

#[cfg(feature = "json")]
impl serde::Serialize for CommandOutput {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Not the JSON that is kept: the serializer may be of another format.
        serializer.serialize_str(&self.decode())
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn output(json: &str) -> CommandOutput {
        CommandOutput::from_json(json.as_bytes())
    }

    #[test]
    fn an_output_is_decoded_when_it_is_asked_for() {
        for (json, text) in [
            (r#""""#, ""),
            (r#""plain é""#, "plain é"),
            (
                r#""\"\\\/\b\f\n\r\t\u001b\u00e9\ud83d\ude00é""#,
                "\"\\/\u{8}\u{c}\n\r\t\u{1b}é😀é",
            ),
            (r#""\\ud800""#, "\\ud800"),
        ] {
            let lazy = output(json);
            assert_eq!(lazy.decode(), text);
            assert_eq!(lazy.is_empty(), text.is_empty());
            assert_eq!(lazy.to_string(), text);
            assert_eq!(lazy, text);
            assert_eq!(lazy.as_str(), text);
            assert_eq!(lazy.decode(), text);
            assert_eq!(lazy.len(), text.len());
            assert_eq!(String::from(lazy), text);
        }
    }

    #[test]
    fn what_no_text_can_have_is_replaced_and_the_rest_of_the_output_is_kept() {
        for (json, text) in [
            (&br#""a\ud800""#[..], "a\u{fffd}"),
            (br#""\udc00b\n""#, "\u{fffd}b\n"),
            (br#""\ud800\n\ud83d\ude00""#, "\u{fffd}\n😀"),
            (br#""\ud800\u0041\udfff""#, "\u{fffd}A\u{fffd}"),
            (b"\"a\xffb\"", "a\u{fffd}b"),
            (b"\"a\xffb\\n\"", "a\u{fffd}b\n"),
            (b"\"a\x01b\\n\"", "a\u{1}b\n"),
            (br#""a\qb\n""#, "a\\qb\n"),
            (br#""\u12\n\u+123""#, "\\u12\n\\u+123"),
            (r#""\é\n\u12é4""#.as_bytes(), "\\é\n\\u12é4"),
            (br#""\n\""#, "\n\\"),
        ] {
            assert_eq!(CommandOutput::from_json(json), text, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_output_that_is_json_is_decoded_as_json(text in any::<String>(), escaped in "(\\\\[bfnrt/\"\\\\]|\\\\u[0-9a-fA-F]{4}|é){0,8}") {
            prop_assert_eq!(output(&serde_json::to_string(&text).unwrap()), text);
            let escaped = format!("\"{escaped}\"");
            if let Ok(text) = serde_json::from_str::<String>(&escaped) {
                prop_assert_eq!(output(&escaped), text);
            }
        }

        #[test]
        fn any_output_can_be_decoded(bytes in vec(any::<u8>(), 0..32), escaped in "[\\\\ud0-9é\"]{0,16}") {
            for json in [&*bytes, escaped.as_bytes(), format!("\"{escaped}\"").as_bytes()] {
                let output = CommandOutput::from_json(json);
                prop_assert_eq!(output.is_empty(), output.decode().is_empty());
            }
        }
    }

    #[test]
    fn outputs_are_equal_if_their_texts_are() {
        let same = ["a\n"; 2].map(CommandOutput::from).into_iter();
        let same: Vec<_> = same
            .chain([r#""a\n""#, r#""\u0061\n""#].map(output))
            .collect();
        let other = output(r#""a\r""#);
        for a in &same {
            for b in &same {
                assert_eq!(a, b);
            }
            assert_ne!(*a, other);
        }
    }

    #[test]
    fn a_clone_shares_the_text_and_debug_has_only_a_size() {
        let lazy = output(r#""secret\n""#);
        let clone = lazy.clone();
        assert_eq!(lazy.as_str().as_ptr(), clone.as_str().as_ptr());
        assert_eq!(format!("{lazy:?}"), "*** (8 bytes)");
    }

    #[test]
    fn what_is_not_a_string_is_no_output() {
        for json in ["7", "null", "[\"a\"]", "{}"] {
            assert_eq!(output(json), CommandOutput::default());
        }
    }
}

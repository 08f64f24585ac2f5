use std::collections::HashMap;

/// The minimum length of a secret, in bytes. Shorter values, such as `high` and `true`, reveal nothing and
/// are frequent in any text.
const MIN_LENGTH: usize = 8;

/// The length of the shortest passage that is replaced, in bytes.
const PASSAGE: usize = 16;

/// Replaces the content of others in a text that is recorded.
///
/// A value is replaced where it is whole. A text is replaced in passages, because it may be cut: every run of
/// 16 bytes that the text has as well. Both are found however they are escaped, as JSON or by `Debug`.
#[derive(Default)]
pub(super) struct Redactor {
    values: Vec<String>,
    texts: Vec<String>,
}

/// The passages of a text that is redacted, with their places.
struct Passages<'a> {
    places: HashMap<&'a [u8], Vec<usize>>,
    /// Whether a passage begins with bytes of this hash: most passages of a long secret are not in the map.
    maybe: Vec<bool>,
}

// === impl Redactor ===

impl Redactor {
    /// Adds a value.
    pub(super) fn add_value(&mut self, value: &str) {
        if value.len() >= MIN_LENGTH {
            self.values.push(value.to_owned());
        }
    }

    /// Adds a text.
    pub(super) fn add_text(&mut self, text: &str) {
        if text.len() < PASSAGE {
            self.add_value(text);
        } else {
            self.texts.push(text.to_owned());
        }
    }

    /// Returns a text with `***` in place of the values and passages.
    pub(super) fn apply(&self, text: &str) -> String {
        let mut hidden = vec![false; text.len()];
        for value in self.values.iter().flat_map(|value| forms(value, text)) {
            for at in memchr::memmem::find_iter(text.as_bytes(), &value) {
                hidden[at..at + value.len()].fill(true);
            }
        }
        let mut passages = Passages::new(text.as_bytes());
        for secret in self.texts.iter().flat_map(|secret| forms(secret, text)) {
            for passage in secret.as_bytes().windows(PASSAGE) {
                for at in passages.take(passage) {
                    hidden[at..at + PASSAGE].fill(true);
                }
            }
        }
        let mut redacted = String::with_capacity(text.len());
        let mut was_hidden = false;
        for (at, c) in text.char_indices() {
            let is_hidden = hidden[at..at + c.len_utf8()].contains(&true);
            if !is_hidden {
                redacted.push(c);
            } else if !was_hidden {
                redacted.push_str("***");
            }
            was_hidden = is_hidden;
        }
        redacted
    }
}

/// Returns the forms in which `text` may have a secret: as it is, as JSON, as JSON in JSON, and by `Debug`.
fn forms(secret: &str, text: &str) -> Vec<String> {
    let inside = |quoted: String| quoted[1..quoted.len() - 1].to_owned();
    let mut forms = vec![secret.to_owned()];
    // Every escape has a backslash.
    if text.contains('\\') {
        let json = |text: &str| inside(serde_json::Value::from(text).to_string());
        let once = json(secret);
        forms.extend([json(&once), once, inside(format!("{secret:?}"))]);
        forms.dedup();
    }
    forms
}

// === impl Passages ===

impl<'a> Passages<'a> {
    fn new(text: &'a [u8]) -> Self {
        let mut passages = Self {
            places: HashMap::new(),
            maybe: vec![false; 1 << 16],
        };
        for (at, passage) in text.windows(PASSAGE).enumerate() {
            passages.places.entry(passage).or_default().push(at);
            passages.maybe[hash(passage)] = true;
        }
        passages
    }

    /// Takes the places of a passage: a secret may have it a million times.
    fn take(&mut self, passage: &[u8]) -> Vec<usize> {
        if !self.maybe[hash(passage)] {
            return Vec::new();
        }
        self.places.remove(passage).unwrap_or_default()
    }
}

/// Returns a 16-bit hash of the first four bytes.
fn hash(passage: &[u8]) -> usize {
    let first = passage[..4]
        .iter()
        .fold(0, |all, byte| all << 8 | u32::from(*byte));
    (first.wrapping_mul(0x9e37_79b1) >> 16) as usize
}

/// Returns the lines of standard error without the messages that Codex logs, which have commands and arguments
/// of tools, and without values of the user's configuration.
///
/// Of `2026-11-22T07:00:00Z ERROR codex_core::tools: …` the time, the level and the module stay. A message
/// ends with the next log line, or with a line that begins with `thread '`; the last one, with a line that begins
/// with `Error` or `error:` as well, because Codex reports its own end last. A text that is cut may begin within
/// a message.
pub(super) fn without_log_messages(stderr: &str, is_cut: bool) -> String {
    let mut kept = Vec::new();
    let mut is_message = is_cut;
    let lines: Vec<_> = stderr.lines().collect();
    let last_log = lines.iter().rposition(|line| log_head(line).is_some());
    for (at, line) in lines.into_iter().enumerate() {
        if let Some(head) = log_head(line) {
            kept.push(format!("{head} …"));
            is_message = true;
        } else {
            let ends: &[&str] = match last_log {
                // A command in the message may have such a line.
                Some(last) if at < last => &["thread '"],
                _ => &["Error", "error:", "thread '"],
            };
            is_message &= !ends.iter().any(|start| line.starts_with(start));
            if !is_message {
                kept.push(without_setting(line));
            }
        }
    }
    kept.join("\n")
}

/// Returns a line without the value of a setting in the user's own configuration: in the excerpt `12 | key = …`
/// of the file, and in `invalid type: string …, expected a map`.
fn without_setting(line: &str) -> String {
    if let Some((number, _)) = line.split_once(" | ")
        && number.trim().parse::<u32>().is_ok()
    {
        return format!("{number} | …");
    }
    if let Some((before, rest)) = line.split_once(": string \"")
        && let Some((_, after)) = rest.rsplit_once("\", expected ")
    {
        return format!("{before}: string …, expected {after}");
    }
    line.to_owned()
}

fn log_head(line: &str) -> Option<&str> {
    let mut words = line.split_ascii_whitespace();
    let (time, level, module) = (words.next()?, words.next()?, words.next()?);
    let is_time = time.starts_with(|c: char| c.is_ascii_digit()) && time.contains('T');
    let is_level = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level);
    let end = line.find(module)? + module.len();
    (is_time && is_level && module.ends_with(':')).then(|| &line[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_secret_is_not_in_any_text_that_repeats_it(
            secret in "[a-zäß\"\\\\\n ’]{8,40}",
            before in "[A-Z ]{0,9}",
            after in "[A-Z ]{0,9}",
        ) {
            let json = serde_json::Value::from(&*secret).to_string();
            let nested = serde_json::Value::from(&*json).to_string();
            for repeated in [secret.clone(), json, nested, format!("{secret:?}")] {
                let text = format!("{before}{repeated}{after}");
                let mut values = Redactor::default();
                values.add_value(&secret);
                let mut texts = Redactor::default();
                texts.add_text(&secret);
                for redacted in [values.apply(&text), texts.apply(&text)] {
                    prop_assert!(!redacted.contains(|c: char| c.is_lowercase()), "{redacted}");
                }
            }
        }

        #[test]
        fn a_text_without_secrets_is_unchanged(text in any::<String>(), other in "[0-9]{20}") {
            let mut redactor = Redactor::default();
            redactor.add_text(&format!("a secret {other}"));
            redactor.add_value(&other);
            prop_assume!(!text.contains("a secret"));
            prop_assert_eq!(redactor.apply(&text), text);
        }
    }

    #[test]
    fn a_cut_text_is_replaced_and_a_cut_value_is_not() {
        let secret = "the first half, and the second half";
        let text = "x: first half, and the second";
        let mut redactor = Redactor::default();
        redactor.add_value(secret);
        assert_eq!(redactor.apply(text), text);
        redactor.add_text(secret);
        assert_eq!(redactor.apply(text), "x:***");
    }
}

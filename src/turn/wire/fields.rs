//! The fields of a JSON object, as text.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The keys that lines of Codex have, sorted by their bytes, so that they are found fast. Others are skipped.
const KEYS: &[&str] = &[
    "_meta",
    "additionalDetails",
    "additionalPermissions",
    "aggregatedOutput",
    "aggregated_output",
    "arguments",
    "cacheWriteInputTokens",
    "cache_write_input_tokens",
    "cachedInputTokens",
    "cached_input_tokens",
    "callId",
    "changes",
    "code",
    "codexErrorInfo",
    "codex_approval_kind",
    "command",
    "completed",
    "completedAtMs",
    "contentItems",
    "cwd",
    "delta",
    "diff",
    "durationMs",
    "error",
    "exitCode",
    "exit_code",
    "grantRoot",
    "id",
    "info",
    "inputTokens",
    "input_tokens",
    "item",
    "itemId",
    "items",
    "kind",
    "last",
    "limitId",
    "message",
    "method",
    "mode",
    "model",
    "modelContextWindow",
    "modelProvider",
    "move_path",
    "namespace",
    "networkApprovalContext",
    "outputTokens",
    "output_tokens",
    "params",
    "path",
    "payload",
    "permissions",
    "persist",
    "plan",
    "planType",
    "primary",
    "proposedExecpolicyAmendment",
    "query",
    "rateLimitReachedType",
    "rateLimits",
    "reason",
    "reasoningOutputTokens",
    "reasoning_output_tokens",
    "requestId",
    "resetsAt",
    "responseId",
    "result",
    "rootTurnId",
    "secondary",
    "server",
    "serverName",
    "startedAtMs",
    "status",
    "step",
    "summary",
    "text",
    "thread",
    "threadId",
    "thread_id",
    "tokenUsage",
    "tool",
    "tool_name",
    "tool_params",
    "total",
    "total_token_usage",
    "turn",
    "turnId",
    "type",
    "usage",
    "usedPercent",
    "willRetry",
    "windowDurationMins",
];

/// The keys of the parts of a line. A part that is an object is read with the line, in one pass: it may be nearly all
/// of it.
const PARTS: [&str; 2] = ["item", "params"];

/// How deep parts are in each other: the item of the app-server is in the parameters of its line.
const DEPTH: usize = 2;

/// The fields of an object whose keys are known. Of equal keys the last one counts.
pub(in crate::turn) struct Fields<'a> {
    texts: [Option<&'a RawValue>; KEYS.len()],
    /// The parts that are objects, in the order of [`PARTS`].
    parts: [Option<Box<Self>>; PARTS.len()],
}

/// Reads an object and its parts, to a depth.
struct Object {
    depth: usize,
}

/// A key, as its place in [`KEYS`].
struct Key(Option<usize>);

/// A list of objects, decoded by a function. What is no object is skipped.
struct List<T>(fn(&Fields<'_>) -> Option<T>);

// === impl Fields ===

impl<'a> Fields<'a> {
    /// Reads a line, which is an object.
    pub(in crate::turn) fn from_line(bytes: &'a [u8]) -> serde_json::Result<Self> {
        let read = |depth| {
            let mut source = serde_json::Deserializer::from_slice(bytes);
            let fields = Object { depth }.deserialize(&mut source)?;
            source.end().map(|()| fields)
        };
        // If it is JSON, a part of it is something else than an object, which is not an error.
        read(DEPTH).or_else(|_| Ok(read(0)?.with_parts(DEPTH)))
    }

    /// Reads the parts, which are text so far.
    fn with_parts(mut self, depth: usize) -> Self {
        if let Some(depth) = depth.checked_sub(1) {
            self.parts = PARTS.map(|key| {
                let part = self.object(key)?;
                Some(Box::new(part.with_parts(depth)))
            });
        }
        self
    }

    /// Returns a field as text, unless it is `null` or a part.
    pub(in crate::turn) fn get(&self, key: &str) -> Option<&'a RawValue> {
        let field = self.texts[place(key)?]?;
        (field.get() != "null").then_some(field)
    }

    /// Returns a field, unless it has another type.
    pub(in crate::turn) fn value<T: Deserialize<'a>>(&self, key: &str) -> Option<T> {
        serde_json::from_str(self.get(key)?.get()).ok()
    }

    /// Returns a field that is a string.
    pub(in crate::turn) fn text(&self, key: &str) -> Option<String> {
        self.value(key)
    }

    /// Returns a field that is an object and not a part.
    pub(in crate::turn) fn object(&self, key: &str) -> Option<Self> {
        self.value(key)
    }

    /// Returns a part of a line, if it is an object.
    pub(in crate::turn) fn part(&self, key: &str) -> Option<&Self> {
        self.parts[part_place(key)?].as_deref()
    }

    /// Takes a part of a line, if it is an object.
    pub(in crate::turn) fn take_part(&mut self, key: &str) -> Option<Self> {
        let part = self.parts[part_place(key)?].take();
        part.map(|part| *part)
    }

    /// Returns the objects of a field that is a list, as far as they can be decoded.
    pub(in crate::turn) fn list<T>(
        &self,
        key: &str,
        decode: fn(&Fields<'_>) -> Option<T>,
    ) -> Vec<T> {
        let field = self.get(key).map(RawValue::get).unwrap_or_default();
        let mut source = serde_json::Deserializer::from_str(field);
        List(decode).deserialize(&mut source).unwrap_or_default()
    }
}

// Not derived: the standard library has it for short arrays only.
impl Default for Fields<'_> {
    fn default() -> Self {
        Self {
            texts: [None; KEYS.len()],
            parts: [None, None],
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        Object { depth: 0 }.deserialize(source)
    }
}

fn place(key: &str) -> Option<usize> {
    KEYS.binary_search(&key).ok()
}

fn part_place(key: &str) -> Option<usize> {
    PARTS.iter().position(|part| *part == key)
}

// === impl Object ===

impl<'de> DeserializeSeed<'de> for Object {
    type Value = Fields<'de>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Fields<'de>, D::Error> {
        source.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        let depth = self.depth.checked_sub(1);
        while let Some(Key(place)) = object.next_key()? {
            let part = place.and_then(|place| part_place(KEYS[place]));
            if let (Some(part), Some(depth)) = (part, depth) {
                let part_fields = object.next_value_seed(Self { depth })?;
                fields.parts[part] = Some(Box::new(part_fields));
                continue;
            }
            let text = object.next_value()?;
            if let Some(place) = place {
                fields.texts[place] = Some(text);
            }
        }
        Ok(fields)
    }
}

// === impl Key ===

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_str(Self(None))
    }
}

impl Visitor<'_> for Key {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self, E> {
        Ok(Self(place(key)))
    }
}

// === impl List ===

impl<'de, T> DeserializeSeed<'de> for List<T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Vec<T>, D::Error> {
        source.deserialize_seq(self)
    }
}

impl<'de, T> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(element) = list.next_element::<&RawValue>()? {
            let fields = serde_json::from_str(element.get()).ok();
            items.extend(fields.as_ref().and_then(self.0));
        }
        // What the turn keeps has no room to grow.
        items.shrink_to_fit();
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_sorted_and_none_is_there_twice() {
        for pair in KEYS.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
        }
    }

    #[test]
    fn each_key_is_found() {
        let fields = KEYS.iter().map(|key| format!(r#""{key}":"{key}","#));
        let object = format!(r#"{{{}"other":1}}"#, fields.collect::<String>());
        let fields = Fields::from_line(object.as_bytes()).unwrap();
        for key in KEYS {
            assert_eq!(fields.text(key).as_deref(), Some(*key));
        }
        assert!(fields.get("other").is_none());
    }

    #[test]
    fn a_part_of_a_line_has_its_fields_and_its_own_part() {
        let line =
            br#"{"params":{"item":{"id":"a","type":"x"},"id":"b"},"item":{"id":"c"},"id":"d"}"#;
        let mut fields = Fields::from_line(line).unwrap();
        let id = |fields: &Fields<'_>| fields.text("id");
        assert_eq!(id(&fields).as_deref(), Some("d"));
        assert_eq!(fields.part("item").and_then(id).as_deref(), Some("c"));
        let params = fields.take_part("params").unwrap();
        assert_eq!(id(&params).as_deref(), Some("b"));
        assert_eq!(params.part("item").and_then(id).as_deref(), Some("a"));
        assert!(fields.take_part("params").is_none());
    }

    #[test]
    fn a_part_that_is_not_an_object_is_missing_and_the_rest_of_the_line_is_there() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        for other in ["null", "7", "1e999", r#""\ud800""#, "[{}]", "true", &deep] {
            let line =
                format!(r#"{{"item":{other},"params":{{"item":{other},"id":"b"}},"id":"a"}}"#);
            let fields = Fields::from_line(line.as_bytes()).unwrap();
            assert_eq!(fields.text("id").as_deref(), Some("a"), "{other}");
            assert!(fields.part("item").is_none(), "{other}");
            let params = fields.part("params").unwrap();
            assert_eq!(params.text("id").as_deref(), Some("b"), "{other}");
            assert!(params.part("item").is_none(), "{other}");
        }
    }

    #[test]
    fn of_equal_parts_the_last_one_counts() {
        for (parts, id) in [
            (r#""item":{"id":"a"},"item":{"id":"b"}"#, Some("b")),
            (r#""item":{"id":"a"},"item":7"#, None),
            (r#""item":7,"item":{"id":"b"}"#, Some("b")),
        ] {
            let line = format!("{{{parts}}}");
            let fields = Fields::from_line(line.as_bytes()).unwrap();
            let part = fields.part("item").and_then(|part| part.text("id"));
            assert_eq!(part.as_deref(), id, "{parts}");
        }
    }
}

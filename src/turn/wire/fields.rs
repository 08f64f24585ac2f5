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

/// The fields of an object whose keys are known. Of equal keys the last one counts.
pub(in crate::turn) struct Fields<'a>([Option<&'a RawValue>; KEYS.len()]);

/// A key, as its place in [`KEYS`].
struct Key(Option<usize>);

/// A list of objects, decoded by a function. What is no object is skipped.
struct List<T>(fn(&Fields<'_>) -> Option<T>);

// === impl Fields ===

impl<'a> Fields<'a> {
    /// Reads an object.
    pub(in crate::turn) fn from_line(bytes: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }

    /// Returns a field as text, unless it is `null`.
    pub(in crate::turn) fn get(&self, key: &str) -> Option<&'a RawValue> {
        let field = self.0[place(key)?]?;
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

    /// Returns a field that is an object.
    pub(in crate::turn) fn object(&self, key: &str) -> Option<Self> {
        self.value(key)
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
        Self([None; KEYS.len()])
    }
}

fn place(key: &str) -> Option<usize> {
    KEYS.binary_search(&key).ok()
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_map(Self::default())
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Fields<'a> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<Self, A::Error> {
        while let Some(Key(place)) = object.next_key()? {
            let field = object.next_value()?;
            if let Some(place) = place {
                self.0[place] = Some(field);
            }
        }
        Ok(self)
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
}

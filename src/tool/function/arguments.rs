//! Reads arguments into a type, and explains why that failed without repeating them.
//!
//! serde's own messages quote the value that they refuse. How an error reads is up to the error type
//! of the deserializer, and that of `serde_json` is fixed; so when `serde_json` refuses, a second
//! reading through a deserializer with an error of ours finds the words. That second reading decides
//! nothing: where it differs from `serde_json`, only the words suffer.

use serde::{
    de::{
        self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor,
        value::MapAccessDeserializer,
    },
    forward_to_deserialize_any,
};
use serde_json::{Map, Value};

use super::{
    key::Key,
    refusal::{Refusal, Step},
};

/// Returns the arguments as an `A`, or why they are none.
pub(super) fn read<A: DeserializeOwned>(arguments: &Value) -> Result<A, String> {
    A::deserialize(arguments).map_err(|_| match A::deserialize(Reader(arguments)) {
        Err(refusal) => refusal.explain(arguments),
        Ok(_) => Refusal::unexplained(),
    })
}

#[derive(Clone, Copy)]
struct Reader<'de>(&'de Value);

struct Items<'de> {
    items: std::slice::Iter<'de, Value>,
    read: usize,
}

struct Entries<'de> {
    entries: serde_json::map::Iter<'de>,
    value: Option<(&'de str, &'de Value)>,
    /// The names that the type declares: all that a path may show.
    declared: &'static [&'static str],
}

// === impl Reader ===

impl<'de> Reader<'de> {
    fn entries<V: Visitor<'de>>(
        entries: &'de Map<String, Value>,
        declared: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_map(Entries::new(entries, declared))
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => {
                if let Some(value) = number.as_u64() {
                    visitor.visit_u64(value)
                } else if let Some(value) = number.as_i64() {
                    visitor.visit_i64(value)
                } else {
                    visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
                }
            }
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(values) => {
                let mut items = Items {
                    items: values.iter(),
                    read: 0,
                };
                let value = visitor.visit_seq(&mut items)?;
                match items.items.len() {
                    0 => Ok(value),
                    _ => Err(de::Error::invalid_length(values.len(), &"fewer elements")),
                }
            }
            Value::Object(entries) => Self::entries(entries, &[], visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::Object(entries) => Self::entries(entries, fields, visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(Key(text)),
            Value::Object(entries) if entries.len() == 1 => {
                let entries = Entries::new(entries, variants);
                visitor.visit_enum(MapAccessDeserializer::new(entries))
            }
            other => Err(Refusal::no_variant(other, variants)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier
    }
}

// === impl Items ===

impl<'de> SeqAccess<'de> for &mut Items<'de> {
    type Error = Refusal;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Refusal> {
        let Some(value) = self.items.next() else {
            return Ok(None);
        };
        let step = Step::Index(self.read);
        self.read += 1;
        let item = seed.deserialize(Reader(value));
        item.map(Some).map_err(|refusal| refusal.within(step))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

// === impl Entries ===

impl<'de> Entries<'de> {
    fn new(entries: &'de Map<String, Value>, declared: &'static [&'static str]) -> Self {
        Self {
            entries: entries.iter(),
            value: None,
            declared,
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Refusal> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some((key, value));
        seed.deserialize(Key(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        let (key, value) = self.value.take().expect("a key comes before its value");
        let declared = self.declared.iter().find(|name| **name == key);
        let step = declared.map_or(Step::Entry, |name| Step::Field(name));
        seed.deserialize(Reader(value))
            .map_err(|refusal| refusal.within(step))
    }
}

use opentelemetry::{Array, KeyValue, StringValue, Value};

use super::text::truncated;

/// The most attributes that one call or one span event keeps, as in OpenTelemetry's span limits.
const MAX_ATTRIBUTES: usize = 128;
/// The longest key, in bytes.
const MAX_KEY_LEN: usize = 256;
/// The longest text, in bytes. The texts of an array share it.
const MAX_TEXT_LEN: usize = 16 * 1024;
/// The longest list whose allocation is used again.
const MAX_KEPT: usize = 16;
/// The most elements of an array.
const MAX_ARRAY_LEN: usize = 128;

/// The attributes of a call or of a span event: each key once, in the order in which the keys were first recorded.
#[derive(Default)]
pub(crate) struct Attributes {
    list: Vec<KeyValue>,
    dropped: u32,
}

// === impl Attributes ===

impl Attributes {
    /// Sets an attribute, whose value was [cut](cut) before.
    ///
    /// A new key that is too long, or that comes when the list is full, is dropped and counted.
    #[inline]
    pub(crate) fn set(&mut self, attribute: KeyValue) {
        self.set_within(MAX_ATTRIBUTES, attribute);
    }

    /// Like [`set`](Self::set), but even if the list is full: of the few attributes that add up only together.
    #[cfg(all(feature = "turn", unix))]
    pub(super) fn set_reserved(&mut self, attribute: KeyValue) {
        self.set_within(usize::MAX, attribute);
    }

    #[inline]
    fn set_within(&mut self, limit: usize, attribute: KeyValue) {
        // Not a map: most calls have up to fifteen attributes.
        let key = attribute.key.as_str();
        let equal = self.list.iter_mut().find(|kv| kv.key.as_str() == key);
        if let Some(equal) = equal {
            equal.value = attribute.value;
        } else if self.list.len() < limit && key.len() <= MAX_KEY_LEN {
            self.list.push(attribute);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Empties the list for another call. The allocation of a long one is not kept.
    pub(super) fn clear(&mut self) {
        if self.list.capacity() > MAX_KEPT {
            self.list = Vec::new();
        }
        self.list.clear();
        self.dropped = 0;
    }

    /// Returns the list and the number of those that were dropped.
    pub(super) fn into_parts(self) -> (Vec<KeyValue>, u32) {
        (self.list, self.dropped)
    }

    pub(crate) fn as_slice(&self) -> &[KeyValue] {
        &self.list
    }

    pub(crate) fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Returns about how many bytes the list holds.
    #[cfg(feature = "otlp")]
    pub(crate) fn estimated_size(&self) -> usize {
        estimated_size(&self.list)
    }
}

/// Cuts the values that are too long, then keeps each key once, with its last value.
impl FromIterator<KeyValue> for Attributes {
    fn from_iter<T: IntoIterator<Item = KeyValue>>(attributes: T) -> Self {
        let mut kept = Self::default();
        for mut attribute in attributes {
            cut(&mut attribute.value);
            kept.set(attribute);
        }
        kept
    }
}

/// Returns about how many bytes the attributes hold.
#[cfg(feature = "otlp")]
pub(super) fn estimated_size(attributes: &[KeyValue]) -> usize {
    let sizes = attributes.iter().map(|attribute| {
        let value = match &attribute.value {
            Value::String(text) => text.as_str().len(),
            Value::Array(Array::String(texts)) => {
                texts.iter().map(|text| text.as_str().len()).sum()
            }
            Value::Array(_) => MAX_ARRAY_LEN * size_of::<u64>(),
            _ => 0,
        };
        size_of::<KeyValue>() + attribute.key.as_str().len() + value
    });
    sizes.sum()
}

/// Cuts a value that is too long.
#[inline]
pub(crate) fn cut(value: &mut Value) {
    match value {
        Value::String(text) => cut_text(text, MAX_TEXT_LEN),
        Value::Array(array) => cut_array(array),
        _ => {}
    }
}

fn cut_array(array: &mut Array) {
    match array {
        Array::Bool(values) => shorten(values),
        Array::I64(values) => shorten(values),
        Array::F64(values) => shorten(values),
        Array::String(texts) => {
            shorten(texts);
            let mut left = MAX_TEXT_LEN;
            for text in texts {
                let len = text.as_str().len();
                cut_text(text, left);
                left = left.saturating_sub(len);
            }
        }
        _ => {}
    }
}

/// Cuts a text to `limit` bytes, at a character boundary.
#[inline]
pub(super) fn cut_text(text: &mut StringValue, limit: usize) {
    if let Some(cut) = truncated(text.as_str(), limit) {
        *text = cut.into();
    }
}

fn shorten<T>(values: &mut Vec<T>) {
    if values.len() > MAX_ARRAY_LEN {
        values.truncate(MAX_ARRAY_LEN);
        values.shrink_to_fit();
    }
}

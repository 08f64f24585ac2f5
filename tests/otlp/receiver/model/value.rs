use std::{collections::BTreeMap, fmt};

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};

/// Attributes by name.
pub(crate) type Attributes = BTreeMap<String, Value>;

/// The value of an attribute. It can be compared with Rust values.
#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    Empty,
    String(String),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(Vec<u8>),
    Array(Vec<Value>),
    Map(Attributes),
}

impl Value {
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn decode(value: Option<AnyValue>) -> Result<Self, String> {
        use any_value::Value as Proto;
        Ok(match value.and_then(|value| value.value) {
            None => Self::Empty,
            Some(Proto::StringValue(text)) => Self::String(text),
            Some(Proto::BoolValue(truth)) => Self::Bool(truth),
            Some(Proto::IntValue(number)) => Self::Int(number),
            Some(Proto::DoubleValue(number)) => Self::Double(number),
            Some(Proto::BytesValue(bytes)) => Self::Bytes(bytes),
            Some(Proto::ArrayValue(array)) => {
                let values = array.values.into_iter();
                Self::Array(
                    values
                        .map(|value| Self::decode(Some(value)))
                        .collect::<Result<_, _>>()?,
                )
            }
            Some(Proto::KvlistValue(list)) => Self::Map(attributes(list.values)?),
            Some(Proto::StringValueStrindex(_)) => {
                return Err("a string table outside of profiles".to_owned());
            }
        })
    }
}

/// Returns the attributes by name. A missing name and a duplicate are errors, as the protocol requires.
pub(super) fn attributes(list: Vec<KeyValue>) -> Result<Attributes, String> {
    let mut map = Attributes::new();
    for KeyValue { key, value, .. } in list {
        if key.is_empty() {
            return Err("an attribute without a name".to_owned());
        }
        let value = Value::decode(value)?;
        if let Some(earlier) = map.insert(key.clone(), value) {
            return Err(format!(
                "attribute {key} comes twice, at first as {earlier:?}"
            ));
        }
    }
    Ok(map)
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("(empty)"),
            Self::String(text) => text.fmt(f),
            Self::Bool(truth) => truth.fmt(f),
            Self::Int(number) => number.fmt(f),
            Self::Double(number) => number.fmt(f),
            Self::Bytes(bytes) => write!(f, "bytes {bytes:?}"),
            Self::Array(values) => values.fmt(f),
            Self::Map(map) => map.fmt(f),
        }
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<i64> for Value {
    fn eq(&self, other: &i64) -> bool {
        self.as_int() == Some(*other)
    }
}

impl PartialEq<f64> for Value {
    fn eq(&self, other: &f64) -> bool {
        matches!(self, Self::Double(number) if number == other)
    }
}

impl PartialEq<bool> for Value {
    fn eq(&self, other: &bool) -> bool {
        matches!(self, Self::Bool(truth) if truth == other)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

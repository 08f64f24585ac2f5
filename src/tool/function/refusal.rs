use std::fmt::{self, Display, Write};

use serde::de::{self, Expected, Unexpected};
use serde_json::Value;

/// Why a value was refused, in words that do not repeat it.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Where, innermost first.
    path: Vec<Step>,
    text: String,
    /// Whether the words are those of a hand-written `Deserialize`, which may repeat the value.
    foreign: bool,
}

/// One step from a value into a part of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A field or variant that the type declares.
    Field(&'static str),
    /// An entry whose key is nothing but the caller's.
    Entry,
    Index(usize),
}

// === impl Refusal ===

impl Refusal {
    fn new(text: String) -> Self {
        Self {
            path: Vec::new(),
            text,
            foreign: false,
        }
    }

    pub(super) fn no_variant(value: &Value, variants: &'static [&'static str]) -> Self {
        let kind = match value {
            Value::Object(_) => "map without a single key",
            Value::Array(_) => "sequence",
            Value::Number(_) => "number",
            Value::Bool(_) => "boolean",
            Value::String(_) => "string",
            Value::Null => "null",
        };
        Self::new(format!(
            "invalid type: {kind}, expected {}",
            OneOf(variants)
        ))
    }

    pub(super) fn unexplained() -> String {
        "they are not of the type that it takes".to_owned()
    }

    /// The same refusal, seen from the value that holds the refused one.
    pub(super) fn within(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }

    /// The whole reason for people and models to read, given the arguments that it must not repeat.
    pub(super) fn explain(self, arguments: &Value) -> String {
        let text = match self.foreign && repeats(&self.text, arguments) {
            true => "refused, for a reason that is withheld because it repeats an argument",
            false => &self.text,
        };
        if self.path.is_empty() {
            return text.to_owned();
        }
        let mut path = String::new();
        for step in self.path.iter().rev() {
            let dot = if path.is_empty() { "" } else { "." };
            // Writing to a string cannot fail.
            let _ = match step {
                Step::Field(name) => write!(path, "{dot}{name}"),
                Step::Entry => write!(path, "{dot}*"),
                Step::Index(at) => write!(path, "[{at}]"),
            };
        }
        format!("`{path}`: {text}")
    }
}

/// Whether `text` holds any text or number of `value`.
fn repeats(text: &str, value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => false,
        Value::Number(number) => text.contains(&number.to_string()),
        Value::String(said) if said.is_empty() => false,
        Value::String(said) => {
            text.contains(said.as_str()) || text.contains(&said.escape_debug().to_string())
        }
        Value::Array(items) => items.iter().any(|item| repeats(text, item)),
        Value::Object(entries) => entries.values().any(|entry| repeats(text, entry)),
    }
}

impl de::Error for Refusal {
    fn custom<T: Display>(text: T) -> Self {
        Self {
            foreign: true,
            ..Self::new(text.to_string())
        }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let kind = kind(found);
        Self::new(format!("invalid type: {kind}, expected {expected}"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let kind = kind(found);
        Self::new(format!("invalid value: {kind}, expected {expected}"))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(format!("invalid length {length}, expected {expected}"))
    }

    fn unknown_variant(_: &str, variants: &'static [&'static str]) -> Self {
        Self::new(format!("unknown variant, expected {}", OneOf(variants)))
    }

    fn unknown_field(_: &str, fields: &'static [&'static str]) -> Self {
        Self::new(format!("unknown field, expected {}", OneOf(fields)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("missing field `{field}`"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("duplicate field `{field}`"))
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

fn kind(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "integer",
        Unexpected::Float(_) => "floating point number",
        Unexpected::Char(_) => "character",
        Unexpected::Str(_) => "string",
        Unexpected::Bytes(_) => "byte array",
        Unexpected::Unit => "null",
        Unexpected::Seq => "sequence",
        Unexpected::Map => "map",
        _ => "value",
    }
}

/// Prints the names that a type declares.
struct OneOf(&'static [&'static str]);

impl Display for OneOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, rest)) = self.0.split_first() else {
            return f.write_str("none");
        };
        write!(f, "`{first}`")?;
        rest.iter().try_for_each(|name| write!(f, " or `{name}`"))
    }
}

use std::fmt;

use serde_json::{Value, value::RawValue};

use super::item::hidden;

/// JSON as text, such as the arguments of a tool.
///
/// The service does not parse the JSON of tools: as a [`Value`] it can take twenty times the memory.
/// Two texts are equal if they are the same, byte for byte. `Debug` shows the size. As JSON, with the feature
/// `json`, it is the JSON itself.
///
/// ```
/// use codex_telemetry::turn::JsonText;
/// use serde_json::json;
///
/// # fn main() -> serde_json::Result<()> {
/// let arguments = JsonText::from(json!({"path": "src"}));
/// assert_eq!(arguments.as_str(), r#"{"path":"src"}"#);
/// assert_eq!(arguments.parse()?["path"], "src");
///
/// // The text stays as it is.
/// let spaced = JsonText::new(r#"{ "path": "src" }"#)?;
/// assert_ne!(spaced, arguments);
/// assert_eq!(spaced.parse()?, arguments.parse()?);
/// assert!(JsonText::new("src").is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct JsonText(Box<str>);

// === impl JsonText ===

impl JsonText {
    /// Returns the JSON that `text` is.
    ///
    /// # Errors
    ///
    /// If the text is not JSON.
    pub fn new(text: impl AsRef<str>) -> serde_json::Result<Self> {
        serde_json::from_str(text.as_ref()).map(Self::from_raw)
    }

    pub(super) fn from_raw(json: &RawValue) -> Self {
        Self(json.get().into())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses the text.
    ///
    /// `serde_json::from_str(json.as_str())` parses it into another type than a [`Value`].
    ///
    /// # Errors
    ///
    /// If the JSON is nested more than 127 levels deep, or has a number or a character that a [`Value`]
    /// cannot hold.
    pub fn parse(&self) -> serde_json::Result<Value> {
        serde_json::from_str(&self.0)
    }
}

/// The JSON `null`.
impl Default for JsonText {
    fn default() -> Self {
        Self("null".into())
    }
}

impl From<Value> for JsonText {
    fn from(value: Value) -> Self {
        Self(value.to_string().into())
    }
}

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hidden(&self.0).fmt(f)
    }
}

#[cfg(feature = "json")]
impl serde::Serialize for JsonText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        json.serialize(serializer)
    }
}

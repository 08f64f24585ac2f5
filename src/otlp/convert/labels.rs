//! The labels of metrics. Each combination of values is a series that is kept for the life of the sink, so a
//! label has few values.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use opentelemetry::{KeyValue, StringValue, Value};

use super::{
    attributes::{model, push},
    names,
};
use crate::event::{Event, Originator, Outcome, names as attribute};

/// The most values of one label. The SDK has a limit as well, of 2,000 series for each metric. What comes
/// after that loses all of its labels.
const MAX_VALUES: usize = 100;

/// The values that labels have had so far.
pub(crate) struct Labels(RefCell<HashMap<&'static str, HashSet<Arc<str>>>>);

// === impl Labels ===

impl Labels {
    pub(crate) fn new() -> Self {
        let known = [
            (names::ORIGINATOR, Originator::Cli.as_str()),
            (names::ORIGINATOR, Originator::Sdk.as_str()),
            (attribute::PROVIDER_NAME, names::DEFAULT_PROVIDER),
        ];
        let labels = Self(RefCell::default());
        for (key, value) in known {
            labels.limited(key, value);
        }
        labels
    }

    /// Adds the originator to some labels.
    pub(crate) fn add_originator(&self, event: &Event, labels: &mut Vec<KeyValue>) {
        if let Some(originator) = event.originator() {
            match originator.known_name() {
                Some(name) => push(labels, names::ORIGINATOR, name),
                None => labels.push(self.limited(names::ORIGINATOR, originator.as_str())),
            }
        }
    }

    pub(crate) fn agent(&self, event: &Event) -> Option<KeyValue> {
        Some(self.limited(names::AGENT_NAME, event.agent_name()?))
    }

    /// Returns the name of a tool, if it is one that a service has looked up or answered for. The others
    /// share a label: a model may invent any name.
    pub(crate) fn tool(&self, event: &Event) -> KeyValue {
        let Some(name) = event.call_name() else {
            return KeyValue::new(names::TOOL_NAME, names::OTHER);
        };
        let is_looked_up = event.attribute(attribute::TOOL_TYPE).is_some();
        if is_looked_up || event.outcome() == Some(Outcome::Ok) {
            self.limited(names::TOOL_NAME, name)
        } else {
            KeyValue::new(names::TOOL_NAME, self.value(names::TOOL_NAME, name, 0))
        }
    }

    pub(crate) fn provider(&self, event: &Event) -> KeyValue {
        match event.attribute(attribute::PROVIDER_NAME) {
            Some(provider) => self.limited(attribute::PROVIDER_NAME, &provider.as_str()),
            None => KeyValue::new(attribute::PROVIDER_NAME, names::DEFAULT_PROVIDER),
        }
    }

    pub(crate) fn model(&self, event: &Event) -> Option<KeyValue> {
        Some(self.limited(attribute::REQUEST_MODEL, model(event)?))
    }

    /// Returns the text of an attribute that a service recorded.
    pub(crate) fn recorded(&self, key: &'static str, event: &Event) -> Option<KeyValue> {
        match event.attribute(key)? {
            Value::String(value) => Some(self.limited(key, value.as_str())),
            _ => None,
        }
    }

    /// Returns a label that has a limited number of values.
    fn limited(&self, key: &'static str, value: &str) -> KeyValue {
        KeyValue::new(key, self.value(key, value, MAX_VALUES))
    }

    /// Returns the value if the label has had it, or has had less than `limit` values.
    fn value(&self, key: &'static str, value: &str, limit: usize) -> StringValue {
        let mut labels = self.0.borrow_mut();
        let values = labels.entry(key).or_default();
        if let Some(value) = values.get(value) {
            return Arc::clone(value).into();
        }
        if values.len() >= limit {
            return names::OTHER.into();
        }
        let value = Arc::<str>::from(value);
        values.insert(Arc::clone(&value));
        value.into()
    }
}

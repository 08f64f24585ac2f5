use std::iter;

use opentelemetry::{Array, KeyValue, StringValue, Value};

use super::names;
use crate::{
    event::{ErrorClass, Event, EventKind, Operation, Outcome, millis, names as attribute},
    otlp::config::AttributeLimits,
};

/// The most attributes of an event that nobody recorded.
const MAX_FIXED: usize = 11;

/// Returns the model that a call asks. The name of a chat call is its model.
pub(super) fn model(event: &Event) -> Option<&str> {
    match (event.attribute(attribute::REQUEST_MODEL), event.operation()) {
        (Some(Value::String(model)), _) => Some(model.as_str()),
        (None, Operation::Chat) => event.call_name(),
        _ => None,
    }
}

/// Returns whether a call has failed. A call that its caller cancelled has not.
pub(super) fn is_failure(event: &Event) -> bool {
    matches!(event.outcome(), Some(Outcome::Error | Outcome::Panic))
}

/// Returns the text of a failure: the error's own, if the classifier provided it.
pub(super) fn message(event: &Event) -> Option<String> {
    let message = match event.outcome()? {
        Outcome::Ok | Outcome::Cancelled => return None,
        Outcome::Error => event.error_message().unwrap_or("the call failed"),
        Outcome::Panic => "the call panicked",
    };
    Some(message.to_owned())
}

/// Returns the class of an exception.
pub(super) fn exception_type(event: &Event) -> Option<&'static str> {
    let is_exception = event.kind() == EventKind::Exception;
    is_exception.then(|| event.error_class().unwrap_or(ErrorClass::Other).as_str())
}

/// Adds the attributes that the span and the log record of an event share to an empty list.
pub(super) fn add_attributes(event: &Event, list: &mut Vec<KeyValue>) {
    list.reserve(MAX_FIXED + event.attributes().len());
    let mut attributes = Attributes(list);
    // First: a limit of their number leaves out the last ones.
    attributes.some(names::ERROR_TYPE, event.error_type());
    match event.operation() {
        Operation::Turn => {
            attributes.set(names::OPERATION_NAME, names::INVOKE_AGENT);
            attributes.provider(event);
            attributes.text(names::AGENT_NAME, event.agent_name());
            attributes.text(names::CALL_ID, event.call_id());
        }
        Operation::Chat => {
            attributes.set(names::OPERATION_NAME, names::CHAT);
            attributes.provider(event);
            attributes.text(attribute::REQUEST_MODEL, model(event));
            attributes.text(names::CALL_ID, event.call_id());
        }
        Operation::Tool => {
            attributes.set(names::OPERATION_NAME, names::EXECUTE_TOOL);
            attributes.text(names::TOOL_NAME, event.call_name());
            attributes.text(names::AGENT_NAME, event.agent_name());
            attributes.text(names::TOOL_CALL_ID, event.call_id());
        }
        _ => attributes.text(names::CALL_ID, event.call_id()),
    }
    attributes.text(names::CONVERSATION_ID, event.thread_id());
    attributes.text(names::TURN_ID, event.turn_id());
    attributes.originator(event);
    if event.attempt() > 1 {
        attributes.set(names::ATTEMPT, i64::from(event.attempt()));
    }
    attributes.some(names::DURATION_MS, event.duration().map(millis));
    attributes.some(names::OUTCOME, event.outcome().map(Outcome::as_str));
    if !event.attributes().is_empty() {
        attributes.recorded(event.attributes());
    }
}

/// Adds an attribute to a list.
#[inline]
pub(super) fn push(list: &mut Vec<KeyValue>, key: &'static str, value: impl Into<Value>) {
    // Made in its place. `Vec::push` copies it there, and a processor waits before it reads in one piece what was just
    // written in several.
    list.extend(iter::once_with(|| KeyValue::new(key, value)));
}

struct Attributes<'a>(&'a mut Vec<KeyValue>);

impl Attributes<'_> {
    #[inline]
    fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        push(self.0, key, value);
    }

    #[inline]
    fn some(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    #[inline]
    fn text(&mut self, key: &'static str, value: Option<&str>) {
        self.some(key, value.map(str::to_owned));
    }

    /// Adds the provider of a call's model, or Codex's default where the call does not say.
    fn provider(&mut self, event: &Event) {
        match event.attribute(attribute::PROVIDER_NAME) {
            Some(provider) => self.set(attribute::PROVIDER_NAME, provider.clone()),
            None => self.set(attribute::PROVIDER_NAME, names::DEFAULT_PROVIDER),
        }
    }

    fn originator(&mut self, event: &Event) {
        if let Some(originator) = event.originator() {
            match originator.known_name() {
                Some(name) => self.set(names::ORIGINATOR, name),
                None => self.text(names::ORIGINATOR, Some(originator.as_str())),
            }
        }
    }

    /// Adds what layers and services recorded.
    fn recorded(&mut self, recorded: &[KeyValue]) {
        let fixed = self.0.len();
        // Those of the phases first: they were recorded last, and add up only together.
        let is_phase = |attribute: &&KeyValue| attribute.key.as_str().starts_with(attribute::PHASE);
        let others = recorded.iter().filter(|attribute| !is_phase(attribute));
        for attribute in recorded.iter().filter(is_phase).chain(others) {
            // Recorded values do not replace the attributes above.
            let mut fixed = self.0[..fixed].iter();
            if !fixed.any(|other| other.key == attribute.key) {
                self.0.push(attribute.clone());
            }
        }
    }
}

/// Applies the limits to attributes. Returns the number of those that were removed.
pub(super) fn limit(attributes: &mut Vec<KeyValue>, limits: AttributeLimits) -> u32 {
    let removed = attributes.len().saturating_sub(limits.count);
    attributes.truncate(limits.count);
    if let Some(length) = limits.value_length {
        for attribute in attributes {
            match &mut attribute.value {
                Value::String(text) => cut(text, length),
                Value::Array(Array::String(texts)) => {
                    texts.iter_mut().for_each(|text| cut(text, length));
                }
                _ => {}
            }
        }
    }
    u32::try_from(removed).unwrap_or(u32::MAX)
}

/// Cuts a text to a number of characters, without a mark: as the SDKs do.
fn cut(text: &mut StringValue, length: usize) {
    if let Some((end, _)) = text.as_str().char_indices().nth(length) {
        *text = text.as_str()[..end].to_owned().into();
    }
}

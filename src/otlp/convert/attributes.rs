use opentelemetry::{Array, KeyValue, StringValue, Value};

use super::names;
use crate::{
    event::{ErrorClass, Event, EventKind, Operation, Outcome, millis, names as attribute},
    otlp::config::AttributeLimits,
};

/// Returns the provider of a call's model, or Codex's default where the call does not say.
pub(crate) fn provider(event: &Event) -> Value {
    let recorded = event.attribute(attribute::PROVIDER_NAME);
    recorded.cloned().unwrap_or(names::DEFAULT_PROVIDER.into())
}

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

/// Returns the attributes that the span and the log record of an event share.
pub(super) fn attributes(event: &Event) -> Vec<KeyValue> {
    let mut attributes = Attributes(Vec::with_capacity(14 + event.attributes().len()));
    // First: a limit of their number leaves out the last ones.
    attributes.some(names::ERROR_TYPE, event.error_type());
    match event.operation() {
        Operation::Turn => {
            attributes.set(names::OPERATION_NAME, names::INVOKE_AGENT);
            attributes.set(attribute::PROVIDER_NAME, provider(event));
            attributes.some(names::AGENT_NAME, event.agent_name());
            attributes.some(names::CALL_ID, event.call_id());
        }
        Operation::Chat => {
            attributes.set(names::OPERATION_NAME, names::CHAT);
            attributes.set(attribute::PROVIDER_NAME, provider(event));
            attributes.some(attribute::REQUEST_MODEL, model(event));
            attributes.some(names::CALL_ID, event.call_id());
        }
        Operation::Tool => {
            attributes.set(names::OPERATION_NAME, names::EXECUTE_TOOL);
            attributes.some(names::TOOL_NAME, event.call_name());
            attributes.some(names::AGENT_NAME, event.agent_name());
            attributes.some(names::TOOL_CALL_ID, event.call_id());
        }
        _ => attributes.some(names::CALL_ID, event.call_id()),
    }
    attributes.some(names::CONVERSATION_ID, event.thread_id());
    attributes.some(names::TURN_ID, event.turn_id());
    let originator = event.originator().map(|originator| originator.as_str());
    attributes.some(names::ORIGINATOR, originator);
    if event.attempt() > 1 {
        attributes.set(names::ATTEMPT, i64::from(event.attempt()));
    }
    if let Some(duration) = event.duration() {
        attributes.set(names::DURATION_MS, millis(duration));
    }
    let outcome = event.outcome().map(|outcome| outcome.as_str());
    attributes.some(names::OUTCOME, outcome);
    let fixed = attributes.0.len();
    // Those of the phases first: they were recorded last, and add up only together.
    let is_phase = |attribute: &&KeyValue| attribute.key.as_str().starts_with(attribute::PHASE);
    let recorded = event.attributes().iter();
    let others = recorded.clone().filter(|attribute| !is_phase(attribute));
    for attribute in recorded.filter(is_phase).chain(others) {
        // Recorded values do not replace the attributes above.
        let mut fixed = attributes.0[..fixed].iter();
        if !fixed.any(|other| other.key == attribute.key) {
            attributes.0.push(attribute.clone());
        }
    }
    attributes.0
}

struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.push(KeyValue::new(key, value));
    }

    fn some(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.set(key, value.to_owned());
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

//! Attributes of what Codex tells in structures of its own.

use opentelemetry::KeyValue;

use crate::{
    event::names,
    turn::{CodexErrorInfo, RateLimits, failure},
};

/// Returns what is recorded of Codex's own kind of an error.
pub(super) fn of_error(info: &CodexErrorInfo) -> Vec<KeyValue> {
    let kind = failure::recorded_kind(info);
    let kind = kind.map(|kind| KeyValue::new(names::ERROR_KIND, kind));
    let status = info.http_status.map(i64::from);
    let status = status.map(|status| KeyValue::new(names::HTTP_STATUS, status));
    kind.into_iter().chain(status).collect()
}

/// Returns the numbers of a snapshot of rate limits.
pub(super) fn of_rate_limits(limits: &RateLimits) -> Vec<KeyValue> {
    let text = |key, value: &Option<String>| Some(KeyValue::new(key, value.clone()?));
    let mut attributes = Vec::new();
    attributes.extend(text(names::RATE_LIMIT_ID, &limits.limit_id));
    attributes.extend(text(names::RATE_LIMIT_PLAN, &limits.plan));
    attributes.extend(text(names::RATE_LIMIT_REACHED, &limits.reached));
    for (window, used, length, resets) in [
        (
            limits.primary,
            names::RATE_LIMIT_PRIMARY_USED,
            names::RATE_LIMIT_PRIMARY_WINDOW,
            names::RATE_LIMIT_PRIMARY_RESETS,
        ),
        (
            limits.secondary,
            names::RATE_LIMIT_SECONDARY_USED,
            names::RATE_LIMIT_SECONDARY_WINDOW,
            names::RATE_LIMIT_SECONDARY_RESETS,
        ),
    ] {
        let Some(window) = window else {
            continue;
        };
        let number = |key, value: Option<u64>| {
            let value = i64::try_from(value?).ok()?;
            Some(KeyValue::new(key, value))
        };
        attributes.push(KeyValue::new(used, window.used_percent));
        attributes.extend(number(length, window.window_minutes));
        attributes.extend(number(resets, window.resets_at));
    }
    attributes
}

//! Calls and records when the collector fails.

mod hanging;
mod malformed;
mod max_age;
mod overflow;
mod partial;
mod retries;
mod sizes;
mod statuses;
mod unavailable;

//! What becomes of calls and records when the collector misbehaves.

mod absent;
mod answers;
mod garbage;
mod hanging;
mod overflow;
mod partial;
mod retries;

//! Enabled sinks that drop what they get.
#![allow(dead_code, reason = "no benchmark uses all of it")]

use std::hint::black_box;

use codex_telemetry::{Event, Interest, Sink};

/// Drops every event. It looks at start events without a handle of its own.
#[derive(Clone)]
pub(crate) struct Discard;

/// Wants no start events, and drops the terminal ones.
#[derive(Clone)]
pub(crate) struct EndsOnly;

impl Sink for Discard {
    fn emit(&self, event: Event) {
        drop(black_box(event));
    }

    fn emit_start(&self, event: &Event) {
        black_box(event);
    }
}

impl Sink for EndsOnly {
    fn emit(&self, event: Event) {
        drop(black_box(event));
    }

    fn interest(&self) -> Interest {
        Interest::ENDS
    }
}

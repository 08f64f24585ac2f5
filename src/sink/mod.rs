//! The [`Sink`] trait, which receives events, and the sinks of this crate.
//!
//! | sink | what it does |
//! |---|---|
//! | [`MemorySink`] | keeps every event in memory, for tests |
//! | [`JsonLinesSink`] | writes each event as a JSON object on its own line |
//! | [`TracingSink`] | emits each event through `tracing`, at a level that depends on the outcome |
//! | [`OtlpSink`](crate::OtlpSink) | exports events over OTLP |
//! | [`ActiveCalls`] | knows the calls that are active now, and warns of those that take long |
//! | [`FanOut`] | passes each event to several sinks |
//! | `Fn(Event)` | calls a closure with each event |
//! | `()` | disables the layers |
//! | `Option<S>` | enables or disables a sink at run time |
//! | `Arc<S>` | shares a sink |
//!
//! A sink is called on the thread on which a call starts or ends, so it must not block. One that is slow passes events,
//! which are cheap to send, to a thread of its own:
//!
//! ```
//! use codex_telemetry::{Event, TimingLayer};
//! use std::{sync::mpsc, thread};
//!
//! let (events, received) = mpsc::sync_channel::<Event>(1024);
//! let timing = TimingLayer::new(move |event| {
//!     // Full: the event is lost, and the call is not held up.
//!     let _ = events.try_send(event);
//! });
//! let writer = thread::spawn(move || {
//!     for event in received {
//!         println!("{}", event.name());
//!     }
//! });
//! // … calls through the layer. The thread ends with the layer and its services.
//! drop(timing);
//! writer.join().unwrap();
//! ```

mod active_call;
mod active_calls;
mod catch_panic;
mod fan_out;
#[cfg(feature = "json")]
mod json_lines;
mod memory;
#[expect(
    clippy::module_inception,
    reason = "a type's file is found by its name"
)]
mod sink;
#[cfg(feature = "tracing")]
mod tracing;
#[cfg(all(feature = "tracing", any(feature = "otlp", feature = "retry")))]
mod watch;
mod watchers;

pub(crate) use self::catch_panic::CatchPanic;
#[cfg(feature = "json")]
pub use self::json_lines::JsonLinesSink;
#[cfg(feature = "tracing")]
pub use self::tracing::TracingSink;
pub use self::{
    active_call::ActiveCall,
    active_calls::ActiveCalls,
    fan_out::FanOut,
    memory::{MemorySink, TooFewEvents},
    sink::Sink,
};

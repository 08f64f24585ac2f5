//! Where events go: the [`Sink`] trait and the sinks that the crate ships.
//!
//! | sink | what it does |
//! |---|---|
//! | [`MemorySink`] | keeps every event, for tests |
//! | [`JsonLinesSink`] | writes one JSON object a line to any writer |
//! | [`TracingSink`] | hands events to `tracing`, at a level by outcome |
//! | [`OtlpSink`](crate::OtlpSink) | exports over OTLP |
//! | `()` | off: the layers then do nothing at all |
//! | a closure | `Fn(Event)` |
//! | [`FanOut`] | hands every event to several sinks |
//! | `Option<S>`, `Arc<S>` | on or off at run time; shared |

mod contract;
mod fan_out;
mod guard;
#[cfg(feature = "json")]
mod json_lines;
mod memory;
#[cfg(feature = "tracing")]
mod tracing;

pub(crate) use self::guard::Guard;
#[cfg(feature = "json")]
pub use self::json_lines::JsonLinesSink;
#[cfg(feature = "tracing")]
pub use self::tracing::TracingSink;
pub use self::{
    contract::Sink,
    fan_out::FanOut,
    memory::{MemorySink, TooFewEvents},
};

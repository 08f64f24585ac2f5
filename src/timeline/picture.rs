use std::{collections::HashMap, fmt, io::IsTerminal};

use opentelemetry::TraceId;

use super::{style::Paint, trace::Trace};
use crate::event::Event;

/// A picture of traces as text: one line a call, nested as the calls were, each with a bar to scale.
///
/// Made by [`MemorySink::timeline`](crate::MemorySink::timeline) or from any list of events, to be
/// read by a person, such as in the message of a failed assertion. Its form may change.
///
/// Calls stand in the order in which they began, each under the call that it was made in; one whose
/// parent is not in the picture stands outermost. What follows the bar is how long the call took and
/// how it ended: `ok`, the class of its error, `cancelled` or `panic`. A call that has not ended has a
/// bar of another kind (`░`), as far as the picture goes, and says `(open)`.
///
/// `Display` prints it plain. [`colored`](Self::colored) adds colours, [`colored_on`](Self::colored_on)
/// where a terminal can show them.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use codex_telemetry::{Call, Clock, MemorySink, Operation, TimingLayer};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let sink = MemorySink::new();
/// let (clock, manual) = Clock::manual(UNIX_EPOCH);
/// let service = TimingLayer::with_clock(sink.clone(), clock).layer(service_fn(|call: Call<()>| {
///     manual.advance(Duration::from_millis(5));
///     let tool = call.context.open_child(Operation::Tool, Some("shell".into()), None);
///     manual.advance(Duration::from_millis(15));
///     tool.finish();
///     async { Ok::<_, ()>(()) }
/// }));
/// service.oneshot(Call::new(Operation::Turn, ())).await.unwrap();
///
/// let picture = sink.timeline().to_string();
/// let calls = picture.lines().skip(1).collect::<Vec<_>>();
/// assert_eq!(
///     calls,
///     [
///         "  codex.turn          ████████████████████████████████  20.000 ms  ok",
///         "    codex.tool shell          ████████████████████████  15.000 ms  ok",
///     ]
/// );
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Timeline {
    traces: Vec<Trace>,
}

/// A timeline as it is printed.
struct Picture<'a> {
    timeline: &'a Timeline,
    paint: Paint,
}

// === impl Timeline ===

impl Timeline {
    /// Returns the picture of every trace in `events`, in the order in which they began.
    #[must_use]
    pub fn new(events: &[Event]) -> Self {
        let mut ids: Vec<TraceId> = Vec::new();
        let mut by_trace: HashMap<TraceId, Vec<&Event>> = HashMap::new();
        for event in events {
            by_trace
                .entry(event.trace_id())
                .or_insert_with(|| {
                    ids.push(event.trace_id());
                    Vec::new()
                })
                .push(event);
        }
        let traces = ids.iter().map(|id| Trace::new(*id, &by_trace[id]));
        Self {
            traces: traces.collect(),
        }
    }

    /// Keeps the picture of one trace alone.
    #[must_use]
    pub fn of_trace(mut self, id: TraceId) -> Self {
        self.traces.retain(|trace| trace.id() == id);
        self
    }

    /// Returns the picture with colours that tell how each call ended, as the codes of a terminal.
    ///
    /// Green is `ok`, red a class of error, yellow `cancelled`, magenta `panic`, and cyan a call that
    /// is open.
    #[must_use]
    pub fn colored(&self) -> impl fmt::Display {
        Picture {
            timeline: self,
            paint: Paint::Colored,
        }
    }

    /// Returns the picture as `stream` can show it: with colours when it is a terminal, and plain
    /// otherwise, as for a file.
    ///
    /// Plain as well when the environment asks for it: by [`NO_COLOR`](https://no-color.org) with any
    /// value but an empty one, or by `TERM=dumb`.
    ///
    /// ```
    /// use codex_telemetry::MemorySink;
    ///
    /// let sink = MemorySink::new();
    /// // … calls are made …
    /// eprint!("{}", sink.timeline().colored_on(&std::io::stderr()));
    /// ```
    #[must_use]
    pub fn colored_on(&self, stream: &impl IsTerminal) -> impl fmt::Display {
        Picture {
            timeline: self,
            paint: Paint::on(stream),
        }
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let picture = Picture {
            timeline: self,
            paint: Paint::Plain,
        };
        fmt::Display::fmt(&picture, f)
    }
}

// === impl Picture ===

impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let traces = &self.timeline.traces;
        if traces.is_empty() {
            return f.write_str("(no events)\n");
        }
        traces
            .iter()
            .try_for_each(|trace| trace.print(f, self.paint))
    }
}

use std::{collections::HashMap, fmt, io::IsTerminal};

use opentelemetry::TraceId;

use super::{color::Color, trace::Trace};
use crate::event::Event;

/// Traces as text, for people to read: one line for each call, with a bar to scale.
///
/// [`MemorySink::timeline`](crate::MemorySink::timeline) creates one, and so does
/// [`Timeline::new`] from any list of events. Use it in the message of a failed assertion, for example.
/// The format may change.
///
/// Calls are listed in the order in which they started, each below its parent call and indented. A call
/// whose parent is not among the events is listed as a root. The bar is followed by the duration and by
/// the result: `ok`, the error class, `error` without a class, `cancelled` or `panic`. An open call has a
/// lighter bar (`░`), which reaches to the end of the trace, and the result `(open)`.
///
/// `Display` prints plain text. [`colored`](Self::colored) adds colours;
/// [`colored_on`](Self::colored_on) adds them if the output is a terminal.
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
/// let timeline = sink.timeline().to_string();
/// let calls = timeline.lines().skip(1).collect::<Vec<_>>();
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

impl Timeline {
    /// Returns a timeline of all traces in `events`, in the order in which they appear there.
    #[must_use]
    pub fn new(events: &[Event]) -> Self {
        let mut ids = Vec::new();
        let mut events_by_id: HashMap<_, Vec<_>> = HashMap::new();
        for event in events {
            let id = event.trace_id();
            let events = events_by_id.entry(id).or_insert_with(|| {
                ids.push(id);
                Vec::new()
            });
            events.push(event);
        }
        let traces = ids.iter().map(|id| Trace::new(*id, &events_by_id[id]));
        Self {
            traces: traces.collect(),
        }
    }

    /// Keeps only the trace with this id.
    #[must_use]
    pub fn of_trace(mut self, id: TraceId) -> Self {
        self.traces.retain(|trace| trace.id() == id);
        self
    }

    /// Returns the timeline with ANSI colours, by how each call ended.
    ///
    /// Green is `ok`, red an error, yellow `cancelled`, magenta `panic` and cyan an open call.
    #[must_use]
    pub fn colored(&self) -> impl fmt::Display {
        self.render(Color::On)
    }

    /// Returns the timeline with colours if `stream` is a terminal, and as plain text otherwise.
    ///
    /// The text is also plain if the environment variable [`NO_COLOR`](https://no-color.org) is set and
    /// not empty, or if `TERM` is `dumb`.
    ///
    /// ```
    /// use codex_telemetry::MemorySink;
    ///
    /// let sink = MemorySink::new();
    /// // … make calls …
    /// eprint!("{}", sink.timeline().colored_on(&std::io::stderr()));
    /// ```
    #[must_use]
    pub fn colored_on(&self, stream: &impl IsTerminal) -> impl fmt::Display {
        self.render(Color::for_stream(stream))
    }

    fn render(&self, color: Color) -> String {
        if self.traces.is_empty() {
            return "(no events)\n".to_owned();
        }
        self.traces
            .iter()
            .map(|trace| trace.render(color))
            .collect()
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Color::Off))
    }
}

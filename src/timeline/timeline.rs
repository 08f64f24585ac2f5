#[cfg(feature = "json")]
use std::io::{self, BufRead};
use std::{cmp::Reverse, fmt, io::IsTerminal};

use opentelemetry::TraceId;

#[cfg(feature = "json")]
use super::json_lines::JsonLines;
use super::{
    color::Color,
    html,
    span::Span,
    spans::Spans,
    svg,
    text::{self, MIN_WIDTH},
    trace::Trace,
};
use crate::event::{ErrorClass, Event};

/// Traces for people to look at: one line for each call, with a bar to scale.
///
/// [`MemorySink::timeline`](crate::MemorySink::timeline) creates one, and so does
/// [`Timeline::new`] from any list of events. Use it in the message of a failed assertion, for example.
/// [`from_json_lines`](Self::from_json_lines) reads what a [`JsonLinesSink`](crate::JsonLinesSink) has written.
/// The format of all outputs may change.
///
/// Calls are listed in the order in which they started, each below its parent call and indented. A call
/// whose parent is not among the events is listed as a root. The bar is followed by the duration and by
/// the result: `ok`, the error class, `error` without a class, `cancelled` or `panic`. An open call has a
/// lighter bar (`░`), which reaches to the end of the trace, and the result `(open)`.
///
/// The bar of a turn shows its [phases](crate::Phases), each by a fill and a colour of its own. Below is a legend, whose
/// numbers add up as they are printed. It leaves out phases that print as zero. The result of a turn that did not
/// complete names the phase in which it ended: `cancelled (approval)`.
///
/// ```text
/// trace 0af7651916cd43dd8448eb211c80319c  127.034 ms
///   codex.turn reviewer     ▂▂▂▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓████▓▓▓▓▓▓▓  127.034 ms  ok
///     ▂ startup 12.3 + ▓ model 94.3 + █ tools 20.4 = 127.0 ms
///     codex.tool shell                           ████▍         20.402 ms  ok
/// ```
///
/// `Display` prints plain text. Its bars have 32 columns; [`with_width`](Self::with_width) fits them to a terminal.
/// [`colored`](Self::colored) adds colours; [`colored_on`](Self::colored_on) adds them if the output is a terminal.
/// [`to_svg`](Self::to_svg) and [`to_html`](Self::to_html) return the same picture for a browser. A name may be chosen by
/// a model: in each output it is shortened, without characters that a terminal or a browser would interpret.
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
///
/// What a program serves of the traces that it has in memory:
///
/// ```
/// use codex_telemetry::{Call, CallContext, ErrorClass, MemorySink, Operation, Timeline, TimingLayer};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let sink = MemorySink::new();
/// let service = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<()>| async move {
///     call.context.classify(ErrorClass::RateLimit);
///     Err::<(), _>("too many requests")
/// }));
/// for thread in ["thread-1", "thread-2"] {
///     let context = CallContext::new().with_thread_id(thread);
///     let _ = service.clone().oneshot(Call::new(Operation::Turn, ()).with_context(context)).await;
/// }
///
/// let events = sink.take();
/// let all = Timeline::new(&events);
/// let count = |timeline: &Timeline| timeline.to_string().matches("codex.turn").count();
/// assert_eq!(count(&all), 2);
/// assert_eq!(count(&all.clone().of_thread("thread-2")), 1);
/// assert_eq!(count(&all.clone().of_trace(events[0].trace_id())), 1);
/// assert_eq!(count(&all.clone().of_class(ErrorClass::RateLimit)), 2);
/// assert!(all.clone().of_class(ErrorClass::Timeout).is_empty());
///
/// let slowest = all.slowest(1).with_width(80);
/// assert!(slowest.to_string().lines().all(|line| line.chars().count() <= 80));
/// assert!(slowest.colored().to_string().contains("\x1b[31m"));
/// assert!(slowest.to_svg().starts_with("<svg"));
/// assert!(slowest.to_html().contains("rate_limit"));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Timeline {
    traces: Vec<Trace>,
    width: Option<usize>,
    skipped_lines: usize,
}

// === impl Timeline ===

impl Timeline {
    /// Returns a timeline of all traces in `events`, in the order in which they appear there.
    #[must_use]
    pub fn new(events: &[Event]) -> Self {
        let mut spans = Spans::default();
        for event in events {
            spans.add(Span::from_event(event));
        }
        Self::of_spans(spans, 0)
    }

    /// Returns a timeline of all traces in the lines of a [`JsonLinesSink`](crate::JsonLinesSink), in the order in
    /// which they appear there.
    ///
    /// The picture is that of the events, to a microsecond. Unknown fields are ignored. A line that is not one of an
    /// event is skipped, such as one that was cut off, and so is one of more than 1 MiB;
    /// [`skipped_lines`](Self::skipped_lines) counts them. All calls are kept in memory: the caller bounds what it passes.
    ///
    /// ```
    /// use codex_telemetry::Timeline;
    ///
    /// let lines = concat!(
    ///     r#"{"event":"codex.tool.stop","time":"2026-01-02T03:04:05.678Z","duration_ms":20.5,"outcome":"ok","#,
    ///     r#""trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","name":"shell"}"#,
    ///     "\nsomething else\n",
    /// );
    /// let timeline = Timeline::from_json_lines(lines.as_bytes())?;
    /// assert!(timeline.to_string().ends_with("█  20.500 ms  ok\n"));
    /// assert_eq!(timeline.skipped_lines(), 1);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// An error of the reader.
    #[cfg(feature = "json")]
    pub fn from_json_lines(reader: impl BufRead) -> io::Result<Self> {
        let lines = JsonLines::read(reader)?;
        Ok(Self::of_spans(lines.spans, lines.skipped))
    }

    fn of_spans(spans: Spans, skipped_lines: usize) -> Self {
        Self {
            traces: spans.into_traces(),
            width: None,
            skipped_lines,
        }
    }

    /// Returns how many lines `from_json_lines` skipped.
    #[must_use]
    pub fn skipped_lines(&self) -> usize {
        self.skipped_lines
    }

    /// Returns whether there is no trace.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.traces.is_empty()
    }

    /// Keeps only the trace with this id.
    #[must_use]
    pub fn of_trace(self, id: TraceId) -> Self {
        self.filter(|trace| trace.id() == id)
    }

    /// Keeps only the traces with a call in this Codex thread.
    #[must_use]
    pub fn of_thread(self, id: &str) -> Self {
        self.filter(|trace| trace.has_thread(id))
    }

    /// Keeps only the traces with a call that ended with this class of error.
    #[must_use]
    pub fn of_class(self, class: ErrorClass) -> Self {
        self.filter(|trace| trace.has_class(class))
    }

    /// Keeps only the `count` traces that took longest, the slowest first.
    #[must_use]
    pub fn slowest(mut self, count: usize) -> Self {
        self.traces.sort_by_key(|trace| Reverse(trace.duration()));
        self.traces.truncate(count);
        self
    }

    fn filter(mut self, is_kept: impl Fn(&Trace) -> bool) -> Self {
        self.traces.retain(is_kept);
        self
    }

    /// Fits the lines of the text to this number of columns, or to 60 if it is less.
    ///
    /// A bar takes what labels, durations and results leave. If that is too little, labels are shortened first.
    #[must_use]
    pub fn with_width(mut self, columns: usize) -> Self {
        self.width = Some(columns.max(MIN_WIDTH));
        self
    }

    /// Returns the timeline with ANSI colours, by the phase of a turn and by how any other call ended.
    ///
    /// Green is `ok`, red an error, yellow `cancelled`, magenta `panic` and cyan an open call. A turn without phases has
    /// these as well.
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
    /// let timeline = sink.timeline();
    /// eprint!("{}", timeline.colored_on(&std::io::stderr()));
    /// # let file = tempfile::tempfile()?;
    /// // A file is no terminal.
    /// assert_eq!(timeline.colored_on(&file).to_string(), timeline.to_string());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn colored_on(&self, stream: &impl IsTerminal) -> impl fmt::Display {
        self.render(Color::for_stream(stream))
    }

    /// Returns the timeline as an SVG file.
    ///
    /// It needs nothing else: no script, font or network. It follows the light or dark scheme of the browser. A tooltip
    /// has the times of a call, and of each stretch of a turn's bar.
    #[must_use]
    pub fn to_svg(&self) -> String {
        svg::file(&self.traces)
    }

    /// Returns the timeline as an HTML page with the picture of [`to_svg`](Self::to_svg) for each trace.
    ///
    /// Its content security policy forbids to load or to run anything.
    #[must_use]
    pub fn to_html(&self) -> String {
        html::page(&self.traces)
    }

    fn render(&self, color: Color) -> String {
        if self.traces.is_empty() {
            return "(no events)\n".to_owned();
        }
        self.traces
            .iter()
            .map(|trace| text::render(trace, self.width, color))
            .collect()
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Color::Off))
    }
}

use std::{
    fmt,
    io::{self, ErrorKind, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::Sink;
use crate::event::{Event, JsonLine};

/// A sink that writes each event as a JSON object on its own line.
///
/// ```
/// use codex_telemetry::{Call, JsonLinesSink, Operation, TimingLayer};
/// use std::{fs::File, sync::Arc};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("events.jsonl");
/// let sink = Arc::new(JsonLinesSink::new(File::create(&path)?));
/// let layer = TimingLayer::new(Arc::clone(&sink));
/// let service = layer.layer(service_fn(|_: Call<()>| async { Ok::<_, std::io::Error>(()) }));
/// service.oneshot(Call::new(Operation::Custom("sync"), ())).await?;
///
/// assert_eq!(sink.failed(), 0);
/// let lines = std::fs::read_to_string(&path)?;
/// let stop: serde_json::Value = serde_json::from_str(lines.lines().nth(1).unwrap_or_default())?;
/// assert_eq!(stop["event"], "sync.stop");
/// assert_eq!(stop["outcome"], "ok");
/// # Ok(())
/// # }
/// ```
///
/// The lines are in the order in which the events were emitted: the start of a call is before its end, the start of
/// a parent before those of its children, and the end of a child before that of its parent, unless the child
/// outlives it. The field `time` follows this order, except for calls that a service learns of late, such as the
/// model responses of a turn, `codex.chat`: the lines of their start and end may come late, with an earlier time.
/// Sort by `time` to read all events in the order in which they happened.
///
/// The sink writes and flushes whole lines, on the thread on which the call starts or ends. If writing
/// can block, use a writer that queues the lines for a thread of its own.
///
/// If a line cannot be written, the sink drops the event, counts it (see [`failed`](Self::failed)) and
/// continues with the next one. It logs a warning for the first.
pub struct JsonLinesSink<W> {
    lines: Mutex<LineWriter<W>>,
    failed: AtomicU64,
}

struct LineWriter<W> {
    writer: W,
    line: JsonLine,
    /// Whether the last line is incomplete, because writing it failed halfway.
    incomplete: bool,
}

// === impl JsonLinesSink ===

impl<W: Write> JsonLinesSink<W> {
    /// Returns a sink that writes to `writer`.
    pub fn new(writer: W) -> Self {
        Self {
            lines: Mutex::new(LineWriter {
                writer,
                line: JsonLine::new(),
                incomplete: false,
            }),
            failed: AtomicU64::new(0),
        }
    }

    /// Returns the number of events that could not be written.
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    fn write(&self, event: &Event) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let written = lines.write(event);
        drop(lines);
        if let Err(_error) = written
            && self.failed.fetch_add(1, Relaxed) == 0
        {
            #[cfg(feature = "tracing")]
            ::tracing::warn!(
                target: "codex_telemetry",
                error = %_error,
                "an event could not be written as a JSON line and is dropped; this is logged once, \
                 `JsonLinesSink::failed` counts such events"
            );
        }
    }

    /// Returns the writer.
    ///
    /// ```
    /// use codex_telemetry::JsonLinesSink;
    /// use std::io::BufWriter;
    ///
    /// let sink = JsonLinesSink::new(BufWriter::new(Vec::new()));
    /// // … calls through a layer …
    /// let bytes = sink.into_inner().into_inner()?;
    /// assert!(bytes.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_inner(self) -> W {
        let lines = self.lines.into_inner();
        lines.unwrap_or_else(PoisonError::into_inner).writer
    }
}

impl<W: Write + Send> Sink for JsonLinesSink<W> {
    fn emit(&self, event: Event) {
        self.write(&event);
    }

    fn emit_start(&self, event: &Event) {
        self.write(event);
    }
}

impl<W> fmt::Debug for JsonLinesSink<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonLinesSink")
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

// === impl LineWriter ===

impl<W: Write> LineWriter<W> {
    fn write(&mut self, event: &Event) -> io::Result<()> {
        self.line.write(event, self.incomplete)?;
        self.write_line()?;
        self.writer.flush()
    }

    /// Does what `write_all` does, and keeps track of whether the last line is complete.
    fn write_line(&mut self) -> io::Result<()> {
        let mut rest = self.line.as_bytes();
        while !rest.is_empty() {
            match self.writer.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.incomplete = rest[written - 1] != b'\n';
                    rest = &rest[written..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

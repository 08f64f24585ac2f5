use std::{
    fmt,
    io::{ErrorKind, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::Sink;
use crate::event::Event;

/// Writes each event as one JSON object on a line of its own.
///
/// ```
/// use codex_telemetry::{JsonLinesSink, TimingLayer};
///
/// let layer = TimingLayer::new(JsonLinesSink::new(std::io::stdout()));
/// # let _ = layer;
/// ```
///
/// Each line is written whole and flushed, on the thread on which the call starts or ends. Give a
/// writer that hands lines on to a thread of its own when the real one can block.
///
/// A line that cannot be written is counted, see [`failed`](Self::failed), and the first one is
/// warned of; the sink goes on with the next.
pub struct JsonLinesSink<W> {
    out: Mutex<Out<W>>,
    failed: AtomicU64,
}

struct Out<W> {
    writer: W,
    /// Kept from line to line, to spare the allocator.
    line: Vec<u8>,
    /// Whether the writer failed in the middle of the last line.
    torn: bool,
}

impl<W: Write> JsonLinesSink<W> {
    /// Returns a sink that writes to `writer`.
    pub fn new(writer: W) -> Self {
        Self {
            out: Mutex::new(Out {
                writer,
                line: Vec::new(),
                torn: false,
            }),
            failed: AtomicU64::new(0),
        }
    }

    /// Returns how many events could not be written.
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Returns the writer.
    pub fn into_inner(self) -> W {
        self.out
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .writer
    }
}

impl<W: Write> Out<W> {
    fn write(&mut self, event: &Event) -> std::io::Result<()> {
        self.line.clear();
        if self.torn {
            // What stands there is lost; this line need not be lost with it.
            self.line.push(b'\n');
        }
        serde_json::to_writer(&mut self.line, event)?;
        self.line.push(b'\n');
        self.write_line()?;
        self.writer.flush()
    }

    /// `write_all`, which also learns whether a line is left unfinished.
    fn write_line(&mut self) -> std::io::Result<()> {
        let mut rest = &self.line[..];
        while !rest.is_empty() {
            match self.writer.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.torn = rest[written - 1] != b'\n';
                    rest = &rest[written..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<W: Write + Send> Sink for JsonLinesSink<W> {
    fn emit(&self, event: Event) {
        let written = {
            let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
            out.write(&event)
        };
        if let Err(_error) = written
            && self.failed.fetch_add(1, Relaxed) == 0
        {
            #[cfg(feature = "tracing")]
            ::tracing::warn!(
                target: "codex_telemetry",
                error = %_error,
                "an event could not be written as a JSON line; this is said once, look at \
                 `JsonLinesSink::failed` for how many follow"
            );
        }
    }
}

impl<W> fmt::Debug for JsonLinesSink<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonLinesSink")
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

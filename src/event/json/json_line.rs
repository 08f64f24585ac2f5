use std::{
    io::{self, ErrorKind},
    time::Duration,
};

use opentelemetry::{KeyValue, SpanId, TraceId, Value, trace};

use super::{
    cursor::Cursor,
    members::{Key, Members, describe},
    rfc3339::Rfc3339,
    serialize::{Changes, JsonValue, SpanEvents},
};
use crate::event::{Event, EventKind, Operation, Phases};

/// The least size of the buffer: most lines fit in it.
const MIN_BUFFER: usize = 1024;

/// A line with the JSON of an event: what `serde_json` writes for it, several times faster.
///
/// It is reused, to save an allocation per event.
pub(crate) struct JsonLine {
    /// Longer than any line until now.
    buffer: Vec<u8>,
    len: usize,
    times: Rfc3339,
}

/// Writes the members of an event's object.
struct Line<'a> {
    cursor: Cursor<'a>,
    times: &'a mut Rfc3339,
}

// === impl JsonLine ===

impl JsonLine {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; MIN_BUFFER],
            len: 0,
            times: Rfc3339::new(),
        }
    }

    /// Returns the line that was written last.
    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// Replaces the line with that of an event, after the end of an incomplete one.
    ///
    /// # Errors
    ///
    /// If the time of the event is after the year 9999. The line is empty then.
    pub(crate) fn write(&mut self, event: &Event, is_after_incomplete: bool) -> io::Result<()> {
        self.len = 0;
        loop {
            match self.try_write(event, is_after_incomplete) {
                Ok(len) => {
                    self.len = len;
                    return Ok(());
                }
                // It is the longest line until now.
                Err(error) if error.kind() == ErrorKind::WriteZero => {
                    self.buffer.resize(2 * self.buffer.len(), 0);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the length of the line, or [`ErrorKind::WriteZero`] if the buffer is too short.
    fn try_write(&mut self, event: &Event, is_after_incomplete: bool) -> io::Result<usize> {
        let len = self.buffer.len();
        let mut line = Line {
            cursor: Cursor::new(&mut self.buffer),
            times: &mut self.times,
        };
        if is_after_incomplete {
            line.cursor.bytes(b"\n")?;
        }
        describe(event, &mut line)?;
        line.cursor.bytes(b"}\n")?;
        let left = line.cursor.left();
        // Each key begins with a comma.
        self.buffer[usize::from(is_after_incomplete)] = b'{';
        Ok(len - left)
    }
}

// === impl Line ===

impl Line<'_> {
    #[inline(always)]
    fn key(&mut self, key: Key) -> io::Result<()> {
        self.cursor.bytes(key.as_written().as_bytes())
    }
}

impl Members for Line<'_> {
    type Error = io::Error;

    #[inline(always)]
    fn text(&mut self, key: Key, text: &str) -> io::Result<()> {
        self.key(key)?;
        self.cursor.text(text)
    }

    #[inline(always)]
    fn plain(&mut self, key: Key, text: &str) -> io::Result<()> {
        self.key(key)?;
        self.cursor.plain(text)
    }

    #[inline(always)]
    fn event_name(&mut self, key: Key, operation: Operation, kind: EventKind) -> io::Result<()> {
        match operation.known_event_name(kind) {
            Some(name) => self.plain(key, name),
            None => {
                self.key(key)?;
                self.cursor.value(&format_args!("{operation}.{kind}"))
            }
        }
    }

    #[inline(always)]
    fn time(&mut self, key: Key, time: Duration) -> io::Result<()> {
        self.key(key)?;
        self.cursor.time(self.times, time)
    }

    #[inline(always)]
    fn millis(&mut self, key: Key, duration: Duration) -> io::Result<()> {
        self.key(key)?;
        self.cursor.millis(duration)
    }

    #[inline(always)]
    fn number(&mut self, key: Key, number: u32) -> io::Result<()> {
        self.key(key)?;
        match number {
            // Almost every attempt.
            1 => self.cursor.bytes(b"1"),
            _ => self.cursor.integer(number),
        }
    }

    #[inline(always)]
    fn trace_id(&mut self, key: Key, id: TraceId) -> io::Result<()> {
        self.key(key)?;
        self.cursor.hex(&id.to_bytes())
    }

    #[inline(always)]
    fn span_id(&mut self, key: Key, id: SpanId) -> io::Result<()> {
        self.key(key)?;
        self.cursor.hex(&id.to_bytes())
    }

    #[inline(always)]
    fn attributes(&mut self, key: Key, attributes: &[KeyValue]) -> io::Result<()> {
        self.key(key)?;
        for (nth, attribute) in attributes.iter().enumerate() {
            self.cursor.bytes(if nth == 0 { b"{" } else { b"," })?;
            self.cursor.text(attribute.key.as_str())?;
            self.cursor.bytes(b":")?;
            match &attribute.value {
                Value::Bool(true) => self.cursor.bytes(b"true")?,
                Value::Bool(false) => self.cursor.bytes(b"false")?,
                Value::I64(number) => self.cursor.integer(*number)?,
                Value::F64(number) if number.is_finite() => self.cursor.float(*number)?,
                Value::String(text) => self.cursor.text(text.as_str())?,
                other => self.cursor.value(&JsonValue(other))?,
            }
        }
        self.cursor.bytes(b"}")
    }

    #[inline(always)]
    fn phases(&mut self, key: Key, phases: &Phases) -> io::Result<()> {
        self.key(key)?;
        self.cursor.value(&Changes(phases.changes()))
    }

    #[inline(always)]
    fn span_events(&mut self, key: Key, events: &[trace::Event]) -> io::Result<()> {
        self.key(key)?;
        self.cursor.value(&SpanEvents(events))
    }
}

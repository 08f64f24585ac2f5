use std::{
    io::{self, Write},
    time::{Duration, UNIX_EPOCH},
};

/// The length of a time such as `2026-01-02T03:04:05.678901Z`.
const LEN: usize = 27;

/// Writes times by RFC 3339, with microseconds. It keeps the text of the last second, which most events share.
pub(super) struct Rfc3339 {
    text: [u8; LEN],
    /// Since the Unix epoch; `None` before the first time.
    second: Option<u64>,
}

// === impl Rfc3339 ===

impl Rfc3339 {
    pub(super) fn new() -> Self {
        Self {
            text: [0; LEN],
            second: None,
        }
    }

    /// Returns the text of a time, which is given since the Unix epoch. Its microsecond is that of an earlier one.
    ///
    /// # Errors
    ///
    /// If the time is after the year 9999.
    #[inline]
    pub(super) fn second(&mut self, time: Duration) -> io::Result<&[u8; LEN]> {
        if self.second != Some(time.as_secs()) {
            self.set_second(time)?;
        }
        Ok(&self.text)
    }

    #[cold]
    fn set_second(&mut self, time: Duration) -> io::Result<()> {
        self.second = None;
        let mut text = &mut self.text[..];
        write!(
            text,
            "{}",
            humantime::format_rfc3339_micros(UNIX_EPOCH + time)
        )?;
        self.second = Some(time.as_secs());
        Ok(())
    }
}

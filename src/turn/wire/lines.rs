use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::Pauses;

/// The space reserved for each read, in bytes.
pub(in crate::turn) const CHUNK: usize = 64 * 1024;

/// The lines of a byte stream, with a maximum length.
///
/// One buffer has each line in turn, and what of the next lines was read with it. It grows up to the longest line, and
/// the processor's cache keeps it: whoever keeps a part of a line copies it.
pub(in crate::turn) struct Lines<R> {
    pub(in crate::turn) reader: R,
    pub(in crate::turn) buffer: Vec<u8>,
    /// Where the next line begins in the buffer.
    start: usize,
    /// How much of the buffer has been searched for an end of line.
    scanned: usize,
    pauses: Pauses,
    limit: usize,
}

#[derive(Debug)]
pub(in crate::turn) enum LineError {
    /// A line is longer than the limit.
    TooLong,
    Io(io::Error),
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(in crate::turn) fn new(reader: R, limit: usize) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            pauses: Pauses::default(),
            limit,
        }
    }

    /// Returns the next line, without its end; `None` at the end of the stream.
    ///
    /// An incomplete last line is ignored: a process leaves one when it is killed while it writes.
    ///
    /// # Cancel safety
    ///
    /// The buffer keeps what was read.
    pub(in crate::turn) async fn next(&mut self) -> Result<Option<&[u8]>, LineError> {
        loop {
            if let Some(length) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) {
                let (start, end) = (self.start, self.scanned + length);
                if end - start > self.limit {
                    return Err(LineError::TooLong);
                }
                self.start = end + 1;
                self.scanned = self.start;
                return Ok(Some(&self.buffer[start..end]));
            }
            self.scanned = self.buffer.len();
            if self.scanned - self.start > self.limit {
                return Err(LineError::TooLong);
            }
            if self.read().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads to the end of the stream, and keeps nothing.
    pub(in crate::turn) async fn discard(&mut self) {
        loop {
            self.start = self.buffer.len();
            self.scanned = self.start;
            if let Ok(0) | Err(_) = self.read().await {
                return;
            }
        }
    }

    /// Reads once, after removing the lines that were returned. Returns how much was read.
    async fn read(&mut self) -> Result<usize, LineError> {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        self.buffer.reserve(CHUNK);
        let read = self.reader.read_buf(&mut self.buffer).await;
        let length = read.map_err(LineError::Io)?;
        if length > 0 {
            self.pauses.pause_sometimes().await;
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::io::Builder;

    use super::*;

    async fn all(chunks: &[&[u8]], limit: usize) -> (Vec<Vec<u8>>, bool) {
        let mut script = Builder::new();
        chunks.iter().for_each(|chunk| {
            script.read(chunk);
        });
        let mut lines = Lines::new(script.build(), limit);
        let mut all = Vec::new();
        loop {
            match lines.next().await {
                Ok(Some(line)) => all.push(line.to_vec()),
                Ok(None) => return (all, false),
                Err(LineError::TooLong) => {
                    // The mock panics if anything is left.
                    while let Ok(1..) = lines.reader.read(&mut [0; 64]).await {}
                    return (all, true);
                }
                Err(LineError::Io(error)) => panic!("{error}"),
            }
        }
    }

    #[tokio::test]
    async fn a_read_may_end_anywhere_in_a_line() {
        let text = b"one\n\nthree \xff\ntail";
        let whole = all(&[text], 100).await;
        assert_eq!(
            whole.0,
            [b"one".to_vec(), b"".to_vec(), b"three \xff".to_vec()]
        );
        for cut in 1..text.len() {
            assert_eq!(all(&[&text[..cut], &text[cut..]], 100).await, whole);
        }
    }

    #[tokio::test]
    async fn the_limit_is_the_maximum_length_of_a_line() {
        assert_eq!(all(&[b"1234\n"], 4).await, (vec![b"1234".to_vec()], false));
        assert_eq!(all(&[b"12345\n"], 4).await, (vec![], true));
    }

    #[tokio::test]
    async fn an_endless_line_is_rejected_at_the_limit() {
        let chunk = [b'x'; 1024];
        let endless: Vec<&[u8]> = (0..100).map(|_| &chunk[..]).collect();
        assert_eq!(all(&endless, 4096).await, (vec![], true));
    }
}

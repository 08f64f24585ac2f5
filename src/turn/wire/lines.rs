use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::Pauses;

/// The space reserved for each read, in bytes.
pub(in crate::turn) const CHUNK: usize = 64 * 1024;

/// The lines of a byte stream, with a maximum length.
pub(in crate::turn) struct Lines<R> {
    pub(in crate::turn) reader: R,
    pub(in crate::turn) buffer: BytesMut,
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
            buffer: BytesMut::new(),
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
    pub(in crate::turn) async fn next(&mut self) -> Result<Option<BytesMut>, LineError> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) {
                let length = self.scanned + at;
                if length > self.limit {
                    return Err(LineError::TooLong);
                }
                let mut line = self.buffer.split_to(length + 1);
                line.truncate(length);
                self.scanned = 0;
                return Ok(Some(line));
            }
            self.scanned = self.buffer.len();
            if self.scanned > self.limit {
                return Err(LineError::TooLong);
            }
            self.buffer.reserve(CHUNK);
            let read = self.reader.read_buf(&mut self.buffer).await;
            if read.map_err(LineError::Io)? == 0 {
                return Ok(None);
            }
            self.pauses.pause_sometimes().await;
        }
    }

    /// Reads to the end of the stream, and keeps nothing.
    pub(in crate::turn) async fn discard(&mut self) {
        loop {
            self.buffer.clear();
            self.buffer.reserve(CHUNK);
            if let Ok(0) | Err(_) = self.reader.read_buf(&mut self.buffer).await {
                return;
            }
            self.pauses.pause_sometimes().await;
        }
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

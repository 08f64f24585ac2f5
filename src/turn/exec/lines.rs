use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

#[cfg(any(test, fuzzing))]
pub(super) mod checks;

/// How much room is made for each read.
const CHUNK: usize = 64 * 1024;

/// Lines of a byte stream, none longer than a limit.
pub(super) struct Lines<R> {
    reader: R,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no end of line.
    scanned: usize,
    limit: usize,
}

#[derive(Debug)]
pub(super) enum LineError {
    /// A line is longer than the limit.
    TooLong,
    Io(io::Error),
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R, limit: usize) -> Self {
        Self {
            reader,
            buffer: BytesMut::new(),
            scanned: 0,
            limit,
        }
    }

    /// The next line, without its end; `None` at the end of the stream.
    ///
    /// What follows the last end of line is not given: it is what a process that was killed while it
    /// wrote leaves behind.
    ///
    /// Cancel safe: what was read stays in the buffer.
    pub(super) async fn next(&mut self) -> Result<Option<BytesMut>, LineError> {
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
        let mut seen = Vec::new();
        loop {
            match lines.next().await {
                Ok(Some(line)) => seen.push(line.to_vec()),
                Ok(None) => return (seen, false),
                Err(LineError::TooLong) => {
                    // What is still to be read is not of interest any more.
                    while let Ok(1..) = lines.reader.read(&mut [0; 64]).await {}
                    return (seen, true);
                }
                Err(LineError::Io(error)) => panic!("{error}"),
            }
        }
    }

    #[tokio::test]
    async fn lines_are_the_same_for_every_chunking() {
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
    async fn the_limit_is_the_longest_line_that_passes() {
        assert_eq!(all(&[b"1234\n"], 4).await, (vec![b"1234".to_vec()], false));
        assert_eq!(all(&[b"12345\n"], 4).await, (vec![], true));
    }

    #[tokio::test]
    async fn a_line_without_end_is_given_up_before_it_is_held_whole() {
        let chunk = [b'x'; 1024];
        let endless: Vec<&[u8]> = (0..100).map(|_| &chunk[..]).collect();
        assert_eq!(all(&endless, 4096).await, (vec![], true));
    }
}

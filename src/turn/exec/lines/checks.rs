//! What holds for the lines of any bytes, as property tests and fuzzers make them up.

use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::{CHUNK, LineError, Lines};

/// Bytes that come in pieces of given sizes, over and over.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, u16>>,
    /// Whether it has just kept its reader waiting, which it does instead of giving nothing.
    has_paused: bool,
}

/// Checks that the lines are those of the bytes, however these come and however often the reader is
/// dropped while it waits, and that what is held stays in proportion to the limit.
#[allow(unreachable_pub, reason = "a fuzz target reaches it")]
pub fn any_chunking(bytes: &[u8], sizes: &[u16], limit: usize) {
    let pieces = Pieces {
        bytes,
        sizes: sizes.iter().cycle(),
        has_paused: false,
    };
    let mut lines = Lines::new(pieces, limit);
    let mut cx = Context::from_waker(Waker::noop());
    let mut seen = Vec::new();
    let is_too_long = loop {
        // Dropped whenever it is pending, as a `select!` drops it.
        let next = pin!(lines.next()).poll(&mut cx);
        assert!(lines.buffer.capacity() <= 2 * (limit + CHUNK));
        match next {
            Poll::Pending => {}
            Poll::Ready(Ok(Some(line))) => seen.push(line),
            Poll::Ready(Ok(None)) => break false,
            Poll::Ready(Err(LineError::TooLong)) => break true,
            Poll::Ready(Err(LineError::Io(error))) => panic!("{error}"),
        }
    };
    let (expected, is_expected_too_long) = split(bytes, limit);
    assert_eq!(seen, expected);
    assert_eq!(is_too_long, is_expected_too_long);
}

/// The lines that have an end, and whether one that is longer than the limit came after them.
fn split(bytes: &[u8], limit: usize) -> (Vec<&[u8]>, bool) {
    let mut lines = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let ended = line.strip_suffix(b"\n");
        if ended.unwrap_or(line).len() > limit {
            return (lines, true);
        }
        lines.extend(ended);
    }
    (lines, false)
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let size = self.sizes.next().map_or(usize::MAX, |size| (*size).into());
        if size == 0 && !self.has_paused {
            self.has_paused = true;
            return Poll::Pending;
        }
        self.has_paused = false;
        let size = size.clamp(1, buffer.remaining()).min(self.bytes.len());
        let (piece, rest) = self.bytes.split_at(size);
        buffer.put_slice(piece);
        self.bytes = rest;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Any bytes, of which many are ends of lines.
    fn bytes(longest: usize) -> impl Strategy<Value = Vec<u8>> {
        vec(prop_oneof![4 => any::<u8>(), 1 => Just(b'\n')], 0..longest)
    }

    proptest! {
        #[test]
        fn any_bytes_are_the_same_lines_for_every_chunking(
            bytes in bytes(400),
            sizes in vec(0..40_u16, 0..8),
            limit in 0..40_usize,
        ) {
            any_chunking(&bytes, &sizes, limit);
        }
    }

    proptest! {
        // Each goes through a lot of bytes.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn lines_that_take_several_reads_are_the_same_for_every_chunking(
            lines in vec((any::<u8>(), 0..3 * CHUNK), 1..4),
            sizes in vec(any::<u16>(), 0..4),
            limit in CHUNK..4 * CHUNK,
        ) {
            let lines = lines.into_iter().map(|(byte, length)| vec![byte; length]);
            any_chunking(&lines.collect::<Vec<_>>().join(&b'\n'), &sizes, limit);
        }
    }
}

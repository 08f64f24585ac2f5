use std::{
    io::{self, ErrorKind},
    mem,
    ops::Range,
    time::Duration,
};

use serde::Serialize;

use super::{hex, rfc3339::Rfc3339};
use crate::event::millis;

/// The nanoseconds of the durations whose milliseconds are written without a float. They have at most fifteen digits, so
/// those of the float are the same, and no exponent.
const EXACT_NANOS: Range<u64> = 100..1_000_000_000_000_000;
/// Where the digits of the microsecond are in a time between quotes.
const MICROS: Range<usize> = 21..27;

/// Writes JSON into a buffer, one piece after another.
///
/// A method fails with [`ErrorKind::WriteZero`] if the buffer is full. A vector would grow instead, but the compiler
/// keeps a slice in two registers, and has to store and load the length of a vector for each piece. For the same reason
/// the methods are inlined: none is given the address of a cursor.
pub(super) struct Cursor<'a> {
    /// What is not written yet.
    rest: &'a mut [u8],
}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    #[inline]
    pub(super) fn new(buffer: &'a mut [u8]) -> Self {
        Self { rest: buffer }
    }

    /// Returns how many bytes are not written yet.
    #[inline]
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Returns the next `len` bytes, for the caller to write.
    #[inline(always)]
    fn next(&mut self, len: usize) -> io::Result<&'a mut [u8]> {
        let split = mem::take(&mut self.rest).split_at_mut_checked(len);
        let (next, rest) = split.ok_or(ErrorKind::WriteZero)?;
        self.rest = rest;
        Ok(next)
    }

    #[inline(always)]
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.next(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// Writes a string that needs no escape.
    #[inline(always)]
    pub(super) fn plain(&mut self, text: &str) -> io::Result<()> {
        if let [first, inner @ .., last] = self.next(text.len() + 2)? {
            (*first, *last) = (b'"', b'"');
            inner.copy_from_slice(text.as_bytes());
        }
        Ok(())
    }

    /// Writes a string.
    #[inline(always)]
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        if needs_escape(text) {
            return self.value(text);
        }
        self.plain(text)
    }

    /// Writes bytes as a string of hexadecimal digits.
    #[inline(always)]
    pub(super) fn hex(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let [first, inner @ .., last] = self.next(2 * bytes.len() + 2)? {
            (*first, *last) = (b'"', b'"');
            let (pairs, _) = inner.as_chunks_mut();
            for (pair, byte) in pairs.iter_mut().zip(bytes) {
                *pair = hex::PAIRS[usize::from(*byte)];
            }
        }
        Ok(())
    }

    #[inline]
    pub(super) fn integer(&mut self, number: impl itoa::Integer) -> io::Result<()> {
        self.bytes(itoa::Buffer::new().format(number).as_bytes())
    }

    /// Writes a finite number.
    #[inline]
    pub(super) fn float(&mut self, number: f64) -> io::Result<()> {
        self.bytes(zmij::Buffer::new().format_finite(number).as_bytes())
    }

    /// Writes a duration in milliseconds.
    #[inline(always)]
    pub(super) fn millis(&mut self, duration: Duration) -> io::Result<()> {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        if !EXACT_NANOS.contains(&nanos) {
            return self.float(millis(duration));
        }
        let (millis, mut rest) = (nanos / 1_000_000, nanos % 1_000_000);
        match millis {
            0..10 => self.bytes(&[digit(millis)])?,
            _ => self.integer(millis)?,
        }
        let to = self.rest.first_chunk_mut().ok_or(ErrorKind::WriteZero)?;
        *to = *b".000000";
        // At least one digit after the point, and no zeros at the end.
        let mut len = 2;
        for at in (1..to.len()).rev() {
            to[at] = digit(rest);
            if to[at] != b'0' {
                len = len.max(at + 1);
            }
            rest /= 10;
        }
        self.next(len)?;
        Ok(())
    }

    /// Writes a time, which is given since the Unix epoch, as a string.
    #[inline(always)]
    pub(super) fn time(&mut self, times: &mut Rfc3339, time: Duration) -> io::Result<()> {
        let second = times.second(time)?;
        let to = self.next(second.len() + 2)?;
        to[0] = b'"';
        to[1..=second.len()].copy_from_slice(second);
        to[second.len() + 1] = b'"';
        // Into the line at once: a copy of bytes that were just written one by one would wait for each of them.
        let mut micros = u64::from(time.subsec_micros());
        for to in to[MICROS].iter_mut().rev() {
            *to = digit(micros);
            micros /= 10;
        }
        Ok(())
    }

    /// Writes any value.
    pub(super) fn value(&mut self, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
        // A variable of its own, since this gives its address away.
        let mut rest = mem::take(&mut self.rest);
        serde_json::to_writer(&mut rest, value)?;
        self.rest = rest;
        Ok(())
    }
}

/// Returns the last decimal digit.
#[inline]
fn digit(number: u64) -> u8 {
    b'0' + (number % 10) as u8
}

/// Returns whether a text has a character that a JSON string may not have as it is.
#[inline(never)]
fn needs_escape(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some(last) = bytes.last_chunk() else {
        return bytes
            .iter()
            .any(|byte| matches!(byte, 0..b' ' | b'"' | b'\\'));
    };
    let (words, _) = bytes.as_chunks();
    // The last one overlaps with that before it.
    words.iter().chain([last]).any(|word| has_escaped(*word))
}

/// Returns whether one of eight bytes is escaped: a few operations on all of them at once.
#[inline]
fn has_escaped(bytes: [u8; 8]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
    // If a byte is below the limit, the subtraction sets the high bit of it. If none is, no byte borrows from the next one,
    // and sets only those that were set before.
    let has_below =
        |word: u64, limit: u8| word.wrapping_sub(EACH * u64::from(limit)) & !word & HIGH_BITS != 0;
    let word = u64::from_ne_bytes(bytes);
    let has = |byte: u8| has_below(word ^ (EACH * u64::from(byte)), 1);
    has_below(word, b' ') | has(b'"') | has(b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Cursor<'_>) -> io::Result<()>) -> String {
        let mut buffer = [0; 200];
        let mut cursor = Cursor::new(&mut buffer);
        write(&mut cursor).unwrap();
        let left = cursor.left();
        let len = buffer.len() - left;
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    fn assert_is_millis(nanos: u64) {
        let duration = Duration::from_nanos(nanos);
        let expected = serde_json::to_string(&millis(duration)).unwrap();
        assert_eq!(written(|cursor| cursor.millis(duration)), expected);
    }

    #[test]
    fn a_duration_has_the_digits_of_its_float_at_each_power_of_ten() {
        for power in 0..20 {
            let nanos = 10_u64.pow(power);
            for nanos in nanos.saturating_sub(11)..nanos + 11 {
                assert_is_millis(nanos);
                assert_is_millis(nanos / 2);
            }
        }
        assert_is_millis(u64::MAX);
    }

    #[test]
    fn a_character_that_is_escaped_is_found_at_each_place_of_a_text_of_each_length() {
        for (len, byte) in (1..20).flat_map(|len| (0..=0x7f).map(move |byte| (len, byte))) {
            for at in 0..len {
                // Its neighbours are the bytes that are closest to those that are escaped, and those with a high bit.
                for other in [" ", "!", "#", "[", "]", "\u{7f}", "ä"] {
                    let (before, after) = (other.repeat(at), other.repeat(len - at - 1));
                    let text = format!("{before}{}{after}", char::from(byte));
                    let json = serde_json::to_string(&text).unwrap();
                    let is_escaped = json.len() > text.len() + 2;
                    assert_eq!(needs_escape(&text), is_escaped, "{text:?}");
                }
            }
        }
        assert!(!needs_escape(""));
    }

    proptest! {
        #[test]
        fn a_duration_has_the_digits_of_its_float(bits: u64, shift in 0..64_u32) {
            assert_is_millis(bits >> shift);
        }
    }
}

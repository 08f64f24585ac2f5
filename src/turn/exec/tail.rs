/// The last bytes of a stream, up to a limit.
pub(super) struct Tail {
    bytes: Vec<u8>,
    limit: usize,
}

impl Tail {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let keep = &bytes[bytes.len().saturating_sub(self.limit)..];
        let excess = (self.bytes.len() + keep.len()).saturating_sub(self.limit);
        self.bytes.drain(..excess);
        self.bytes.extend_from_slice(keep);
    }

    /// The bytes as text, whole lines only when the first was cut.
    pub(super) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let cut = self.bytes.len() == self.limit;
        match text.split_once('\n') {
            Some((_, rest)) if cut && !rest.is_empty() => rest.trim_end().to_owned(),
            _ => text.trim_end().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept_in_whole_lines() {
        let mut tail = Tail::new(10);
        tail.push(b"first\n");
        assert_eq!(tail.text(), "first");
        tail.push(b"second\n");
        assert_eq!(tail.text(), "second");
        tail.push(&[b'x'; 100]);
        assert_eq!(tail.text(), "x".repeat(10));
        assert!(tail.bytes.capacity() < 100);
    }
}

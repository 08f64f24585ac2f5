/// The last bytes of a stream, up to a limit.
pub(in crate::turn) struct Tail {
    bytes: Vec<u8>,
    limit: usize,
}

// === impl Tail ===

impl Tail {
    pub(in crate::turn) const fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
        }
    }

    pub(in crate::turn) fn push(&mut self, bytes: &[u8]) {
        let keep = &bytes[bytes.len().saturating_sub(self.limit)..];
        let excess = (self.bytes.len() + keep.len()).saturating_sub(self.limit);
        self.bytes.drain(..excess);
        self.bytes.extend_from_slice(keep);
    }

    /// Returns whether bytes may have been dropped.
    pub(in crate::turn) const fn is_cut(&self) -> bool {
        self.bytes.len() == self.limit
    }

    /// Returns the bytes as text, without the first line if it is cut.
    pub(in crate::turn) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        match text.split_once('\n') {
            Some((_, rest)) if self.is_cut() && !rest.is_empty() => rest.trim_end().to_owned(),
            _ => text.trim_end().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_keeps_the_last_whole_lines() {
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

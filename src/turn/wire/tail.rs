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

    /// Returns the bytes as text, without colours, and without the first line if it is cut.
    pub(in crate::turn) fn text(&self) -> String {
        let text = without_colours(&String::from_utf8_lossy(&self.bytes));
        match text.split_once('\n') {
            Some((_, rest)) if self.is_cut() && !rest.is_empty() => rest.trim_end().to_owned(),
            _ => text.trim_end().to_owned(),
        }
    }
}

/// Removes the control sequences of a terminal, which Codex writes to a pipe as well.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // Parameters, and one letter.
        let parameters = part.find(|c: char| !(c.is_ascii_digit() || c == ';'));
        let rest = parameters.map_or("", |at| &part[at..]);
        plain.push_str(
            rest.strip_prefix(|c: char| c.is_ascii_alphabetic())
                .unwrap_or(rest),
        );
    }
    plain
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

    #[test]
    fn a_tail_has_no_colours() {
        let mut tail = Tail::new(100);
        tail.push("\u{1b}[2m2026\u{1b}[0m \u{1b}[31;1mERROR\u{1b}[0m é \u{1b}[".as_bytes());
        assert_eq!(tail.text(), "2026 ERROR é");
    }
}

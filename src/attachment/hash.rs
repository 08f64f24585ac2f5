use sha2::{Digest, Sha256};

/// The maximum size of a part.
pub(super) const BUFFER_SIZE: usize = 128 << 10;

/// The hash of a content that is read part by part, and its size so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Hash {
    sha256: Sha256,
    size: u64,
}

// === impl Hash ===

impl Hash {
    pub(super) fn update(&mut self, part: &[u8]) {
        self.sha256.update(part);
        self.size += part.len() as u64;
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Returns 64 lower-case hex digits.
    pub(super) fn to_hex(&self) -> String {
        let hash = self.sha256.clone().finalize();
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

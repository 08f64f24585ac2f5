//! Who the clients act for, and the limits of the program.

/// The largest body of a request, in bytes.
pub(crate) const MAX_BODY: usize = 32 << 10;

/// The largest upload, in bytes.
pub(crate) const MAX_UPLOAD: usize = 64 << 10;

/// The callers, by number.
pub(crate) const CALLERS: [Caller; 8] = [
    Caller("ada"),
    Caller("berta"),
    Caller("clara"),
    Caller("dora"),
    Caller("emma"),
    Caller("frida"),
    Caller("grete"),
    Caller("hanna"),
];

/// A caller, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Caller(pub(crate) &'static str);

// === impl Caller ===

impl Caller {
    pub(crate) fn token(self) -> String {
        format!("token-of-{}-0123456789", self.0)
    }

    /// Returns the word that is in each prompt, text and file of the caller, and in no answer to another one.
    pub(crate) fn secret(self) -> String {
        format!("secret-of-{}", self.0)
    }

    pub(crate) fn others(self) -> impl Iterator<Item = Self> {
        CALLERS.into_iter().filter(move |caller| *caller != self)
    }
}

/// Returns the value of `SERVICE_TOKENS`.
pub(crate) fn tokens() -> String {
    CALLERS
        .map(|caller| format!("{}={}", caller.0, caller.token()))
        .join(",")
}

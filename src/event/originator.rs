use std::{fmt, str::FromStr, sync::Arc};

/// The longest name an [`Originator`] can have, in bytes.
const MAX_LEN: usize = 64;

/// Who asked for a call.
///
/// The name becomes a metric label, so it is short and of a small alphabet.
///
/// ```
/// use codex_telemetry::Originator;
///
/// let originator: Originator = "release-bot".parse()?;
/// assert_eq!(originator.as_str(), "release-bot");
/// assert_eq!("sdk".parse(), Ok(Originator::Sdk));
/// # Ok::<(), codex_telemetry::InvalidOriginator>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Originator {
    /// A person at a command line.
    Cli,
    /// A program that uses this or another SDK.
    Sdk,
    /// An application by its own name.
    Named(OriginatorName),
}

/// The validated name of an application: 1 to 64 characters of `A–Z a–z 0–9 . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OriginatorName(Arc<str>);

/// The error of a text that is no [`Originator`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidOriginator {
    length: usize,
}

// === impl Originator ===

impl Originator {
    /// Returns the originator with this name; `cli` and `sdk` give the two well-known ones.
    ///
    /// # Errors
    ///
    /// [`InvalidOriginator`] when the name is empty, longer than 64 bytes, or holds a character other
    /// than ASCII letters, digits, `.`, `_` and `-`.
    pub fn named(name: &str) -> Result<Self, InvalidOriginator> {
        let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        match name {
            "cli" => Ok(Self::Cli),
            "sdk" => Ok(Self::Sdk),
            _ if (1..=MAX_LEN).contains(&name.len()) && name.bytes().all(valid) => {
                Ok(Self::Named(OriginatorName(name.into())))
            }
            _ => Err(InvalidOriginator { length: name.len() }),
        }
    }

    /// Returns the name as it stands in events and on metrics.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Cli => "cli",
            Self::Sdk => "sdk",
            Self::Named(name) => name.as_str(),
        }
    }
}

impl FromStr for Originator {
    type Err = InvalidOriginator;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::named(name)
    }
}

impl fmt::Display for Originator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl OriginatorName ===

impl OriginatorName {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl InvalidOriginator ===

impl fmt::Display for InvalidOriginator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text itself stays out: it may be a mistyped secret.
        write!(
            f,
            "not an originator (a text of {} bytes): use 1 to {MAX_LEN} of the characters A-Z a-z 0-9 . _ -",
            self.length
        )
    }
}

impl std::error::Error for InvalidOriginator {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_outside_the_alphabet_or_the_length_is_refused() {
        let longest = "x".repeat(MAX_LEN);
        assert_eq!(Originator::named(&longest).unwrap().as_str(), longest);
        for bad in ["", "a b", "ä", "a\n", "a/b", &"x".repeat(MAX_LEN + 1)] {
            assert!(Originator::named(bad).is_err(), "{bad:?} was taken");
        }
    }

    proptest! {
        #[test]
        fn any_name_of_the_alphabet_is_taken_and_given_back(name in "[A-Za-z0-9._-]{1,64}") {
            let originator = Originator::named(&name).unwrap();
            prop_assert_eq!(originator.as_str(), &name);
            prop_assert_eq!(Originator::named(&originator.to_string()), Ok(originator));
        }

        #[test]
        fn any_other_text_is_refused_and_not_repeated(
            before in "[A-Za-z0-9._-]{0,40}",
            odd in "[^A-Za-z0-9._-]",
            after in "\\PC{0,40}",
        ) {
            let name = format!("{before}{odd}{after}");
            let error = Originator::named(&name).unwrap_err();
            prop_assert_eq!(error.to_string(), InvalidOriginator { length: name.len() }.to_string());
        }
    }
}

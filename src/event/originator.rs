use std::{fmt, str::FromStr, sync::Arc};

const CLI: &str = "cli";
const SDK: &str = "sdk";
/// The longest name of an [`Originator`], in bytes.
const MAX_LEN: usize = 64;

/// Who made a request: a person, a program or a named application.
///
/// The name becomes a metric label, so its length and its characters are limited.
///
/// ```
/// use codex_telemetry::Originator;
///
/// let bot = Originator::named("release-bot")?;
/// assert_eq!(bot.as_str(), "release-bot");
/// // A name from a configuration or a header; two names are well known.
/// assert_eq!("sdk".parse(), Ok(Originator::Sdk));
/// assert!("release bot".parse::<Originator>().is_err());
/// # Ok::<(), codex_telemetry::InvalidOriginator>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Originator {
    /// A person at a command line.
    Cli,
    /// A program that uses this or another SDK.
    Sdk,
    /// An application with a name of its own.
    Named(OriginatorName),
}

/// The validated name of an application: 1 to 64 characters of `A–Z a–z 0–9 . _ -`.
///
/// ```
/// use codex_telemetry::Originator;
///
/// let Originator::Named(name) = Originator::named("release-bot")? else {
///     panic!("the name is not a well-known one");
/// };
/// assert_eq!(name.as_str(), "release-bot");
/// # Ok::<(), codex_telemetry::InvalidOriginator>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OriginatorName(Arc<Box<str>>);

/// The error of an invalid name for an [`Originator`].
///
/// Its text has the length of the name and not the name, which may be a secret in the wrong place.
///
/// ```
/// use codex_telemetry::Originator;
///
/// let error = Originator::named("Authorization: Bearer hunter2").unwrap_err();
/// assert!(error.to_string().starts_with("invalid originator name (29 bytes)"));
/// assert!(!error.to_string().contains("hunter2"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidOriginator {
    length: usize,
}

// === impl Originator ===

impl Originator {
    /// Returns the originator with this name. `cli` and `sdk` name the two well-known ones.
    ///
    /// # Errors
    ///
    /// [`InvalidOriginator`] if the name is empty, longer than 64 bytes, or contains a character other
    /// than ASCII letters, digits, `.`, `_` and `-`.
    pub fn named(name: &str) -> Result<Self, InvalidOriginator> {
        let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        match name {
            CLI => Ok(Self::Cli),
            SDK => Ok(Self::Sdk),
            _ if (1..=MAX_LEN).contains(&name.len()) && name.bytes().all(valid) => {
                Ok(Self::Named(OriginatorName(Arc::new(name.into()))))
            }
            _ => Err(InvalidOriginator { length: name.len() }),
        }
    }

    /// Returns the name that events and metrics use.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Cli => CLI,
            Self::Sdk => SDK,
            Self::Named(name) => name.as_str(),
        }
    }

    /// Returns the name of a well-known originator. Most calls have one, and a text in the program costs no allocation.
    #[cfg(feature = "otlp")]
    pub(crate) fn known_name(&self) -> Option<&'static str> {
        match self {
            Self::Cli => Some(CLI),
            Self::Sdk => Some(SDK),
            Self::Named(_) => None,
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
        // Without the name, which may be a secret in the wrong place.
        write!(
            f,
            "invalid originator name ({} bytes): use 1 to {MAX_LEN} of the characters A-Z a-z 0-9 . _ -",
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
    #[cfg(feature = "otlp")]
    fn a_known_originator_has_the_name_that_it_has_everywhere() {
        for originator in [Originator::Cli, Originator::Sdk] {
            assert_eq!(originator.known_name(), Some(originator.as_str()));
        }
        assert_eq!(Originator::named("bot").unwrap().known_name(), None);
    }

    #[test]
    fn an_invalid_character_or_length_is_rejected() {
        let longest = "x".repeat(MAX_LEN);
        assert_eq!(Originator::named(&longest).unwrap().as_str(), longest);
        for bad in ["", "a b", "ä", "a\n", "a/b", &"x".repeat(MAX_LEN + 1)] {
            assert!(Originator::named(bad).is_err(), "{bad:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn a_valid_name_is_returned_unchanged(name in "[A-Za-z0-9._-]{1,64}") {
            let originator = Originator::named(&name).unwrap();
            prop_assert_eq!(originator.as_str(), &name);
            prop_assert_eq!(Originator::named(&originator.to_string()), Ok(originator));
        }

        #[test]
        fn an_invalid_name_is_rejected_and_not_in_the_error(
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

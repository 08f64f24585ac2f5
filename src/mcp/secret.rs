use std::{fmt, fmt::Write, io};

/// The bytes of a secret: twice what nobody can guess.
const BYTES: usize = 32;

/// A text that nobody can guess.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Secret(String);

impl Secret {
    /// Returns a new one, of random numbers of the operating system.
    pub(super) fn new() -> io::Result<Self> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes)?;
        let mut text = String::with_capacity(2 * BYTES);
        for byte in bytes {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Self(text))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Secret {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_256_random_bits_in_hexadecimal_digits() {
        let secrets: Vec<_> = (0..64).map(|_| Secret::new().unwrap()).collect();
        for secret in &secrets {
            assert_eq!(secret.as_str().len(), 64);
            assert!(secret.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
        // Each of the bits is on in some and off in others.
        let bits = |place: usize| {
            let bits = secrets
                .iter()
                .map(|secret| secret.as_str().as_bytes()[place]);
            let bits = bits.map(|digit| (digit as char).to_digit(16).unwrap());
            bits.fold((0, 15), |(any, all), bits| (any | bits, all & bits))
        };
        assert!((0..64).all(|place| bits(place) == (15, 0)));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new().unwrap();
        assert_eq!(format!("{secret:?}"), "***");
    }
}

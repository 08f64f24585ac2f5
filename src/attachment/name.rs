use super::AttachmentError;

/// The lock file of a store.
pub(super) const LOCK: &str = ".lock";
/// How the name of a file begins that is being written.
pub(super) const STAGING: &str = ".staging-";

/// The digits of a SHA-256.
const HASH_LEN: usize = 64;
/// What the file systems of this world allow, less the hash and its dash.
const MAX_LEN: usize = 255 - HASH_LEN - 1;
/// How much of a bad name an error repeats.
const SHOWN: usize = 64;

/// What a file in the directory is, by its name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Attachment { hash: &'a str, name: &'a str },
    Staging,
    Foreign,
}

/// Refuses what cannot be the name of an attachment.
pub(super) fn check(name: &str) -> Result<(), AttachmentError> {
    match flaw(name) {
        None => Ok(()),
        Some(reason) => Err(AttachmentError::InvalidName {
            name: name.chars().take(SHOWN).collect(),
            reason,
        }),
    }
}

/// Returns the file name of an attachment.
pub(super) fn file_name(hash: &str, name: &str) -> String {
    format!("{hash}-{name}")
}

/// Returns what the file of this name is.
pub(super) fn kind_of(file_name: &[u8]) -> Kind<'_> {
    let Ok(file_name) = std::str::from_utf8(file_name) else {
        return Kind::Foreign;
    };
    if file_name.starts_with(STAGING) {
        return Kind::Staging;
    }
    match file_name.split_at_checked(HASH_LEN) {
        Some((hash, rest)) if hash.bytes().all(is_lower_hex) => match rest.strip_prefix('-') {
            Some(name) if flaw(name).is_none() => Kind::Attachment { hash, name },
            _ => Kind::Foreign,
        },
        _ => Kind::Foreign,
    }
}

fn flaw(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > MAX_LEN {
        Some("it is longer than 190 bytes")
    } else if name == "." || name == ".." {
        Some("it names a directory")
    } else if name.contains(['/', '\\']) {
        Some("it holds a path separator")
    } else if name.contains(char::is_control) {
        Some("it holds a control character")
    } else {
        None
    }
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn the_longest_name_makes_the_longest_file_name() {
        let longest = file_name(&"a".repeat(HASH_LEN), &"x".repeat(MAX_LEN));
        assert_eq!(longest.len(), 255);
        assert_eq!(MAX_LEN, 190, "the error's text says so");
    }

    #[test]
    fn a_file_name_is_read_back_as_it_was_made() {
        let hash = "0123456789abcdef".repeat(4);
        for name in ["a", "-", "a-b", "..a", ".hidden", "ä ö.png", "a..b"] {
            let made = file_name(&hash, name);
            let read = Kind::Attachment { hash: &hash, name };
            assert_eq!(kind_of(made.as_bytes()), read);
        }
    }

    #[test]
    fn what_the_store_cannot_have_made_is_foreign() {
        let hash = "0123456789abcdef".repeat(4);
        for foreign in [
            String::new(),
            hash.clone(),
            format!("{hash}-"),
            format!("{hash}-.."),
            format!("{hash}_name"),
            format!("{hash}-a\nb"),
            format!("{}-name", hash.to_uppercase()),
            format!("{}-name", &hash[1..]),
            format!("{}ä-name", &hash[1..]),
            LOCK.to_owned(),
            "notes.txt".to_owned(),
        ] {
            assert_eq!(kind_of(foreign.as_bytes()), Kind::Foreign, "{foreign:?}");
        }
        assert_eq!(kind_of(b"\xff\xfe"), Kind::Foreign);
    }

    proptest! {
        #[test]
        fn any_name_that_is_taken_makes_one_file_name_that_is_read_back(
            name in any::<String>(),
            hash in "[0-9a-f]{64}",
        ) {
            match check(&name) {
                Ok(()) => {
                    let made = file_name(&hash, &name);
                    prop_assert!(made.len() <= 255 && !made.contains(['/', '\0']));
                    let read = Kind::Attachment { hash: &hash, name: &name };
                    prop_assert_eq!(kind_of(made.as_bytes()), read);
                }
                Err(error) => {
                    let text = error.to_string();
                    prop_assert!(!text.contains(char::is_control), "{text}");
                    prop_assert!(text.chars().count() < 700, "{text}");
                }
            }
        }

        #[test]
        fn any_file_name_that_is_an_attachments_is_one_that_is_made(
            hash in "[0-9a-f]{63,65}|[0-9a-g]{64}",
            rest in vec(any::<u8>(), 0..200),
        ) {
            let file_name = [hash.as_bytes(), b"-", &rest].concat();
            for bytes in [&file_name, &rest] {
                if let Kind::Attachment { hash, name } = kind_of(bytes) {
                    prop_assert!(check(name).is_ok());
                    let made = super::file_name(hash, name).into_bytes();
                    prop_assert_eq!(&made, bytes);
                }
            }
        }
    }
}

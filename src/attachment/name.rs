use super::AttachmentError;

/// The prefix of the names of staging files.
const STAGING_PREFIX: &str = ".staging-";

/// The number of hex digits behind the prefix.
const STAGING_DIGITS: usize = 16;
/// The number of hex digits of a SHA-256.
const HASH_LEN: usize = 64;
/// The longest name: 255 bytes, the limit of the usual file systems, less the hash and the dash.
const MAX_LEN: usize = 255 - HASH_LEN - 1;
/// The number of characters of an invalid name that the error prints.
const MAX_PRINTED_CHARS: usize = 64;

/// The kind of a file in the store's directory, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind<'a> {
    Attachment {
        hash: &'a str,
        name: &'a str,
    },
    Staging,
    /// Not a file of the store.
    Foreign,
}

/// Returns an error if the name is not a valid attachment name.
pub(super) fn check(name: &str) -> Result<(), AttachmentError> {
    match invalid_reason(name) {
        None => Ok(()),
        Some(reason) => Err(AttachmentError::InvalidName {
            name: name.chars().take(MAX_PRINTED_CHARS).collect(),
            reason,
        }),
    }
}

/// Returns the file name of an attachment.
pub(super) fn file_name(hash: &str, name: &str) -> String {
    format!("{hash}-{name}")
}

/// Returns a random name for a staging file.
pub(super) fn random_staging() -> String {
    format!("{STAGING_PREFIX}{:0STAGING_DIGITS$x}", fastrand::u64(..))
}

/// Returns the kind of the file with this name.
pub(super) fn kind_of(file_name: &[u8]) -> FileKind<'_> {
    let Ok(file_name) = std::str::from_utf8(file_name) else {
        return FileKind::Foreign;
    };
    if let Some(digits) = file_name.strip_prefix(STAGING_PREFIX) {
        return match digits.len() == STAGING_DIGITS && digits.bytes().all(is_lower_hex) {
            true => FileKind::Staging,
            // Another program can use the prefix as well.
            false => FileKind::Foreign,
        };
    }
    match file_name.split_at_checked(HASH_LEN) {
        Some((hash, rest)) if hash.bytes().all(is_lower_hex) => match rest.strip_prefix('-') {
            Some(name) if invalid_reason(name).is_none() => FileKind::Attachment { hash, name },
            _ => FileKind::Foreign,
        },
        _ => FileKind::Foreign,
    }
}

/// Returns why a name is not a valid attachment name, or `None` if it is valid.
fn invalid_reason(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > MAX_LEN {
        Some("it is longer than 190 bytes")
    } else if name == "." || name == ".." {
        Some("it names a directory")
    } else if name.contains(['/', '\\']) {
        Some("it contains a path separator")
    } else if name.contains(char::is_control) {
        Some("it contains a control character")
    } else if name.contains(',') {
        Some("it contains a comma, at which Codex splits the paths of images")
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
    use crate::attachment::lock::LOCK_FILE;

    #[test]
    fn the_longest_name_makes_a_file_name_of_255_bytes() {
        let longest = file_name(&"a".repeat(HASH_LEN), &"x".repeat(MAX_LEN));
        assert_eq!(longest.len(), 255);
        assert_eq!(MAX_LEN, 190, "the limit in the error's text");
    }

    #[test]
    fn a_file_name_is_parsed_into_its_hash_and_name() {
        let hash = "0123456789abcdef".repeat(4);
        for name in ["a", "-", "a-b", "..a", ".hidden", "ä ö.png", "a..b"] {
            let file_name = super::file_name(&hash, name);
            let expected = FileKind::Attachment { hash: &hash, name };
            assert_eq!(kind_of(file_name.as_bytes()), expected);
        }
    }

    #[test]
    fn a_random_name_of_a_staging_file_is_parsed_as_one() {
        for _ in 0..100 {
            assert_eq!(kind_of(random_staging().as_bytes()), FileKind::Staging);
        }
    }

    #[test]
    fn a_file_name_that_no_store_creates_is_foreign() {
        let hash = "0123456789abcdef".repeat(4);
        for foreign in [
            String::new(),
            hash.clone(),
            format!("{hash}-"),
            format!("{hash}-.."),
            format!("{hash}_name"),
            format!("{hash}-a\nb"),
            format!("{hash}-a,b"),
            format!("{}-name", hash.to_uppercase()),
            format!("{}-name", &hash[1..]),
            format!("{}ä-name", &hash[1..]),
            LOCK_FILE.to_owned(),
            "notes.txt".to_owned(),
        ] {
            assert_eq!(
                kind_of(foreign.as_bytes()),
                FileKind::Foreign,
                "{foreign:?}"
            );
        }
        assert_eq!(kind_of(b"\xff\xfe"), FileKind::Foreign);
    }

    proptest! {
        #[test]
        fn the_file_name_of_any_valid_name_is_parsed_into_its_parts(
            name in any::<String>(),
            hash in "[0-9a-f]{64}",
        ) {
            match check(&name) {
                Ok(()) => {
                    let file_name = file_name(&hash, &name);
                    prop_assert!(file_name.len() <= 255 && !file_name.contains(['/', '\0']));
                    let expected = FileKind::Attachment { hash: &hash, name: &name };
                    prop_assert_eq!(kind_of(file_name.as_bytes()), expected);
                }
                Err(error) => {
                    let text = error.to_string();
                    prop_assert!(!text.contains(char::is_control), "{text}");
                    prop_assert!(text.chars().count() < 700, "{text}");
                }
            }
        }

        #[test]
        fn any_parsed_file_name_is_the_one_of_its_parts(
            hash in "[0-9a-f]{63,65}|[0-9a-g]{64}",
            rest in vec(any::<u8>(), 0..200),
        ) {
            let file_name = [hash.as_bytes(), b"-", &rest].concat();
            for bytes in [&file_name, &rest] {
                if let FileKind::Attachment { hash, name } = kind_of(bytes) {
                    prop_assert!(check(name).is_ok());
                    let formatted = super::file_name(hash, name).into_bytes();
                    prop_assert_eq!(&formatted, bytes);
                }
            }
        }
    }
}

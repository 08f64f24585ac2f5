use std::borrow::Cow;

/// What is wrong with a value, in words that never hold the value: it may be a secret, or a part of one
/// that went into the wrong variable.
pub(super) type Flaw = Cow<'static, str>;

/// Undoes percent-encoding; `None` if an escape is malformed or the result is no UTF-8.
///
/// Strict, because a `%` that stands for itself cannot be told from a mistyped escape.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    let whole = |(at, &byte): (usize, &u8)| {
        byte != b'%' || (hex(bytes.get(at + 1)) && hex(bytes.get(at + 2)))
    };
    if !bytes.iter().enumerate().all(whole) {
        return None;
    }
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_escape_is_not_decoded() {
        assert_eq!(percent_decode("a%20b%2C+").as_deref(), Some("a b,+"));
        assert_eq!(percent_decode("%C3%A4").as_deref(), Some("ä"));
        for bad in ["%", "a%2", "%zz", "100%sure", "%FF", "%ä"] {
            assert_eq!(percent_decode(bad), None, "{bad}");
        }
    }
}

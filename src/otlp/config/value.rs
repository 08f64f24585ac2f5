//! How the values of the environment and of the builder are parsed and checked.

use std::{borrow::Cow, ops::RangeInclusive, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::KeyValue;
use percent_encoding::percent_decode_str;

/// Why a value is invalid. The text never contains the value: it may be a secret, or part of a secret
/// that was put into the wrong variable.
pub(super) type InvalidValue = Cow<'static, str>;

/// A larger queue would not limit the memory of the program.
const MAX_COUNT: usize = 1 << 20;
/// The largest number of milliseconds that the OpenTelemetry specification allows: 24 days.
const MAX_MILLIS: u64 = (1 << 31) - 1;
/// The largest number that the OpenTelemetry specification requires.
const MAX_LIMIT: usize = (1 << 31) - 1;
/// Less than one record, so that nothing could be exported; more than a receiver takes.
const BYTES: RangeInclusive<usize> = 1 << 10..=1 << 30;

pub(super) fn check_count(count: usize) -> Result<usize, InvalidValue> {
    if (1..=MAX_COUNT).contains(&count) {
        Ok(count)
    } else {
        Err("invalid number: expected a whole number from 1 to 1048576".into())
    }
}

pub(super) fn parse_count(text: &str) -> Result<usize, InvalidValue> {
    check_count(text.parse().unwrap_or(0))
}

/// Parses a limit of the OpenTelemetry specification, which may be zero.
pub(super) fn parse_limit(text: &str) -> Result<usize, InvalidValue> {
    match text.parse() {
        Ok(limit @ 0..=MAX_LIMIT) => Ok(limit),
        _ => Err("invalid number: expected a whole number from 0 to 2147483647".into()),
    }
}

pub(super) fn check_bytes(bytes: usize) -> Result<usize, InvalidValue> {
    if BYTES.contains(&bytes) {
        Ok(bytes)
    } else {
        Err("invalid size: expected a whole number of bytes from 1024 to 1073741824".into())
    }
}

pub(super) fn parse_bytes(text: &str) -> Result<usize, InvalidValue> {
    check_bytes(text.parse().unwrap_or(0))
}

pub(super) fn check_duration(duration: Duration) -> Result<Duration, InvalidValue> {
    if !duration.is_zero() && duration <= Duration::from_millis(MAX_MILLIS) {
        Ok(duration)
    } else {
        Err("invalid duration: expected more than 0 and at most 2147483647 ms".into())
    }
}

pub(super) fn parse_millis(text: &str) -> Result<Duration, InvalidValue> {
    match text.parse() {
        Ok(millis @ 1..=MAX_MILLIS) => Ok(Duration::from_millis(millis)),
        _ => Err(
            "invalid duration: expected a whole number of milliseconds from 1 to 2147483647".into(),
        ),
    }
}

pub(super) fn check_ratio(ratio: f64) -> Result<f64, InvalidValue> {
    if (0.0..=1.0).contains(&ratio) {
        Ok(ratio)
    } else {
        Err("invalid ratio: expected a number from 0 to 1".into())
    }
}

pub(super) fn parse_ratio(text: &str) -> Result<f64, InvalidValue> {
    check_ratio(text.parse().unwrap_or(f64::NAN))
}

pub(super) fn parse_switch(text: &str) -> Result<bool, InvalidValue> {
    match &*text.to_ascii_lowercase() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("invalid switch: expected 1, true, yes, on, 0, false, no or off".into()),
    }
}

/// Parses a boolean of the OpenTelemetry specification, which allows no other keywords.
pub(super) fn parse_bool(text: &str) -> Result<bool, InvalidValue> {
    parse_keyword("boolean", &[("true", true), ("false", false)], text)
}

/// Parses a compression. Returns whether it is gzip.
pub(super) fn parse_compression(text: &str) -> Result<bool, InvalidValue> {
    parse_keyword("compression", &[("gzip", true), ("none", false)], text)
}

/// Returns the value of a case-insensitive keyword.
pub(super) fn parse_keyword<T: Copy>(
    kind: &str,
    keywords: &[(&str, T)],
    text: &str,
) -> Result<T, InvalidValue> {
    let found = keywords
        .iter()
        .find(|(keyword, _)| text.eq_ignore_ascii_case(keyword));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let mut expected = keywords
            .iter()
            .map(|(keyword, _)| *keyword)
            .collect::<Vec<_>>();
        let last = expected.pop().unwrap_or_default();
        format!("invalid {kind}: expected {} or {last}", expected.join(", ")).into()
    })
}

/// Parses headers: `name=value,name=value` with percent-encoded values. Leaves out invalid pairs and
/// returns what is wrong with the first of them.
pub(super) fn parse_headers(text: &str) -> (HeaderMap, Option<InvalidValue>) {
    let mut headers = HeaderMap::new();
    let mut first_invalid = None;
    for pair in pairs(text) {
        let inserted = pair.and_then(|(position, name, value)| {
            // A pair without a value is probably the base64 of a token without its name, which `Debug`
            // would show as a name.
            let value = Some(value).filter(|value| !value.trim_matches('=').trim().is_empty());
            value
                .ok_or("missing value".into())
                .and_then(percent_decode)
                .and_then(|value| insert_header(&mut headers, name, &value))
                .map_err(|invalid| at(position, &invalid))
        });
        first_invalid = first_invalid.or(inserted.err());
    }
    (headers, first_invalid)
}

/// Sets a header, and replaces one with the same name.
pub(super) fn insert_header(
    headers: &mut HeaderMap,
    name: &str,
    value: &str,
) -> Result<(), InvalidValue> {
    // `HeaderName` converts to lower case, which HTTP/2 requires.
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "invalid header name")?;
    // `HeaderValue` accepts bytes from 0x80 on, gRPC does not.
    let ascii = Some(value).filter(|value| value.is_ascii());
    let value = ascii.and_then(|value| HeaderValue::from_str(value).ok());
    let mut value = value.ok_or("invalid header value")?;
    // `Debug` does not show a sensitive value.
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

/// Parses the resource attributes `key=value,key=value`, which have the same format as headers. An
/// invalid pair invalidates all, as the OpenTelemetry specification requires.
pub(super) fn parse_attributes(text: &str) -> Result<Vec<KeyValue>, InvalidValue> {
    pairs(text)
        .map(|pair| {
            let (position, key, value) = pair?;
            let invalid = |invalid: InvalidValue| at(position, &invalid);
            let key = percent_decode(key).map_err(invalid)?;
            if key.is_empty() {
                return Err(invalid("missing key".into()));
            }
            Ok(KeyValue::new(key, percent_decode(value).map_err(invalid)?))
        })
        .collect()
}

/// Splits `name=value,name=value`. Each pair has its position, counted from 1.
fn pairs(text: &str) -> impl Iterator<Item = Result<(usize, &str, &str), InvalidValue>> {
    let parts = (1..).zip(text.split(',').map(str::trim));
    parts
        .filter(|(_, part)| !part.is_empty())
        .map(|(position, part)| match part.split_once('=') {
            Some((name, value)) => Ok((position, name.trim(), value.trim())),
            None => Err(at(position, "missing `=`")),
        })
}

fn at(position: usize, invalid: &str) -> InvalidValue {
    format!("invalid pair {position}: {invalid}").into()
}

/// Decodes percent-encoding. A malformed escape is an error, because a literal `%` and a mistyped escape
/// look the same.
fn percent_decode(text: &str) -> Result<String, InvalidValue> {
    let hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    let valid = bytes.iter().enumerate().all(|(index, &byte)| {
        byte != b'%' || (hex(bytes.get(index + 1)) && hex(bytes.get(index + 2)))
    });
    let decoded = percent_decode_str(text).decode_utf8().ok();
    let decoded = decoded.filter(|_| valid).map(Cow::into_owned);
    decoded.ok_or("malformed percent-encoding (write % as %25)".into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn to_pairs(headers: &HeaderMap) -> Vec<(&str, &str)> {
        let pairs = headers.iter();
        let pairs = pairs.map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_unstable();
        pairs
    }

    #[test]
    fn a_malformed_escape_is_an_error() {
        assert_eq!(percent_decode("a%20b%2C+").as_deref(), Ok("a b,+"));
        assert_eq!(percent_decode("%C3%A4").as_deref(), Ok("ä"));
        for invalid in ["%", "a%2", "%zz", "100%sure", "%FF", "%ä"] {
            assert!(percent_decode(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn names_become_lower_case_and_values_are_decoded() {
        for (text, expected) in [
            ("a=1,b=2", &[("a", "1"), ("b", "2")][..]),
            (" A = 1 ,, b=2,", &[("a", "1"), ("b", "2")]),
            (
                "authorization=Basic%20dTpw",
                &[("authorization", "Basic dTpw")],
            ),
            ("k=a%2Cb%3Dc;d=e", &[("k", "a,b=c;d=e")]),
            ("k=dGVzdA==", &[("k", "dGVzdA==")]),
            ("k=1,K=2", &[("k", "2")]),
            (",", &[]),
        ] {
            let (headers, invalid) = parse_headers(text);
            assert_eq!(to_pairs(&headers), expected, "{text}");
            assert_eq!(invalid, None, "{text}");
        }
    }

    #[test]
    fn an_invalid_pair_is_reported_by_position_and_the_others_are_used() {
        for (text, position) in [
            ("zzz,k=v", 1),
            ("k=v,=zzz", 2),
            ("k=v,zzz=", 2),
            ("k=v,zzz==", 2),
            ("k=v,,z z=zzz", 3),
            ("k=v,z=zzz%0Azzz", 2),
            ("k=v,z=zzz%zz", 2),
            ("k=v,z=%C3%A4zzz", 2),
            ("k=v,zäz=zzz,zzz", 2),
        ] {
            let (headers, invalid) = parse_headers(text);
            assert_eq!(to_pairs(&headers), [("k", "v")], "{text}");
            let invalid = invalid.unwrap();
            let start = format!("invalid pair {position}: ");
            assert!(invalid.starts_with(&start), "{invalid}");
            assert!(!invalid.contains('z'), "{invalid}");
        }
    }

    #[test]
    fn debug_shows_no_value() {
        let (headers, _) = parse_headers("k=s3cret");
        assert_eq!(format!("{headers:?}"), r#"{"k": Sensitive}"#);
        let sensitive = format!("{:?}", headers.iter().next());
        assert!(!sensitive.contains("s3cret"));
    }

    proptest! {
        #[test]
        fn any_well_formed_headers_are_parsed(
            given in vec(("[a-z!#+.^_|~-]{1,8}", "[!-~]( {0,2}[!-~]){0,6}"), 0..6),
        ) {
            let text = given.iter().map(|(name, value)| {
                format!(" {name} = {} ", utf8_percent_encode(value, NON_ALPHANUMERIC))
            });
            let (headers, invalid) = parse_headers(&text.collect::<Vec<_>>().join(","));
            prop_assert_eq!(invalid, None);
            // The last one of a name is used.
            let expected: BTreeMap<_, _> =
                given.iter().map(|(name, value)| (&**name, &**value)).collect();
            prop_assert_eq!(to_pairs(&headers), expected.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_text_is_parsed_without_a_panic_and_errors_do_not_repeat_it(
            text in "[ZQäß€%=, \\x00-\\x1f]{0,40}",
        ) {
            let (headers, invalid) = parse_headers(&text);
            let given = text.split(',').filter(|pair| !pair.trim().is_empty()).count();
            prop_assert!(headers.len() <= given);
            prop_assert!(invalid.is_some() || headers.is_empty() == (given == 0));
            for (name, value) in headers.iter() {
                prop_assert!(!name.as_str().is_empty() && value.to_str().is_ok());
            }
            let invalid = invalid.unwrap_or_default();
            prop_assert!(!invalid.contains(['Z', 'Q', 'ä', 'ß', '€']), "{invalid}");
        }

        #[test]
        fn any_well_formed_attributes_are_parsed(given in vec((".{1,8}", ".{0,8}"), 0..6)) {
            let encoded = |part: &str| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string();
            let text = given.iter().map(|(key, value)| {
                format!(" {} = {} ", encoded(key), encoded(value))
            });
            let parsed = parse_attributes(&text.collect::<Vec<_>>().join(",")).unwrap();
            let given = given.into_iter().map(|(key, value)| KeyValue::new(key, value));
            prop_assert_eq!(parsed, given.collect::<Vec<_>>());
        }

        #[test]
        fn any_attributes_are_parsed_completely_or_rejected_without_repeating_them(
            text in "[ZQäß€%=, \\x00-\\x1f]{0,40}",
        ) {
            let given = text.split(',').filter(|entry| !entry.trim().is_empty()).count();
            match parse_attributes(&text) {
                Ok(parsed) => prop_assert_eq!(parsed.len(), given),
                Err(invalid) => {
                    prop_assert!(!invalid.contains(['Z', 'Q', 'ä', 'ß', '€']), "{invalid}");
                }
            }
        }
    }
}

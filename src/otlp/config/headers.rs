use std::{fmt, slice};

use http::{HeaderName, HeaderValue};

use super::flaw::{Flaw, percent_decode};

/// The headers of each request, in the order in which they were given. `Debug` shows their names alone.
#[derive(Clone, Default)]
pub(crate) struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    /// Reads `name=value,name=value`, values percent-encoded; what is not usable is left out, and told.
    pub(super) fn parse(text: &str) -> (Self, Option<Flaw>) {
        let mut headers = Self::default();
        let mut flaws = Vec::new();
        for (index, pair) in text.split(',').map(str::trim).enumerate() {
            if pair.is_empty() {
                continue;
            }
            if let Err(flaw) = headers.parse_pair(pair) {
                flaws.push((index + 1, flaw));
            }
        }
        let flaw = flaws.first().map(|(position, flaw)| match flaws.len() - 1 {
            0 => format!("pair {position} {flaw}"),
            more => format!("pair {position} {flaw}, and {more} more cannot be used"),
        });
        (headers, flaw.map(Flaw::from))
    }

    fn parse_pair(&mut self, pair: &str) -> Result<(), Flaw> {
        let (name, value) = pair.split_once('=').ok_or("has no `=`")?;
        // More likely the base64 of a token without its name, which would be shown as a name.
        if value.trim_matches('=').trim().is_empty() {
            return Err("has no value".into());
        }
        let value = percent_decode(value.trim())
            .ok_or("has a malformed percent escape (a `%` itself is written %25)")?;
        self.insert(name.trim(), &value)
    }

    /// Adds a header; the last of a name counts.
    pub(super) fn insert(&mut self, name: &str, value: &str) -> Result<(), Flaw> {
        // It gives the name in lower case, which HTTP/2 asks for.
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| "has a name that no header can have")?;
        // `HeaderValue` takes any byte from 0x80 on, gRPC does not.
        let ascii = Some(value).filter(|value| value.is_ascii());
        let value = ascii.and_then(|value| HeaderValue::from_str(value).ok());
        let mut value = value.ok_or("has a value that no header can have")?;
        value.set_sensitive(true);
        self.0.retain(|(other, _)| *other != name);
        self.0.push((name, value));
        Ok(())
    }

    /// The names and their values, which are secrets.
    pub(crate) fn iter(&self) -> slice::Iter<'_, (HeaderName, HeaderValue)> {
        self.0.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked = self.iter().map(|(name, _)| (name, format_args!("***")));
        f.debug_map().entries(masked).finish()
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn pairs(headers: &Headers) -> Vec<(&str, &str)> {
        let pairs = headers.iter();
        pairs
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn names_are_lower_case_and_values_are_decoded() {
        for (text, read) in [
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
            let (headers, flaw) = Headers::parse(text);
            assert_eq!(pairs(&headers), read, "{text}");
            assert_eq!(flaw, None, "{text}");
        }
    }

    #[test]
    fn a_pair_that_is_not_usable_is_told_by_its_position_and_the_rest_is_used() {
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
            let (headers, flaw) = Headers::parse(text);
            assert_eq!(pairs(&headers), [("k", "v")], "{text}");
            let flaw = flaw.unwrap();
            assert!(flaw.starts_with(&format!("pair {position} ")), "{flaw}");
            assert!(!flaw.contains('z'), "{flaw}");
        }
        let (_, flaw) = Headers::parse("a,b,c");
        assert_eq!(
            flaw.as_deref(),
            Some("pair 1 has no `=`, and 2 more cannot be used")
        );
    }

    #[test]
    fn a_value_is_not_shown() {
        let (headers, _) = Headers::parse("k=s3cret");
        assert_eq!(format!("{headers:?}"), r#"{"k": ***}"#);
        let sensitive = format!("{:?}", headers.iter().next());
        assert!(!sensitive.contains("s3cret"));
    }

    proptest! {
        #[test]
        fn any_headers_that_are_written_by_the_rules_are_read_back(
            given in vec(("[a-z!#+.^_|~-]{1,8}", "[!-~]( {0,2}[!-~]){0,6}"), 0..6),
        ) {
            let text = given.iter().map(|(name, value)| {
                format!(" {name} = {} ", utf8_percent_encode(value, NON_ALPHANUMERIC))
            });
            let (headers, flaw) = Headers::parse(&text.collect::<Vec<_>>().join(","));
            prop_assert_eq!(flaw, None);
            // The last of a name counts, and stands where it was given.
            let lasting = given.iter().enumerate().filter(|(at, (name, _))| {
                !given[at + 1..].iter().any(|(later, _)| later == name)
            });
            let lasting = lasting.map(|(_, (name, value))| (&**name, &**value));
            prop_assert_eq!(pairs(&headers), lasting.collect::<Vec<_>>());
        }

        #[test]
        fn any_text_is_read_as_far_as_it_goes_and_never_repeated(text in "[ZQäß€%=, \\x00-\\x1f]{0,40}") {
            let (headers, flaw) = Headers::parse(&text);
            let given = text.split(',').filter(|pair| !pair.trim().is_empty()).count();
            prop_assert!(headers.iter().len() <= given);
            prop_assert!(flaw.is_some() || headers.is_empty() == (given == 0));
            for (name, value) in headers.iter() {
                prop_assert!(!name.as_str().is_empty() && value.to_str().is_ok());
            }
            let flaw = flaw.unwrap_or_default();
            prop_assert!(!flaw.contains(['Z', 'Q', 'ä', 'ß', '€']), "{flaw}");
        }
    }
}

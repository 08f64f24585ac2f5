use std::env;

use opentelemetry::{Key, KeyValue};

use super::flaw::{Flaw, percent_decode};

const SERVICE_NAME: &str = "service.name";

/// What is said of the program itself. It always has a `service.name`.
#[derive(Clone, Debug)]
pub(super) struct Resource(Vec<KeyValue>);

impl Default for Resource {
    /// With the standard's name of a program that nobody named.
    fn default() -> Self {
        let name = env::current_exe().ok().and_then(|path| {
            let name = path.file_name()?.to_str()?;
            Some(format!("unknown_service:{name}"))
        });
        let name = name.unwrap_or_else(|| "unknown_service".to_owned());
        Self(vec![KeyValue::new(SERVICE_NAME, name)])
    }
}

impl Resource {
    pub(super) fn set_service_name(&mut self, name: impl Into<String>) {
        self.set(KeyValue::new(SERVICE_NAME, name.into()));
    }

    /// Sets an attribute; the last of a key counts.
    pub(super) fn set(&mut self, attribute: KeyValue) {
        match self.0.iter_mut().find(|old| old.key == attribute.key) {
            Some(old) => *old = attribute,
            None => self.0.push(attribute),
        }
    }

    pub(super) fn as_slice(&self) -> &[KeyValue] {
        &self.0
    }
}

/// Reads `key=value,key=value`, percent-encoded; one bad entry discards all, as the standard says.
pub(super) fn parse(text: &str) -> Result<Vec<KeyValue>, Flaw> {
    let mut attributes = Vec::new();
    for (index, entry) in text.split(',').map(str::trim).enumerate() {
        if !entry.is_empty() {
            let attribute =
                parse_entry(entry).map_err(|flaw| format!("entry {} {flaw}", index + 1))?;
            attributes.push(attribute);
        }
    }
    Ok(attributes)
}

fn parse_entry(entry: &str) -> Result<KeyValue, &'static str> {
    let (key, value) = entry.split_once('=').ok_or("has no `=`")?;
    let decode = |part: &str| percent_decode(part.trim()).ok_or("has a malformed percent escape");
    let key = decode(key)?;
    if key.is_empty() {
        return Err("has no key");
    }
    Ok(KeyValue::new(Key::from(key), decode(value)?))
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn any_attributes_that_are_written_by_the_rules_are_read_back(
            given in vec((".{1,8}", ".{0,8}"), 0..6),
        ) {
            let encoded = |part: &str| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string();
            let text = given.iter().map(|(key, value)| {
                format!(" {} = {} ", encoded(key), encoded(value))
            });
            let read = parse(&text.collect::<Vec<_>>().join(",")).unwrap();
            let given = given.into_iter().map(|(key, value)| KeyValue::new(key, value));
            prop_assert_eq!(read, given.collect::<Vec<_>>());
        }

        #[test]
        fn any_text_is_read_whole_or_refused_and_never_repeated(text in "[ZQäß€%=, \\x00-\\x1f]{0,40}") {
            let given = text.split(',').filter(|entry| !entry.trim().is_empty()).count();
            match parse(&text) {
                Ok(read) => prop_assert_eq!(read.len(), given),
                Err(flaw) => {
                    prop_assert!(!flaw.contains(['Z', 'Q', 'ä', 'ß', '€']), "{flaw}");
                }
            }
        }
    }
}

use crate::otlp::config::SignalConfig;

/// A shorter text is no secret, and would hide parts of other words.
const MIN_LENGTH: usize = 4;

/// How many characters of a message are kept.
const MAX_MESSAGE: usize = 300;

/// The secrets of the configuration of one signal, except for those in its headers.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub(super) fn new(config: &SignalConfig) -> Self {
        let mut secrets = config.endpoint.secrets();
        secrets.extend(config.proxy.iter().flat_map(|proxy| proxy.secrets()));
        Self(secrets)
    }

    /// Returns a message of a receiver or of a library on one line, not too long, and without secrets:
    /// receivers repeat the URL and the headers of a request.
    pub(super) fn redact(&self, message: &str, headers: &http::HeaderMap) -> String {
        let headers = headers.values().filter(|value| value.is_sensitive());
        let headers = headers.filter_map(|value| value.to_str().ok());
        // With and without the scheme of an authorization, such as `Bearer`.
        let headers =
            headers.flat_map(|value| [Some(value), value.split_once(' ').map(|(_, token)| token)]);
        let mut secrets: Vec<&str> = self
            .0
            .iter()
            .map(String::as_str)
            .chain(headers.flatten())
            .collect();
        secrets.retain(|secret| secret.len() >= MIN_LENGTH);
        // One may contain another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let mut message = message.to_owned();
        for secret in secrets {
            message = message.replace(secret, "***");
        }
        // Control characters could forge a line of the log, or write to a terminal.
        let words = message.split(|c: char| c.is_whitespace() || c.is_control());
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        let mut message = words.join(" ");
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
            message.truncate(end);
            message.push('…');
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn redact(secrets: &[&str], header: &'static str, message: &str) -> String {
        let secrets = Secrets(secrets.iter().map(ToString::to_string).collect());
        let mut value = HeaderValue::from_static(header);
        value.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert("x", value);
        headers.insert("user-agent", HeaderValue::from_static("codex"));
        secrets.redact(message, &headers)
    }

    #[test]
    fn secrets_and_what_contains_them_are_hidden() {
        for (secrets, header, message, expected) in [
            (
                &["key=s3cret", "s3cret"][..],
                "v",
                "?key=s3cret s3cret",
                "?*** ***",
            ),
            (&["s3cret", "s3crets"], "v", "s3crets", "***"),
            (&[], "Bearer t0ken", "Bearer t0ken, t0ken", "***, ***"),
            (&["abc", ""], "a b", "a b abc codex", "a b abc codex"),
        ] {
            assert_eq!(redact(secrets, header, message), expected);
        }
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(redact(&[], "v", " a\r\n\tb\u{1b}[31mc\u{0} "), "a b [31mc");
    }

    #[test]
    fn a_long_message_is_truncated_after_the_secrets_are_hidden() {
        let truncated = redact(&[], "v", &"ä".repeat(1000));
        assert_eq!(truncated.chars().count(), MAX_MESSAGE + 1);
        let message = "x".repeat(MAX_MESSAGE - 2) + "s3cret";
        assert!(!redact(&["s3cret"], "v", &message).contains("s3"));
    }
}

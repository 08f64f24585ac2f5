use std::fmt;

use http::{Uri, uri::Scheme};
use hyper_util::client::proxy::matcher::Matcher;
use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::{Protocol, Signal, value::InvalidValue};

const MAX_LEN: usize = 4096;

/// A URL that OTLP requests are sent to.
///
/// `Display` and `Debug` show `***` instead of user and password, and instead of the query:
///
/// ```
/// use codex_telemetry::otlp::config::{OtlpConfig, Signal};
///
/// let url = "https://me:s3cret@collector/traces?key=s3cret";
/// let config = OtlpConfig::builder().signal_endpoint(Signal::Traces, url).build()?;
/// let endpoint = &config.signal(Signal::Traces).expect("it has an endpoint").endpoint;
/// assert_eq!(endpoint.to_string(), "https://***@collector/traces?***");
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
}

impl Endpoint {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidValue> {
        Self::check(text)
            .map(|url| Self { url })
            .map_err(|why| format!("invalid URL: {why}").into())
    }

    /// Returns whether the text has no scheme, but a host and a port: `collector:4317`.
    pub(super) fn is_host_and_port(text: &str) -> bool {
        if text.contains("://") {
            return false;
        }
        let authority = text.split(['/', '?']).next().unwrap_or_default();
        authority.rsplit_once(':').is_some_and(|(host, port)| {
            // Without the slashes, `http:4318` is a mistyped URL.
            let is_scheme = ["http", "https"]
                .iter()
                .any(|scheme| host.eq_ignore_ascii_case(scheme));
            !is_scheme && port.parse::<u16>().is_ok()
        })
    }

    /// Returns the URL with its scheme in lower case, or why it is invalid.
    fn check(text: &str) -> Result<String, &'static str> {
        if text.len() > MAX_LEN {
            return Err("longer than 4096 bytes");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("unexpected character");
        }
        // The URL would end there, and the host would be wrong in `http://user:1#2@host`.
        if text.contains('#') {
            return Err("unexpected `#` (in a password, write %23)");
        }
        let uri: Uri = text.parse().map_err(|_| "malformed")?;
        if !matches!(uri.scheme(), Some(scheme) if [Scheme::HTTP, Scheme::HTTPS].contains(scheme)) {
            return Err("expected http:// or https://");
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err("missing host");
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.ends_with(':') || uri.port_u16() == Some(0) {
            return Err("invalid port");
        }
        // The HTTP client uses this parser, which is stricter about hosts and ports and more lenient
        // about the rest. A URL has to pass both.
        Url::parse(text).map_err(|_| "invalid host or port")?;
        // The check for TLS compares the scheme in lower case.
        let (scheme, rest) = text.split_once("://").ok_or("malformed")?;
        Ok(format!("{}://{rest}", scheme.to_ascii_lowercase()))
    }

    /// Returns the host and the port that requests are sent to.
    pub(crate) fn server(&self) -> Option<(String, u16)> {
        let url = Url::parse(&self.url).ok()?;
        let host = url.host_str()?.trim_matches(['[', ']']);
        Some((host.to_owned(), url.port_or_known_default()?))
    }

    /// Returns the endpoint of a signal below this base URL. gRPC appends no path.
    pub(super) fn for_signal(&self, signal: Signal, protocol: Protocol) -> Self {
        if protocol == Protocol::Grpc {
            return self.clone();
        }
        let (base, query) = match self.url.split_once('?') {
            Some((base, query)) => (base, format!("?{query}")),
            None => (&*self.url, String::new()),
        };
        let base = base.trim_end_matches('/');
        Self {
            url: format!("{base}/v1/{signal}{query}"),
        }
    }

    /// Returns the endpoint of a signal at a collector on this machine.
    pub(super) fn local(signal: Signal, protocol: Protocol) -> Self {
        let base = Self {
            url: match protocol {
                Protocol::Grpc => "http://localhost:4317".to_owned(),
                Protocol::HttpProtobuf | Protocol::HttpJson => "http://localhost:4318".to_owned(),
            },
        };
        base.for_signal(signal, protocol)
    }

    /// Returns the whole URL, including secrets.
    pub(crate) fn as_str(&self) -> &str {
        &self.url
    }

    /// Returns the texts that `Display` hides, and the forms of them that requests have.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let Ok(url) = Url::parse(&self.url) else {
            return Vec::new();
        };
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let credentials = [url.username(), url.password().unwrap_or_default()];
        let query = url.query_pairs().map(|(_, value)| value.into_owned());
        let mut secrets: Vec<_> = credentials.map(decoded).into_iter().chain(query).collect();
        secrets.extend(
            credentials
                .into_iter()
                .chain(url.query())
                .map(str::to_owned),
        );
        // Requests have the credentials as basic authentication, which this matcher encodes.
        let matcher = Matcher::builder().all(&*self.url).build();
        let proxy = matcher.intercept(&Uri::from_static("http://host"));
        let basic = proxy
            .as_ref()
            .and_then(|proxy| proxy.basic_auth()?.to_str().ok());
        secrets.extend(basic.and_then(|basic| Some(basic.split_once(' ')?.1.to_owned())));
        secrets
    }

    /// Returns whether the connection uses TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.url.starts_with("https:")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", &self.url));
        let (rest, query) = match rest.split_once('?') {
            Some((rest, _)) => (rest, "?***"),
            None => (rest, ""),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = match authority.rsplit_once('@') {
            Some((_, host)) => ("***@", host),
            None => ("", authority),
        };
        write!(f, "{scheme}://{user}{host}{path}{query}")
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signal_path_is_appended_with_one_slash_and_before_the_query() {
        for (base, expected) in [
            ("http://h", "http://h/v1/logs"),
            ("http://h/", "http://h/v1/logs"),
            ("http://h:1/a", "http://h:1/a/v1/logs"),
            ("http://h:1/a//", "http://h:1/a/v1/logs"),
            ("http://u:p@h/a?k=v", "http://u:p@h/a/v1/logs?k=v"),
            ("http://h?k=a/b/", "http://h/v1/logs?k=a/b/"),
            ("HTTPS://[::1]:4318", "https://[::1]:4318/v1/logs"),
        ] {
            let base = Endpoint::parse(base).unwrap();
            let endpoint = base.for_signal(Signal::Logs, Protocol::HttpJson);
            assert_eq!(endpoint.as_str(), expected);
            assert!(endpoint.as_str().parse::<Uri>().is_ok());
            assert_eq!(base.for_signal(Signal::Logs, Protocol::Grpc), base);
        }
    }

    #[test]
    fn secrets_are_known_in_each_form_that_a_request_has() {
        let endpoint = Endpoint::parse("http://me:pass%20word@h/p?key=a%2Fb&c").unwrap();
        let mut secrets = endpoint.secrets();
        secrets.retain(|secret| !secret.is_empty());
        secrets.sort_unstable();
        let expected = [
            "a/b",
            "bWU6cGFzcyB3b3Jk",
            "key=a%2Fb&c",
            "me",
            "me",
            "pass word",
            "pass%20word",
        ];
        assert_eq!(secrets, expected);
        let endpoint = Endpoint::parse("http://h/p").unwrap();
        assert!(endpoint.secrets().iter().all(String::is_empty));
    }

    #[test]
    fn secrets_are_hidden_and_still_used() {
        for (url, shown) in [
            ("http://u:s3cret@h:1/p?k=s3cret", "http://***@h:1/p?***"),
            ("https://s3cret@[::1]/?s3cret", "https://***@[::1]/?***"),
            ("http://h?s3cret@/", "http://h?***"),
            ("http://h/p", "http://h/p"),
        ] {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!(endpoint.to_string(), shown);
            assert_eq!(format!("{endpoint:?}"), format!("Endpoint({shown})"));
            assert_eq!(endpoint.as_str(), url);
        }
    }
}

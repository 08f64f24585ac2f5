use std::fmt;

use http::{Uri, uri::Scheme};
use reqwest::Url;

use super::{Protocol, Signal, flaw::Flaw};

/// Longer is no URL that a person meant.
const MAX_LEN: usize = 4096;

/// A URL that OTLP is sent to.
///
/// It shows itself with `***` for a user and password and for a query:
///
/// ```
/// use codex_telemetry::otlp::config::{OtlpConfig, Signal};
///
/// let url = "https://me:s3cret@collector/traces?key=s3cret";
/// let config = OtlpConfig::builder().signal_endpoint(Signal::Traces, url).build()?;
/// let endpoint = config.traces().expect("it has an endpoint").endpoint();
/// assert_eq!(endpoint.to_string(), "https://***@collector/traces?***");
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
}

impl Endpoint {
    pub(super) fn parse(text: &str) -> Result<Self, Flaw> {
        if text.len() > MAX_LEN {
            return Err("longer than 4096 bytes".into());
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a character in it belongs into no URL".into());
        }
        // It would be cut off, and with it the host of `http://user:1#2@host`.
        if text.contains('#') {
            return Err("a `#` in it; in a password, write %23".into());
        }
        let uri: Uri = text.parse().map_err(|_| "not a URL")?;
        if !matches!(uri.scheme(), Some(scheme) if [Scheme::HTTP, Scheme::HTTPS].contains(scheme)) {
            return Err("it begins with neither http:// nor https://".into());
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err("it has no host".into());
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.ends_with(':') || uri.port_u16() == Some(0) {
            return Err("it has no usable port".into());
        }
        // The HTTP client reads URLs by this, which knows more of hosts and ports, and forgives more of
        // the rest: what either of them refuses is refused.
        Url::parse(text).map_err(|_| "its host or port is not usable")?;
        // The scheme alone may be written in either case, and whoever asks for TLS looks at it.
        let (scheme, rest) = text.split_once("://").ok_or("not a URL")?;
        let scheme = scheme.to_ascii_lowercase();
        Ok(Self {
            url: format!("{scheme}://{rest}"),
        })
    }

    /// The URL of a signal below this one; gRPC has its own paths, which the client knows.
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

    pub(super) fn default_of(protocol: Protocol) -> Self {
        Self {
            url: protocol.default_endpoint().to_owned(),
        }
    }

    /// The whole URL, secrets and all.
    pub(crate) fn as_str(&self) -> &str {
        &self.url
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
    fn the_path_of_a_signal_comes_after_exactly_one_slash_and_before_the_query() {
        for (base, whole) in [
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
            assert_eq!(endpoint.as_str(), whole);
            assert!(endpoint.as_str().parse::<Uri>().is_ok());
            assert_eq!(base.for_signal(Signal::Logs, Protocol::Grpc), base);
        }
    }

    #[test]
    fn what_may_be_secret_is_not_shown_but_used() {
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

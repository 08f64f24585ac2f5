//! Which HTTP proxy the requests of an endpoint go through.

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use super::{Endpoint, Protocol, value::InvalidValue};

/// The variables with the hosts that are reached directly.
pub(super) const EXCLUSIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// A web server that runs a program by CGI sets this variable, and the header `Proxy` of a request as
/// `HTTP_PROXY`.
pub(super) const CGI: &str = "REQUEST_METHOD";

/// Returns the variables with the proxy for an endpoint, in their order of precedence.
pub(super) fn variables(endpoint: &Endpoint, is_cgi: bool) -> &'static [&'static str] {
    match (endpoint.is_https(), is_cgi) {
        (true, _) => &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        (false, false) => &["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"],
        (false, true) => &["http_proxy", "ALL_PROXY", "all_proxy"],
    }
}

/// Parses the URL of a proxy. As in other programs, it may have no scheme.
pub(super) fn parse(text: &str) -> Result<Endpoint, InvalidValue> {
    if text.contains("://") {
        return Endpoint::parse(text);
    }
    Endpoint::parse(&format!("http://{text}"))
}

/// Returns whether requests to an endpoint can go through a proxy. gRPC without TLS cannot: an HTTP proxy
/// forwards plain requests over HTTP/1.1.
pub(super) fn is_possible(endpoint: &Endpoint, protocol: Protocol) -> bool {
    endpoint.is_https() || protocol != Protocol::Grpc
}

/// Returns whether the text of `NO_PROXY` contains the host of an endpoint.
pub(super) fn is_excluded(endpoint: &Endpoint, exclusions: &str) -> bool {
    // The matcher does not apply it to addresses.
    if exclusions.split(',').any(|host| host.trim() == "*") {
        return true;
    }
    let matcher = Matcher::builder().all("http://proxy").no(exclusions);
    let url: Option<Uri> = endpoint.as_str().parse().ok();
    url.is_some_and(|url| matcher.build().intercept(&url).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_domains_and_networks_are_excluded() {
        for (url, exclusions, expected) in [
            ("http://collector:4318/v1/logs", "collector", true),
            ("https://a.example.com", "example.com,x", true),
            ("https://a.example.com", ".example.com", true),
            ("https://notexample.com", "example.com", false),
            ("http://127.0.0.1:4318", "127.0.0.0/8", true),
            ("http://[::1]:4318", "::1", true),
            ("http://10.1.2.3", "192.168.0.0/16, *", true),
            ("http://collector", "", false),
        ] {
            let endpoint = Endpoint::parse(url).unwrap();
            let found = is_excluded(&endpoint, exclusions);
            assert_eq!(found, expected, "{url} {exclusions}");
        }
    }

    #[test]
    fn a_proxy_needs_no_scheme_and_its_password_is_hidden() {
        let proxy = parse("me:s3cret@proxy:3128").unwrap();
        assert_eq!(proxy.as_str(), "http://me:s3cret@proxy:3128");
        assert_eq!(format!("{proxy} {proxy:?}").matches("s3cret").count(), 0);
        assert!(parse("socks5://proxy").is_err());
    }
}

use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, HeaderValue, header};

use crate::otlp::config::{HeaderSource, SignalConfig};

/// The headers of the requests of one signal.
#[derive(Debug)]
pub(super) struct Headers {
    /// Those of the configuration, which marks their values as sensitive.
    fixed: HeaderMap,
    source: Option<HeaderSource>,
    /// The headers that the source returned last.
    last: Mutex<Option<HeaderMap>>,
}

impl Headers {
    pub(super) fn new(config: &SignalConfig) -> Self {
        let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        let mut fixed = HeaderMap::new();
        fixed.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        replace(&mut fixed, &config.headers);
        Self {
            fixed,
            source: config.header_source.clone(),
            last: Mutex::default(),
        }
    }

    /// Returns whether a later request may have other headers.
    pub(super) fn can_change(&self) -> bool {
        self.source.is_some()
    }

    /// Returns the headers of the next request, and a warning if they may be out of date. Returns an error
    /// if the source has returned none yet.
    pub(super) fn current(&self) -> Result<(HeaderMap, Option<String>), String> {
        let mut headers = self.fixed.clone();
        let Some(source) = &self.source else {
            return Ok((headers, None));
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let warning = match source.read() {
            Ok(current) => {
                *last = Some(current);
                None
            }
            Err(error) if last.is_none() => return Err(error),
            Err(error) => Some(format!("{error}; the last headers are sent")),
        };
        replace(&mut headers, last.iter().flatten());
        Ok((headers, warning))
    }
}

/// Sets headers. Does not keep the existing value of a name, as `extend` would.
fn replace<'a>(
    headers: &mut HeaderMap,
    others: impl IntoIterator<Item = (&'a http::HeaderName, &'a HeaderValue)>,
) {
    for (name, value) in others {
        headers.insert(name, value.clone());
    }
}

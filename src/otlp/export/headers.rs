use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::renewed::Renewed;
use crate::otlp::config::SignalConfig;

/// The headers of the requests of one signal.
pub(super) struct Headers {
    /// Those of the configuration, which marks their values as sensitive.
    fixed: HeaderMap,
    source: Option<Renewed<HeaderMap>>,
    /// The headers that the source returned last.
    last: Mutex<Option<HeaderMap>>,
}

impl Headers {
    pub(super) fn new(config: &SignalConfig) -> Self {
        let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        let mut fixed = HeaderMap::new();
        fixed.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        replace(&mut fixed, &config.headers);
        let source = config.header_source.clone();
        Self {
            fixed,
            source: source.map(|source| Renewed::new(source.to_string(), move || source.read())),
            last: Mutex::default(),
        }
    }

    /// Returns whether a later request may have other headers.
    pub(super) fn can_change(&self) -> bool {
        self.source.is_some()
    }

    /// Returns the headers of the next request, and a warning if they may be out of date. Returns an error
    /// if the source has returned none yet.
    pub(super) async fn current(
        &self,
        limit: Duration,
    ) -> Result<(HeaderMap, Option<String>), String> {
        let mut headers = self.fixed.clone();
        let Some(source) = &self.source else {
            return Ok((headers, None));
        };
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let has_last = last().is_some();
        let warning = match source.read(limit, has_last).await {
            Ok(current) => {
                *last() = Some(current);
                None
            }
            Err(error) if !has_last => return Err(error),
            Err(error) => Some(format!("{error}; the last headers are sent")),
        };
        replace(&mut headers, last().iter().flatten());
        Ok((headers, warning))
    }
}

/// Sets headers. Does not keep the existing value of a name, as `extend` would.
fn replace<'a>(
    headers: &mut HeaderMap,
    others: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
) {
    for (name, value) in others {
        headers.insert(name, value.clone());
    }
}

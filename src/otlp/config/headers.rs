use std::{fmt, fs, path::PathBuf, sync::Arc};

use http::HeaderMap;

use super::value::{insert_header, parse_headers};
use crate::error::catch_panic;

/// Where headers that expire come from. They are read before each request.
#[derive(Clone)]
pub(crate) enum HeaderSource {
    /// A file with the syntax of `CODEX_OTLP_HEADERS`.
    File(PathBuf),
    /// A function of the application.
    Callback(Arc<Callback>),
}

type Callback = dyn Fn() -> Result<HeaderMap, String> + Send + Sync;

impl HeaderSource {
    /// Returns the source that calls `callback`.
    pub(super) fn callback<H, N, V>(
        callback: impl Fn() -> Result<H, String> + Send + Sync + 'static,
    ) -> Self
    where
        H: IntoIterator<Item = (N, V)>,
        N: AsRef<str>,
        V: AsRef<str>,
    {
        Self::Callback(Arc::new(move || {
            let mut headers = HeaderMap::new();
            for (name, value) in callback()? {
                insert_header(&mut headers, name.as_ref(), value.as_ref())?;
            }
            Ok(headers)
        }))
    }

    /// Returns the current headers, or why there are none. The error contains no value of a header.
    pub(crate) fn read(&self) -> Result<HeaderMap, String> {
        match self {
            Self::File(path) => {
                let invalid =
                    |reason: &dyn fmt::Display| format!("headers of {}: {reason}", path.display());
                let text = fs::read_to_string(path).map_err(|error| invalid(&error))?;
                match parse_headers(&text) {
                    (headers, None) => Ok(headers),
                    (_, Some(reason)) => Err(invalid(&reason)),
                }
            }
            Self::Callback(callback) => catch_panic(|| callback())
                .unwrap_or_else(|_| Err("it panicked".to_owned()))
                .map_err(|reason| format!("callback of headers: {reason}")),
        }
    }
}

impl fmt::Debug for HeaderSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Callback(_) => f.write_str("Callback"),
        }
    }
}

use std::{fmt, path::PathBuf, sync::Arc};

use http::HeaderMap;

use super::{
    OtlpConfig,
    file::read_file,
    value::{insert_header, parse_headers},
};

/// Where headers that expire come from. They are read before each request.
#[derive(Clone)]
pub(crate) enum HeaderSource {
    /// A file with the syntax of `CODEX_OTLP_HEADERS`.
    File(PathBuf),
    /// A function of the application.
    Callback(Arc<Callback>),
}

type Callback = dyn Fn() -> Result<HeaderMap, String> + Send + Sync;

// === impl OtlpConfig ===

impl OtlpConfig {
    /// Sets a function that returns headers of all signals, as
    /// [`headers_with`](super::OtlpConfigBuilder::headers_with) does. It replaces the file of
    /// `CODEX_OTLP_HEADERS_FILE`.
    ///
    /// ```
    /// use codex_telemetry::otlp::{OtlpConfig, Signal};
    ///
    /// let with_warnings = OtlpConfig::from_variables([
    ///     ("CODEX_OTLP_ENDPOINT", "https://collector"),
    ///     ("CODEX_OTLP_HEADERS", "tenant=7"),
    /// ]);
    /// let config = with_warnings.config.expect("it is enabled");
    /// let config = config.with_headers(|| Ok([("authorization", "Bearer s3cret")]));
    /// // Beside those that do not expire.
    /// let traces = config.signal(Signal::Traces).expect("all signals are enabled");
    /// assert!(traces.header_names().eq(["tenant"]));
    /// ```
    #[must_use]
    pub fn with_headers<H, N, V>(
        mut self,
        callback: impl Fn() -> Result<H, String> + Send + Sync + 'static,
    ) -> Self
    where
        H: IntoIterator<Item = (N, V)>,
        N: AsRef<str>,
        V: AsRef<str>,
    {
        let source = HeaderSource::callback(callback);
        for signal in self.signals.iter_mut().flatten() {
            signal.header_source = Some(source.clone());
        }
        self
    }
}

// === impl HeaderSource ===

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

    /// Returns the current headers, or why there are none. The error contains no value of a header. It may
    /// block the thread, and runs code of the application, which may panic.
    pub(crate) fn read(&self) -> Result<HeaderMap, String> {
        match self {
            Self::File(path) => {
                let content = read_file(path).map_err(|error| error.to_string())?;
                let text = str::from_utf8(&content).map_err(|_| "invalid UTF-8")?;
                match parse_headers(text) {
                    (headers, None) => Ok(headers),
                    (_, Some(reason)) => Err(reason.into_owned()),
                }
            }
            Self::Callback(callback) => callback(),
        }
    }
}

impl fmt::Display for HeaderSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "headers of {}", path.display()),
            Self::Callback(_) => f.write_str("callback of headers"),
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

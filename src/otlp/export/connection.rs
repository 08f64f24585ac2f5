use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    renewed::Renewed,
    tls::{self, TlsFiles},
};
use crate::{
    event::error_text,
    otlp::config::{Endpoint, Protocol, SignalConfig, Tls},
};

/// The HTTP client of one signal. It is built again when the files of certificates change, so that it does
/// not outlast them.
pub(super) struct Connection {
    config: SignalConfig,
    timeout: Duration,
    /// `None` if no file is needed.
    files: Option<Renewed<TlsFiles>>,
    /// The client, and the files that it was built with.
    built: Mutex<(TlsFiles, reqwest::Client)>,
}

impl Connection {
    /// Reads the files on this thread: an invalid one is known at the start.
    pub(super) fn new(config: &SignalConfig, timeout: Duration) -> Result<Self, String> {
        let tls = match uses_tls(config) {
            true => config.tls.clone(),
            false => Tls::default(),
        };
        let files = TlsFiles::read(&tls)?;
        let client = client(config, timeout, &files)?;
        let renewed = (tls != Tls::default()).then(|| {
            let name = "files of certificates".to_owned();
            Renewed::new(name, move || TlsFiles::read(&tls))
        });
        Ok(Self {
            config: config.clone(),
            timeout,
            files: renewed,
            built: Mutex::new((files, client)),
        })
    }

    /// Returns the client, and a warning if the files of certificates were replaced by invalid ones.
    pub(super) async fn client(&self) -> (reqwest::Client, Option<String>) {
        let read = match &self.files {
            Some(files) => files.read(self.timeout, true).await.map(Some),
            None => Ok(None),
        };
        let mut built = self.built();
        let renewed = read.and_then(|files| {
            if let Some(files) = files.filter(|files| *files != built.0) {
                let client = client(&self.config, self.timeout, &files)?;
                *built = (files, client);
            }
            Ok(())
        });
        let warning = |error| format!("{error}; the last files of certificates are used");
        (built.1.clone(), renewed.err().map(warning))
    }

    /// Opens a new connection for the next request. Over gRPC, requests share one, which outlives a request
    /// without a response: whatever is behind it may be stuck or gone.
    #[cfg(feature = "grpc")]
    pub(super) fn reconnect(&self) {
        let mut built = self.built();
        // It was built from these files before.
        if let Ok(client) = client(&self.config, self.timeout, &built.0) {
            built.1 = client;
        }
    }

    fn built(&self) -> MutexGuard<'_, (TlsFiles, reqwest::Client)> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether a connection to the endpoint or to its proxy uses TLS.
fn uses_tls(config: &SignalConfig) -> bool {
    let proxy = config.proxy.as_ref();
    config.endpoint.is_https() || proxy.is_some_and(Endpoint::is_https)
}

fn client(
    config: &SignalConfig,
    timeout: Duration,
    files: &TlsFiles,
) -> Result<reqwest::Client, String> {
    // Also without TLS: otherwise the client uses the default provider of the process, and panics if there
    // is none.
    let mut tls = if uses_tls(config) {
        tls::client_config(files)?
    } else {
        tls::unused()?
    };
    let mut builder = reqwest::Client::builder()
        .timeout(timeout)
        // OTLP has no redirects.
        .redirect(reqwest::redirect::Policy::none())
        // The pipeline retries.
        .retry(reqwest::retry::never())
        // The configuration has the proxy. The client would look for another in the environment.
        .no_proxy();
    if let Some(proxy) = &config.proxy {
        let proxy = reqwest::Proxy::all(proxy.as_str());
        // The error may contain the URL.
        builder = builder.proxy(proxy.map_err(|_| "the URL of the proxy is invalid")?);
    }
    if config.protocol == Protocol::Grpc {
        tls.alpn_protocols = vec![b"h2".to_vec()];
        #[cfg(feature = "grpc")]
        {
            builder = builder.http2_prior_knowledge();
        }
    } else {
        builder = builder.http1_only();
    }
    builder
        .tls_backend_preconfigured(tls)
        .build()
        .map_err(|error| {
            let error = error_text(&error.without_url());
            format!("the HTTP client could not be built: {error}")
        })
}

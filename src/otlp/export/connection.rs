use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::tls::{self, TlsFiles};
use crate::{
    event::error_text,
    otlp::config::{Protocol, SignalConfig, Tls},
};

/// The HTTP client of one signal. It is built again when the files of certificates change, so that it does
/// not outlast them.
#[derive(Debug)]
pub(super) struct Connection {
    config: SignalConfig,
    timeout: Duration,
    built: Mutex<Built>,
}

/// A client, and the files it was built with.
#[derive(Debug)]
struct Built {
    files: TlsFiles,
    client: reqwest::Client,
    /// Why the latest files cannot be used.
    warning: Option<String>,
}

impl Connection {
    pub(super) fn new(config: &SignalConfig, timeout: Duration) -> Result<Self, String> {
        let files = read(config)?;
        let client = client(config, timeout, &files)?;
        Ok(Self {
            config: config.clone(),
            timeout,
            built: Mutex::new(Built {
                files,
                client,
                warning: None,
            }),
        })
    }

    /// Returns the client, and a warning if its files of certificates were replaced by invalid ones.
    pub(super) fn client(&self) -> (reqwest::Client, Option<String>) {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let renewed = read(&self.config).and_then(|files| {
            if files != built.files {
                built.client = client(&self.config, self.timeout, &files)?;
                built.files = files;
            }
            Ok(())
        });
        built.warning = renewed
            .err()
            .map(|error| format!("{error}; the last files of certificates are used"));
        (built.client.clone(), built.warning.clone())
    }
}

/// Reads the files of certificates, if the connection uses TLS.
fn read(config: &SignalConfig) -> Result<TlsFiles, String> {
    let proxy = config.proxy.as_ref();
    if config.endpoint.is_https() || proxy.is_some_and(|proxy| proxy.is_https()) {
        TlsFiles::read(&config.tls)
    } else {
        TlsFiles::read(&Tls::default())
    }
}

fn client(
    config: &SignalConfig,
    timeout: Duration,
    files: &TlsFiles,
) -> Result<reqwest::Client, String> {
    let is_https = config.endpoint.is_https();
    // Also without TLS: otherwise the client uses the default provider of the process, and panics if there
    // is none.
    let mut tls = match &config.proxy {
        Some(proxy) if proxy.is_https() => tls::client_config(files)?,
        _ if is_https => tls::client_config(files)?,
        _ => tls::unused()?,
    };
    let mut builder = reqwest::Client::builder()
        .timeout(timeout)
        // OTLP has no redirects.
        .redirect(reqwest::redirect::Policy::none())
        // The pipeline retries.
        .retry(reqwest::retry::never())
        // Also if another crate enables the support of compressed responses.
        .no_gzip()
        // The configuration has the proxy. The client would look for another in the environment.
        .no_proxy();
    if let Some(proxy) = &config.proxy {
        let url = reqwest::Proxy::all(proxy.as_str());
        // The error may contain the URL.
        builder = builder.proxy(url.map_err(|_| "the URL of the proxy is invalid")?);
    }
    builder = match config.protocol {
        #[cfg(feature = "grpc")]
        Protocol::Grpc => {
            tls.alpn_protocols = vec![b"h2".to_vec()];
            builder.http2_prior_knowledge()
        }
        _ => builder.http1_only(),
    };
    builder
        .tls_backend_preconfigured(tls)
        .build()
        .map_err(|error| {
            let error = error_text(&error.without_url());
            format!("the HTTP client could not be built: {error}")
        })
}

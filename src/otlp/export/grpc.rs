use std::{path::Path, time::Duration};

use opentelemetry_otlp::{
    Compression, RetryPolicy, WithExportConfig, WithTonicConfig,
    tonic_types::{
        metadata::MetadataMap,
        transport::{Certificate, ClientTlsConfig, Identity},
    },
};
use tonic_types::StatusExt;

use super::{http, tls};
use crate::otlp::config::{SignalConfig, Tls};

/// Configures an exporter over gRPC.
pub(crate) fn configure<B>(builder: B, config: &SignalConfig) -> Result<B, String>
where
    B: WithExportConfig + WithTonicConfig,
{
    let metadata = MetadataMap::from_headers(http::headers(config));
    let mut builder = builder
        .with_endpoint(config.endpoint.as_str())
        .with_timeout(config.timeout)
        // The pipeline retries.
        .with_retry_policy(RetryPolicy::disabled())
        // The exporter adds headers from the environment, and gives them precedence. The configured
        // headers replace them.
        .with_interceptor(move |mut request: tonic::Request<()>| {
            *request.metadata_mut() = metadata.clone();
            Ok(request)
        });
    if config.gzip {
        builder = builder.with_compression(Compression::Gzip);
    }
    if config.endpoint.is_https() {
        builder = builder.with_tls_config(tls_config(&config.tls)?);
    }
    Ok(builder)
}

fn tls_config(tls: &Tls) -> Result<ClientTlsConfig, String> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| tls::unreadable(path, &error));
    if *tls != Tls::default() {
        // Checks the files as for HTTP. Tonic accepts a file without a certificate as an empty list of
        // roots, and does not name the file of an invalid key.
        tls::client_config(tls)?;
    }
    let mut config = match &tls.ca_file {
        Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(path)?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let Some(files) = &tls.client_certificate {
        let (certificate, key) = (read(&files.certificate_file)?, read(&files.key_file)?);
        config = config.identity(Identity::from_pem(certificate, key));
    }
    Ok(config)
}

/// Returns how long a receiver asked to wait. `details` are the bytes of a `google.rpc.Status` in decimal,
/// as the exporter logs them.
pub(crate) fn retry_after(details: &str) -> Option<Duration> {
    let bytes = details.strip_prefix('[')?.strip_suffix(']')?.split(", ");
    let bytes: Vec<u8> = bytes.map(str::parse).collect::<Result<_, _>>().ok()?;
    let status = tonic::Status::with_details(tonic::Code::Unknown, "", bytes.into());
    status.get_details_retry_info()?.retry_delay
}

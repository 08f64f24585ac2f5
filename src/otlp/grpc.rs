use std::time::Duration;

use opentelemetry_otlp::{
    Compression, RetryPolicy, WithExportConfig, WithTonicConfig,
    tonic_types::{
        metadata::MetadataMap,
        transport::{Certificate, ClientTlsConfig, Identity},
    },
};

use tonic_types::StatusExt;

use super::{
    config::{SignalConfig, Tls},
    http,
};

/// Sets up an exporter over gRPC as the configuration says.
pub(super) fn configure<B>(builder: B, config: &SignalConfig) -> Result<B, String>
where
    B: WithExportConfig + WithTonicConfig,
{
    let endpoint = config.endpoint().to_string();
    let metadata = MetadataMap::from_headers(http::headers(config));
    let mut builder = builder
        .with_endpoint(config.endpoint.as_str())
        .with_timeout(config.timeout)
        // The lane tries again, for as long as there is room to wait.
        .with_retry_policy(RetryPolicy::disabled())
        // The exporter reads headers from the environment by itself, and those would win: here they
        // are replaced by what the configuration says.
        .with_interceptor(move |mut request: tonic::Request<()>| {
            *request.metadata_mut() = metadata.clone();
            Ok(request)
        });
    if config.gzip {
        builder = builder.with_compression(Compression::Gzip);
    }
    if config.endpoint.as_str().starts_with("https:") {
        let tls = tls(config).map_err(|why| format!("{endpoint}: {why}"))?;
        builder = builder.with_tls_config(tls);
    }
    Ok(builder)
}

fn tls(config: &SignalConfig) -> Result<ClientTlsConfig, String> {
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
    };
    if config.tls != Tls::default() {
        // Files are judged as they are over HTTP: tonic takes one without a certificate for no roots,
        // and tells of a wrong key without the name of its file.
        super::tls::client_config(&config.tls)?;
    }
    let mut tls = match &config.tls.ca {
        Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(path)?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let Some(files) = &config.tls.client {
        let (certificate, key) = (read(&files.certificate)?, read(&files.key)?);
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    Ok(tls)
}

/// How long a receiver asked to wait, by the details of its status as the exporter logs them: the bytes of
/// a `google.rpc.Status`, in decimal.
pub(super) fn retry_after(details: &str) -> Option<Duration> {
    let bytes = details.strip_prefix('[')?.strip_suffix(']')?.split(", ");
    let bytes: Vec<u8> = bytes.map(str::parse).collect::<Result<_, _>>().ok()?;
    let status = tonic::Status::with_details(tonic::Code::Unknown, "", bytes.into());
    status.get_details_retry_info()?.retry_delay
}

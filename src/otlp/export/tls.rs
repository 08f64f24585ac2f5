use std::{fmt::Display, path::Path, sync::Arc};

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::otlp::config::Tls;

/// Returns a TLS configuration with the configured roots or else those of the system, and with the
/// client certificate if there is one.
pub(crate) fn client_config(tls: &Tls) -> Result<ClientConfig, String> {
    let builder = builder()?.with_root_certificates(roots(tls.ca_file.as_deref())?);
    let Some(files) = &tls.client_certificate else {
        return Ok(builder.with_no_client_auth());
    };
    builder
        .with_client_auth_cert(
            certificates(&files.certificate_file)?,
            private_key(&files.key_file)?,
        )
        .map_err(|error| {
            let path = files.certificate_file.display();
            format!("invalid client certificate {path}: {error}")
        })
}

/// Returns a TLS configuration that trusts no server, for a client that does not use TLS.
pub(crate) fn unused() -> Result<ClientConfig, String> {
    let builder = builder()?.with_root_certificates(RootCertStore::empty());
    Ok(builder.with_no_client_auth())
}

/// Returns the error of a file that cannot be read or parsed.
pub(crate) fn unreadable(path: &Path, error: &impl Display) -> String {
    format!("{} cannot be read: {error}", path.display())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    // Not the default provider of the process, which another library may have set.
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS could not be set up: {error}"))
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca else {
        // Ignores invalid certificates of the system, as long as there is a valid one.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Some(roots)
            .filter(|roots| !roots.is_empty())
            .ok_or("the system has no root certificates; set a file of them".to_owned());
    };
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| {
            let path = path.display();
            format!("invalid root certificate {path}: {error}")
        })?;
    }
    if roots.is_empty() {
        return Err(format!("no certificate in {}", path.display()));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(path)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(|error| format!("the certificate {}", unreadable(path, &error)))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|error| format!("the private key {}", unreadable(path, &error)))
}

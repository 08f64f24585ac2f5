use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::config::Tls;

/// TLS as the configuration says: the given roots, or else the system's; a client certificate, if
/// there is one.
pub(super) fn client_config(tls: &Tls) -> Result<ClientConfig, String> {
    let builder = builder()?.with_root_certificates(roots(tls.ca.as_deref())?);
    match &tls.client {
        Some(files) => builder
            .with_client_auth_cert(certificates(&files.certificate)?, private_key(&files.key)?)
            .map_err(|error| {
                let path = files.certificate.display();
                format!("the client certificate {path} cannot be used: {error}")
            }),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// TLS that trusts nobody, for a client that does not use it.
pub(super) fn unused() -> Result<ClientConfig, String> {
    let builder = builder()?.with_root_certificates(RootCertStore::empty());
    Ok(builder.with_no_client_auth())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    // Named here rather than taken from the process, where another library may have set another.
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS could not be set up: {error}"))
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| {
                    let path = path.display();
                    format!("the root certificate {path} cannot be used: {error}")
                })?;
            }
        }
        None => {
            // What cannot be read there is the system's affair, as long as something can.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    match ca {
        _ if !roots.is_empty() => Ok(roots),
        Some(path) => Err(format!("there is no certificate in {}", path.display())),
        None => Err("the system has no root certificates: name a file of them".to_owned()),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(path)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(|error| format!("the certificate {} cannot be read: {error}", path.display()))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|error| format!("the private key {} cannot be read: {error}", path.display()))
}

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::otlp::config::{Tls, read_file};

/// The contents of the files of a TLS connection.
#[derive(PartialEq, Eq)]
pub(super) struct TlsFiles {
    ca: Option<File>,
    /// The client certificate and its private key.
    client: Option<(File, File)>,
}

#[derive(PartialEq, Eq)]
struct File {
    path: PathBuf,
    content: Vec<u8>,
}

/// Returns a TLS configuration with the configured roots or else those of the system, and with the
/// client certificate if there is one.
pub(super) fn client_config(files: &TlsFiles) -> Result<ClientConfig, String> {
    let builder = builder()?.with_root_certificates(roots(files.ca.as_ref())?);
    let Some((certificate, key)) = &files.client else {
        return Ok(builder.with_no_client_auth());
    };
    builder
        .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
        .map_err(|error| {
            let path = certificate.path.display();
            format!("invalid client certificate {path}: {error}")
        })
}

/// Returns a TLS configuration that trusts no server, for a client that does not use TLS.
pub(super) fn unused() -> Result<ClientConfig, String> {
    let builder = builder()?.with_root_certificates(RootCertStore::empty());
    Ok(builder.with_no_client_auth())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    // Not the default provider of the process, which another library may have set.
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS could not be set up: {error}"))
}

fn roots(ca: Option<&File>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(file) = ca else {
        // Ignores invalid certificates of the system, as long as there is a valid one.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Some(roots)
            .filter(|roots| !roots.is_empty())
            .ok_or("the system has no root certificates; set a file of them".to_owned());
    };
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| {
            let path = file.path.display();
            format!("invalid root certificate {path}: {error}")
        })?;
    }
    if roots.is_empty() {
        return Err(format!("no certificate in {}", file.path.display()));
    }
    Ok(roots)
}

fn certificates(file: &File) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(&file.content)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("the certificate {}", unreadable(&file.path, &error)))
}

fn private_key(file: &File) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(&file.content)
        .map_err(|error| format!("the private key {}", unreadable(&file.path, &error)))
}

/// Returns the error of a file that cannot be read or parsed.
fn unreadable(path: &Path, error: &impl Display) -> String {
    format!("{} cannot be read: {error}", path.display())
}

// === impl TlsFiles ===

impl TlsFiles {
    pub(super) fn read(tls: &Tls) -> Result<Self, String> {
        let ca = tls.ca_file.as_deref().map(File::read).transpose()?;
        let client = tls.client_certificate.as_ref().map(|files| {
            let certificate = File::read(&files.certificate_file)?;
            Ok::<_, String>((certificate, File::read(&files.key_file)?))
        });
        Ok(Self {
            ca,
            client: client.transpose()?,
        })
    }
}

// === impl File ===

impl File {
    fn read(path: &Path) -> Result<Self, String> {
        let content = read_file(path).map_err(|error| unreadable(path, &error))?;
        let path = path.to_owned();
        Ok(Self { path, content })
    }
}

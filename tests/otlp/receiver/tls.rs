use std::sync::Arc;

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
    },
};

use super::Pki;

/// The TLS configuration of a receiver.
#[derive(Debug)]
pub(crate) struct Tls(ServerConfig);

impl Tls {
    /// The server has a certificate and does not require one of the client.
    pub(crate) fn server_only(pki: &Pki) -> Self {
        Self::new(pki, false)
    }

    /// The server also requires a client certificate of its own authority.
    pub(crate) fn mutual(pki: &Pki) -> Self {
        Self::new(pki, true)
    }

    fn new(pki: &Pki, mutual: bool) -> Self {
        // The test process has several providers and no default.
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3");
        let builder = if mutual {
            let mut roots = RootCertStore::empty();
            let ca = CertificateDer::from_pem_file(&pki.ca).expect("the authority");
            roots.add(ca).expect("an authority");
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier of clients"))
        } else {
            builder.with_no_client_auth()
        };
        let certificate = CertificateDer::from_pem_file(&pki.server_cert).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(&pki.server_key).expect("a key");
        let config = builder.with_single_cert(vec![certificate], key);
        Self(config.expect("a server that matches its key"))
    }

    pub(super) fn acceptor(mut self, alpn: &[u8]) -> TlsAcceptor {
        self.0.alpn_protocols = vec![alpn.to_vec()];
        TlsAcceptor::from(Arc::new(self.0))
    }
}

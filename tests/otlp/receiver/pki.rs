use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;

/// Certificates for a receiver and its clients, as PEM files that go when this is dropped.
///
/// Two authorities that know nothing of each other: ours signs the server and the good client, the
/// stranger signs nothing but a client of its own.
#[derive(Debug)]
pub(crate) struct Pki {
    /// The authority that signed the server's certificate and the good client's.
    pub(crate) ca: PathBuf,
    pub(crate) client_cert: PathBuf,
    pub(crate) client_key: PathBuf,
    /// An authority that the server does not know, and that did not sign the server.
    pub(crate) stranger_ca: PathBuf,
    pub(crate) stranger_cert: PathBuf,
    pub(crate) stranger_key: PathBuf,
    pub(super) server_cert: PathBuf,
    pub(super) server_key: PathBuf,
    directory: TempDir,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

impl Pki {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let write = |name: &str, pem: &str| write(directory.path(), name, pem);
        let ours = authority("receiver's authority");
        let stranger = authority("stranger's authority");
        let (server_cert, server_key) = leaf(&ours, ExtendedKeyUsagePurpose::ServerAuth);
        let (client_cert, client_key) = leaf(&ours, ExtendedKeyUsagePurpose::ClientAuth);
        let (stranger_cert, stranger_key) = leaf(&stranger, ExtendedKeyUsagePurpose::ClientAuth);
        Self {
            ca: write("ca.pem", &ours.pem()),
            client_cert: write("client.pem", &client_cert),
            client_key: write("client.key", &client_key),
            stranger_ca: write("stranger-ca.pem", &stranger.pem()),
            stranger_cert: write("stranger.pem", &stranger_cert),
            stranger_key: write("stranger.key", &stranger_key),
            server_cert: write("server.pem", &server_cert),
            server_key: write("server.key", &server_key),
            directory,
        }
    }

    /// Writes a file of any text beside the certificates, for a file that is no certificate.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        write(self.directory.path(), name, text)
    }

    /// Returns the path of a file that is not there.
    pub(crate) fn missing(&self) -> PathBuf {
        self.directory.path().join("missing.pem")
    }
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

fn leaf(issuer: &Authority, usage: ExtendedKeyUsagePurpose) -> (String, String) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).expect("names of the certificate");
    params.extended_key_usages = vec![usage];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).expect("to write into the temporary directory");
    path
}

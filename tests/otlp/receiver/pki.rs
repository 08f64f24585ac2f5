use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;

/// The certificates of a receiver and its clients, as PEM files. Dropping it removes the files.
///
/// There are two independent authorities. One signs the server and a client, the other an untrusted client.
#[derive(Debug)]
pub(crate) struct Pki {
    /// The authority of the server and of the trusted client.
    pub(crate) ca: PathBuf,
    pub(crate) client_cert: PathBuf,
    pub(crate) client_key: PathBuf,
    /// The authority of the untrusted client.
    pub(crate) untrusted_ca: PathBuf,
    pub(crate) untrusted_cert: PathBuf,
    pub(crate) untrusted_key: PathBuf,
    pub(super) server_cert: PathBuf,
    pub(super) server_key: PathBuf,
    directory: TempDir,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

impl Pki {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let write = |name: &str, pem: &str| write(directory.path(), name, pem);
        let trusted = authority("authority of the receiver");
        let untrusted = authority("untrusted authority");
        let (server_cert, server_key) = leaf(&trusted, ExtendedKeyUsagePurpose::ServerAuth);
        let (client_cert, client_key) = leaf(&trusted, ExtendedKeyUsagePurpose::ClientAuth);
        let (untrusted_cert, untrusted_key) = leaf(&untrusted, ExtendedKeyUsagePurpose::ClientAuth);
        Self {
            ca: write("ca.pem", &trusted.pem()),
            client_cert: write("client.pem", &client_cert),
            client_key: write("client.key", &client_key),
            untrusted_ca: write("untrusted-ca.pem", &untrusted.pem()),
            untrusted_cert: write("untrusted.pem", &untrusted_cert),
            untrusted_key: write("untrusted.key", &untrusted_key),
            server_cert: write("server.pem", &server_cert),
            server_key: write("server.key", &server_key),
            directory,
        }
    }

    /// Writes a file with any text in the same directory.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        write(self.directory.path(), name, text)
    }

    /// Returns the path of a missing file.
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

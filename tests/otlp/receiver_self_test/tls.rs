//! TLS with and without a client certificate.

use std::{error::Error, fs, time::Duration};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message as _;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity as TonicIdentity};

use super::support::{Identity, client_with, request};
use crate::receiver::{Pki, Receiver, Tls};

type Outcome = Result<(), Box<dyn Error>>;

async fn over_http(receiver: &Receiver, pki: &Pki, identity: Identity<'_>) -> Outcome {
    let client = client_with(Some(&pki.ca), identity);
    let sent = client.post(receiver.endpoint() + "/v1/traces");
    let sent = sent.header("content-type", "application/x-protobuf");
    let response = sent.body(request(1).encode_to_vec()).send().await?;
    Ok(response.error_for_status().map(drop)?)
}

async fn over_grpc(receiver: &Receiver, pki: &Pki, identity: Identity<'_>) -> Outcome {
    let pem = |path| fs::read(path).unwrap();
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem(&*pki.ca)));
    if let Some((certificate, key)) = identity {
        tls = tls.identity(TonicIdentity::from_pem(pem(certificate), pem(key)));
    }
    let endpoint = Channel::from_shared(receiver.endpoint())?.tls_config(tls)?;
    let channel = endpoint.timeout(Duration::from_secs(30)).connect().await?;
    TraceServiceClient::new(channel).export(request(1)).await?;
    Ok(())
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_connects() {
    let pki = Pki::new();
    let receiver = Receiver::https(Tls::server_only(&pki));
    over_http(&receiver, &pki, None).await.unwrap();
    assert_eq!(receiver.wait_for_spans(1).len(), 1);
    let receiver = Receiver::grpcs(Tls::server_only(&pki));
    over_grpc(&receiver, &pki, None).await.unwrap();
    assert_eq!(receiver.wait_for_spans(1).len(), 1);
    assert!(receiver.endpoint().starts_with("https://localhost:"));
}

#[tokio::test]
async fn a_client_that_trusts_another_authority_does_not_connect() {
    let mut pki = Pki::new();
    let https = Receiver::https(Tls::server_only(&pki));
    let grpcs = Receiver::grpcs(Tls::server_only(&pki));
    pki.ca.clone_from(&pki.untrusted_ca);
    over_http(&https, &pki, None).await.unwrap_err();
    over_grpc(&grpcs, &pki, None).await.unwrap_err();
    for receiver in [https, grpcs] {
        let refused = |receiver: &Receiver| !receiver.connection_failures().is_empty();
        receiver.wait_until("a refused handshake", Duration::from_secs(30), refused);
        assert!(receiver.connection_failures()[0].starts_with("TLS: "));
        assert_eq!(receiver.requests().len(), 0);
    }
}

#[tokio::test]
async fn mutual_tls_accepts_only_clients_of_the_authority() {
    let pki = Pki::new();
    let ours = Some((&*pki.client_cert, &*pki.client_key));
    let stranger = Some((&*pki.untrusted_cert, &*pki.untrusted_key));
    let https = Receiver::https(Tls::mutual(&pki));
    let grpcs = Receiver::grpcs(Tls::mutual(&pki));
    for wrong in [None, stranger] {
        over_http(&https, &pki, wrong).await.unwrap_err();
        over_grpc(&grpcs, &pki, wrong).await.unwrap_err();
    }
    over_http(&https, &pki, ours).await.unwrap();
    over_grpc(&grpcs, &pki, ours).await.unwrap();
    for receiver in [https, grpcs] {
        assert_eq!(receiver.requests().len(), 1);
        let refused = |receiver: &Receiver| receiver.connection_failures().len() >= 2;
        receiver.wait_until("two refused handshakes", Duration::from_secs(30), refused);
    }
}

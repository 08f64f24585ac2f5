//! Headers, which are credentials as a rule.

use codex_telemetry::{
    OtlpConfig, OtlpSink,
    otlp::{Signal, config::Protocol},
};

use super::content::{exported, make_calls};
use crate::{
    receiver::{Behaviour, Receiver, closed_port},
    signals::support::PATIENCE,
};

pub(super) fn receivers() -> Vec<(Protocol, Receiver)> {
    vec![
        (Protocol::HttpProtobuf, Receiver::http()),
        (Protocol::HttpJson, Receiver::http()),
        #[cfg(feature = "grpc")]
        (Protocol::Grpc, Receiver::grpc()),
    ]
}

#[test]
fn headers_go_with_every_request_of_every_signal() {
    for (protocol, receiver) in receivers() {
        exported(&receiver, |config| {
            let config = config.protocol(protocol);
            let config = config.header("Authorization", "Bearer s3cret");
            config.header("x-tenant", "a, b")
        });
        let requests = receiver.requests();
        assert!(requests.len() >= 3);
        for request in requests {
            assert_eq!(request.header("authorization"), Some("Bearer s3cret"));
            assert_eq!(request.header("x-tenant"), Some("a, b"), "{protocol}");
        }
    }
}

#[test]
fn the_crate_names_itself_as_the_user_agent() {
    let agent = concat!("codex-telemetry/", env!("CARGO_PKG_VERSION"));
    for (protocol, receiver) in receivers() {
        exported(&receiver, |config| config.protocol(protocol));
        for request in receiver.requests() {
            let told = request.header("user-agent").unwrap();
            // gRPC's own library adds itself.
            assert!(told.split(' ').next() == Some(agent), "{protocol}: {told}");
        }
    }
}

#[test]
fn a_user_agent_of_the_configuration_stands_alone() {
    for (protocol, receiver) in receivers() {
        exported(&receiver, |config| {
            config.protocol(protocol).header("user-agent", "mine/1")
        });
        for request in receiver.requests() {
            let told = request.header("user-agent").unwrap();
            assert!(
                told.split(' ').next() == Some("mine/1"),
                "{protocol}: {told}"
            );
            assert!(!told.contains("codex"), "{protocol}: {told}");
        }
    }
}

#[test]
fn headers_do_not_replace_what_the_protocol_says_of_the_body() {
    for (protocol, receiver) in receivers() {
        let content = exported(&receiver, |config| {
            let config = config.protocol(protocol).gzip(true);
            config.header("content-type", "text/plain")
        });
        content.assert_whole();
    }
}

#[test]
fn a_secret_is_in_no_text_of_the_sink_or_of_its_errors() {
    for (protocol, receiver) in receivers() {
        receiver.behave(Behaviour::Status(401));
        let dead = closed_port();
        let endpoint = receiver.endpoint();
        for endpoint in [&endpoint, &dead] {
            let (_, address) = endpoint.split_once("://").unwrap();
            let config = OtlpConfig::builder()
                .endpoint(&format!("http://me:s3cret@{address}/?key=s3cret"))
                .protocol(protocol)
                .header("authorization", "Bearer s3cret")
                .build()
                .unwrap();
            let builder = OtlpSink::builder(config.clone());
            let mut told = format!("{config:?} {builder:?}");
            let sink = builder.start();
            make_calls(sink.clone());
            let undelivered = sink
                .shutdown(std::time::Duration::from_secs(1))
                .unwrap_err();
            told += &format!("{undelivered} {undelivered:?} {sink:?} {}", sink.stats());
            let probed = sink.probe(PATIENCE).unwrap_err();
            told += &format!("{probed} {probed:?}");
            for signal in Signal::ALL {
                let problem = sink.problem(signal).expect("it did not get through");
                told += &format!("{problem} {:?}", sink.endpoint(signal));
            }
            assert!(!told.contains("s3cret"), "{protocol}: {told}");
            // Basic authentication, which a user and password in the URL become.
            assert!(!told.contains("bWU6czNjcmV0"), "{protocol}: {told}");
        }
    }
}

//! Headers, which often contain credentials.

use codex_telemetry::{
    OtlpConfig, OtlpSink,
    otlp::{Signal, config::Protocol},
};

use tracing_subscriber::filter::LevelFilter;

use super::{
    content::{exported, make_calls},
    subprocess::in_subprocess,
};
use crate::{
    receiver::{MockResponse, Receiver, closed_port},
    rig::PATIENCE,
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
fn every_request_has_the_configured_headers() {
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
fn the_default_user_agent_is_the_crate() {
    let agent = concat!("codex-telemetry/", env!("CARGO_PKG_VERSION"));
    for (protocol, receiver) in receivers() {
        exported(&receiver, |config| config.protocol(protocol));
        for request in receiver.requests() {
            assert_eq!(request.header("user-agent"), Some(agent), "{protocol}");
        }
    }
}

#[test]
fn a_configured_user_agent_replaces_the_default() {
    for (protocol, receiver) in receivers() {
        exported(&receiver, |config| {
            config.protocol(protocol).header("user-agent", "mine/1")
        });
        for request in receiver.requests() {
            assert_eq!(request.header("user-agent"), Some("mine/1"), "{protocol}");
        }
    }
}

#[test]
fn configured_headers_that_describe_the_body_are_ignored() {
    for (protocol, receiver) in receivers() {
        let content = exported(&receiver, |config| {
            let config = config.protocol(protocol).gzip(true);
            let config = config.header("content-type", "text/plain");
            let config = config.header("content-encoding", "br");
            config.header("content-length", "5")
        });
        content.assert_complete();
    }
}

#[test]
fn no_text_of_the_sink_or_its_errors_contains_a_secret() {
    for (protocol, receiver) in receivers() {
        receiver.respond_with(MockResponse::Status(401));
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
            let mut shown = format!("{config:?} {builder:?}");
            let sink = builder.start();
            make_calls(sink.clone());
            let undelivered = sink
                .blocking_shutdown(std::time::Duration::from_secs(1))
                .unwrap_err();
            shown += &format!("{undelivered} {undelivered:?} {sink:?} {}", sink.stats());
            let probed = sink.probe(PATIENCE).unwrap_err();
            shown += &format!("{probed} {probed:?}");
            for signal in Signal::ALL {
                let problem = sink.problem(signal).expect("the export fails");
                shown += &format!("{problem} {:?}", sink.endpoint(signal));
            }
            assert!(!shown.contains("s3cret"), "{protocol}: {shown}");
            // User and password of the URL, as basic authentication.
            assert!(!shown.contains("bWU6czNjcmV0"), "{protocol}: {shown}");
        }
    }
}

#[test]
fn the_log_of_the_application_contains_no_secret() {
    let name = "headers::the_log_of_the_application_contains_no_secret";
    if let Some(output) = in_subprocess(name, &[]) {
        assert!(output.contains("TRACE"), "nothing was logged: {output}");
        assert!(!output.contains("s3cret"), "{output}");
        assert!(!output.contains("bWU6czNjcmV0"), "{output}");
        return;
    }
    // The export thread uses the subscriber of the process.
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .init();
    for (protocol, receiver) in receivers() {
        let endpoint = receiver.endpoint();
        let (_, address) = endpoint.split_once("://").unwrap();
        let config = OtlpConfig::builder()
            .endpoint(&format!("http://me:s3cret@{address}/?key=s3cret"))
            .protocol(protocol)
            .header("authorization", "Bearer s3cret");
        let sink = OtlpSink::start(config.build().unwrap());
        make_calls(sink.clone());
        sink.blocking_shutdown(PATIENCE).ok();
        sink.probe(PATIENCE).ok();
    }
}

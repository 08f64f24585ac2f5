//! Receivers that repeat the request in their answer, as pages of errors do.

use codex_telemetry::otlp::{Signal, probe};

use super::headers::receivers;
use crate::{
    receiver::{MockResponse, Receiver},
    rig::{PATIENCE, Wire, calls, only},
};

/// The secrets of the configuration, and user and password of the URL as basic authentication.
const SECRETS: [&str; 5] = [
    "t0ken-of-a-header",
    "pass word",
    "k3y-of-the-query",
    "bWU6cGFzcyB3b3Jk",
    "short",
];

fn answers(message: &str) -> [MockResponse; 3] {
    [
        MockResponse::StatusWithMessage(400, message.to_owned()),
        MockResponse::StatusWithMessage(404, message.to_owned()),
        MockResponse::PartialSuccess {
            rejected: 1,
            message: message.to_owned(),
        },
    ]
}

#[test]
fn a_secret_that_the_receiver_repeats_is_hidden() {
    let [token, password, key, basic, short] = SECRETS;
    // A long message is cut, and not within a secret.
    let padding = "x".repeat(280);
    for message in [
        format!("Cannot POST /v1/traces?key={key}&x=1, authorization: Basic {basic}"),
        format!("invalid token {token} or {short} or password {password}"),
        format!("{padding} {token}"),
    ] {
        for (protocol, receiver) in receivers() {
            let address = receiver.endpoint().replace("http://", "");
            let config = Wire::Http
                .config(&format!("http://me:pass%20word@{address}?key={key}&x=1"))
                .protocol(protocol)
                .signals([Signal::Traces])
                .header("authorization", &format!("Bearer {token}"))
                .headers_with(move || Ok([("x-token", short)]));
            for answer in answers(&message) {
                receiver.respond_with(answer);
                let sink = only(Signal::Traces, config.clone());
                calls(sink.clone(), 1);
                let undelivered = sink.blocking_flush(PATIENCE);
                let undelivered = undelivered.unwrap_err();
                let problem = sink.problem(Signal::Traces).expect("a problem");
                let probed = probe(&config.clone().build().unwrap(), PATIENCE).unwrap_err();
                let shown = format!("{undelivered} {problem} {probed} {probed:?}");
                assert!(shown.contains("***"), "{protocol}: {shown}");
                for secret in SECRETS.iter().flat_map(|secret| [secret, &secret[..5]]) {
                    assert!(!shown.contains(secret), "{protocol} {secret}: {shown}");
                }
            }
        }
    }
}

#[test]
fn a_message_of_a_receiver_is_one_line_without_control_characters() {
    for (protocol, receiver) in receivers() {
        for answer in answers("no\n2026-01-01 ERROR forged\u{1b}[31m red\u{7}") {
            receiver.respond_with(answer);
            let config = Wire::Http.config(&receiver.endpoint());
            let sink = only(Signal::Traces, config.protocol(protocol));
            calls(sink.clone(), 1);
            sink.blocking_shutdown(PATIENCE).unwrap_err();
            let problem = sink.problem(Signal::Traces).expect("a problem");
            assert!(
                !problem.contains(char::is_control),
                "{protocol}: {problem:?}"
            );
        }
    }
}

#[test]
fn a_header_that_is_no_secret_does_not_mangle_the_message() {
    let receiver = Receiver::http();
    receiver.respond_with(MockResponse::StatusWithMessage(
        400,
        "an invalid a".to_owned(),
    ));
    let config = Wire::Http
        .config(&receiver.endpoint())
        .header("x-version", "a");
    let sink = only(Signal::Traces, config);
    calls(sink.clone(), 1);
    sink.blocking_shutdown(PATIENCE).unwrap_err();
    let problem = sink.problem(Signal::Traces).expect("a problem");
    assert!(problem.contains("an invalid a"), "{problem}");
}

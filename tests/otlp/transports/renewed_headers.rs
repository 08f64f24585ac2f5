//! Headers that expire, such as tokens.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use codex_telemetry::{
    OtlpConfig, OtlpSink,
    otlp::{
        Signal,
        config::{OtlpConfigBuilder, Protocol},
    },
};

use super::headers::receivers;
use crate::{
    receiver::{MockResponse, Receiver},
    rig::{PATIENCE, Wire, calls, only},
};

fn start(
    protocol: Protocol,
    receiver: &Receiver,
    configure: impl FnOnce(OtlpConfigBuilder) -> OtlpConfigBuilder,
) -> OtlpSink {
    let config = Wire::Http.config(&receiver.endpoint()).protocol(protocol);
    only(Signal::Traces, configure(config))
}

/// Returns the values of the header `authorization`, in the order of the requests.
fn tokens(receiver: &Receiver) -> Vec<String> {
    let requests = receiver.requests().into_iter();
    let token = |request: crate::receiver::Request| request.headers["authorization"].clone();
    requests.map(token).collect()
}

#[test]
fn a_token_in_a_file_that_changes_is_sent_with_the_next_request() {
    for (protocol, receiver) in receivers() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("headers");
        fs::write(&file, "authorization=Bearer%20first\n").unwrap();
        let sink = start(protocol, &receiver, |config| {
            let config = config.header("authorization", "Bearer fixed");
            config.header("x-tenant", "blue").headers_file(&file)
        });
        calls(sink.clone(), 1);
        assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{protocol}");
        fs::write(&file, "authorization=Bearer%20second\n").unwrap();
        calls(sink.clone(), 1);
        assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{protocol}");
        assert_eq!(tokens(&receiver), ["Bearer first", "Bearer second"]);
        for request in receiver.requests() {
            assert_eq!(request.header("x-tenant"), Some("blue"), "{protocol}");
        }
    }
}

#[test]
fn a_token_of_a_callback_is_sent_with_the_next_request() {
    for (protocol, receiver) in receivers() {
        let token = Arc::new(Mutex::new("Bearer first"));
        let sink = start(protocol, &receiver, |config| {
            let token = Arc::clone(&token);
            config.headers_with(move || Ok([("authorization", *token.lock().unwrap())]))
        });
        calls(sink.clone(), 1);
        assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{protocol}");
        *token.lock().unwrap() = "Bearer second";
        calls(sink.clone(), 1);
        assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{protocol}");
        assert_eq!(tokens(&receiver), ["Bearer first", "Bearer second"]);
    }
}

#[test]
fn an_expired_token_is_retried_with_the_next_one() {
    for (protocol, receiver) in receivers() {
        receiver.respond_next(1, MockResponse::Status(401));
        receiver.respond_next(1, MockResponse::Status(403));
        let count = Mutex::new(0);
        let sink = start(protocol, &receiver, |config| {
            config.headers_with(move || {
                let mut count = count.lock().unwrap();
                *count += 1;
                Ok([("authorization", format!("Bearer {count}"))])
            })
        });
        calls(sink.clone(), 1);
        assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{protocol}");
        assert_eq!(tokens(&receiver), ["Bearer 1", "Bearer 2", "Bearer 3"]);
    }
}

#[test]
fn the_last_headers_are_sent_while_their_source_fails_which_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("headers");
    fs::write(&file, "authorization=s3cret").unwrap();
    let receiver = Receiver::http();
    let sink = start(Protocol::HttpProtobuf, &receiver, |config| {
        config.headers_file(&file)
    });
    calls(sink.clone(), 1);
    assert_eq!(sink.blocking_flush(PATIENCE), Ok(()));
    for invalid in [
        None,
        Some("authorization:s3cret"),
        Some("a=b,authorization=s3cret%zz"),
    ] {
        match invalid {
            None => fs::remove_file(&file).unwrap(),
            Some(text) => fs::write(&file, text).unwrap(),
        }
        calls(sink.clone(), 1);
        assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{invalid:?}");
        let problem = sink.problem(Signal::Traces).expect("a problem");
        assert!(problem.contains(file.to_str().unwrap()), "{problem}");
        assert!(problem.contains("the last headers are sent"), "{problem}");
        assert!(!problem.contains("s3cret"), "{problem}");
    }
    assert_eq!(tokens(&receiver), ["s3cret"; 4]);
    fs::write(&file, "authorization=fresh").unwrap();
    calls(sink.clone(), 1);
    assert_eq!(sink.blocking_flush(PATIENCE), Ok(()));
    assert_eq!(sink.problem(Signal::Traces), None);
}

#[test]
fn requests_wait_for_the_first_headers() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("headers");
    let receiver = Receiver::http();
    let config = Wire::Http.eager(&receiver.endpoint()).headers_file(&file);
    let sink = only(Signal::Traces, config);
    calls(sink.clone(), 1);
    let problem = sink.blocking_flush(std::time::Duration::from_millis(300));
    let problem = problem.unwrap_err().to_string();
    assert!(problem.contains(file.to_str().unwrap()), "{problem}");
    assert_eq!(receiver.requests().len(), 0);
    fs::write(&file, "authorization=Bearer%20late").unwrap();
    assert_eq!(sink.blocking_flush(PATIENCE), Ok(()));
    assert_eq!(tokens(&receiver), ["Bearer late"]);
}

#[test]
fn a_panicking_callback_ends_nothing() {
    let receiver = Receiver::http();
    let panics = Arc::new(Mutex::new(false));
    let sink = start(Protocol::HttpProtobuf, &receiver, |config| {
        let panics = Arc::clone(&panics);
        config.headers_with(move || {
            assert!(!*panics.lock().unwrap(), "as expected");
            Ok([("authorization", "s3cret")])
        })
    });
    calls(sink.clone(), 1);
    assert_eq!(sink.blocking_flush(PATIENCE), Ok(()));
    *panics.lock().unwrap() = true;
    calls(sink.clone(), 1);
    assert_eq!(sink.blocking_flush(PATIENCE), Ok(()));
    let problem = sink.problem(Signal::Traces).expect("a problem");
    assert!(problem.contains("it panicked"), "{problem}");
    assert_eq!(tokens(&receiver), ["s3cret"; 2]);
}

#[test]
fn the_file_of_headers_is_a_variable() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("headers");
    fs::write(&file, "authorization=from%20file").unwrap();
    let receiver = Receiver::http();
    let with_warnings = OtlpConfig::from_variables([
        ("CODEX_OTLP_ENDPOINT", &*receiver.endpoint()),
        ("CODEX_OTLP_HEADERS", "authorization=fixed,x-tenant=blue"),
        ("CODEX_OTLP_HEADERS_FILE", file.to_str().unwrap()),
    ]);
    assert_eq!(with_warnings.warnings, []);
    let sink = OtlpSink::start(with_warnings.config.unwrap());
    calls(sink.clone(), 1);
    assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
    assert_eq!(tokens(&receiver), ["from file"; 3]);
    assert_eq!(receiver.requests()[0].header("x-tenant"), Some("blue"));
}

#[test]
fn a_configuration_from_the_environment_can_have_a_callback_instead_of_the_file() {
    let receiver = Receiver::http();
    let with_warnings = OtlpConfig::from_variables([
        ("CODEX_OTLP_ENDPOINT", &*receiver.endpoint()),
        ("CODEX_OTLP_HEADERS", "authorization=fixed,x-tenant=blue"),
        ("CODEX_OTLP_HEADERS_FILE", "/missing"),
    ]);
    let config = with_warnings.config.unwrap();
    let config = config.with_headers(|| Ok([("authorization", "from callback")]));
    let sink = OtlpSink::start(config);
    calls(sink.clone(), 1);
    assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
    assert_eq!(tokens(&receiver), ["from callback"; 3]);
    assert_eq!(receiver.requests()[0].header("x-tenant"), Some("blue"));
}

//! Missing and invalid files of certificates and keys.

use std::path::{Path, PathBuf};

use codex_telemetry::{
    OtlpConfig, OtlpSink,
    otlp::{Signal, config::OtlpConfigBuilder},
};

use super::{
    content::{SPANS, make_calls},
    subprocess::in_subprocess,
    tls::receivers,
};
use crate::{
    receiver::{Pki, Tls},
    rig::PATIENCE,
};

/// A description, the invalid file, and the configuration that uses it.
type Case<'a> = (
    &'a str,
    PathBuf,
    &'a dyn Fn(&Path, OtlpConfigBuilder) -> OtlpConfigBuilder,
);

fn cases<'a>(
    pki: &Pki,
    ca: &'a dyn Fn(&Path, OtlpConfigBuilder) -> OtlpConfigBuilder,
    certificate: &'a dyn Fn(&Path, OtlpConfigBuilder) -> OtlpConfigBuilder,
    key: &'a dyn Fn(&Path, OtlpConfigBuilder) -> OtlpConfigBuilder,
) -> Vec<Case<'a>> {
    let empty = pki.write("empty.pem", "");
    let text = pki.write("text.pem", "this is no certificate\n");
    let garbled = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    let garbled = pki.write("garbled.pem", garbled);
    let mut cases: Vec<Case<'a>> = vec![
        ("a missing authority", pki.missing(), ca),
        ("a missing certificate", pki.missing(), certificate),
        ("a missing key", pki.missing(), key),
    ];
    for file in [empty, text, garbled] {
        cases.push(("a broken authority", file.clone(), ca));
        cases.push(("a broken certificate", file.clone(), certificate));
        cases.push(("a broken key", file, key));
    }
    cases
}

#[test]
fn an_invalid_file_causes_a_warning_and_fails_the_records() {
    let name = "pem::an_invalid_file_causes_a_warning_and_fails_the_records";
    if let Some(output) = in_subprocess(name, &[]) {
        for file in ["missing.pem", "empty.pem", "text.pem", "garbled.pem"] {
            let warned = |line: &str| line.contains("WARN") && line.contains(file);
            assert!(output.lines().any(warned), "{file}: {output}");
        }
        return;
    }
    // The export thread logs the warnings, so the subscriber is that of the process.
    tracing_subscriber::fmt().with_ansi(false).init();
    let pki = Pki::new();
    let ca = |file: &Path, config: OtlpConfigBuilder| config.ca_file(file);
    let certificate = |file: &Path, config: OtlpConfigBuilder| {
        let config = config.ca_file(&pki.ca);
        config.client_certificate_file(file, &pki.client_key)
    };
    let key = |file: &Path, config: OtlpConfigBuilder| {
        let config = config.ca_file(&pki.ca);
        config.client_certificate_file(&pki.client_cert, file)
    };
    for (protocol, receiver) in receivers(|| Tls::mutual(&pki)) {
        for (case, file, configure) in cases(&pki, &ca, &certificate, &key) {
            let case = format!("{protocol}: {case} {}", file.display());
            let config = OtlpConfig::builder().endpoint(&receiver.endpoint());
            let config = configure(&file, config.protocol(protocol));
            fails(&case, &file, config);
        }
        assert_eq!(receiver.connections(), 0, "{protocol}");
    }
}

#[track_caller]
fn fails(case: &str, file: &Path, config: OtlpConfigBuilder) {
    let sink = OtlpSink::start(config.build().unwrap());
    make_calls(sink.clone());
    let undelivered = sink.blocking_shutdown(PATIENCE).expect_err(case);
    let stats = sink.stats();
    for signal in Signal::ALL {
        let stats = stats.of(signal);
        assert!(stats.accepted >= SPANS, "{case}");
        assert_eq!(stats.failed, stats.accepted, "{case} {signal}");
        assert_eq!(undelivered.failed(signal), stats.accepted, "{case}");
        let problem = undelivered.problem(signal).expect(case);
        let file = file.file_name().unwrap().to_str().unwrap();
        assert!(problem.contains(file), "{case}: {problem}");
    }
}

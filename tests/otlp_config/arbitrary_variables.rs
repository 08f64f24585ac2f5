//! Arbitrary variables cause no panic.

use std::collections::HashSet;

use codex_telemetry::otlp::config::{OtlpConfig, Signal};
use fastrand::Rng;

use crate::variables::VARIABLES;

const SETTINGS: &[&str] = &[
    "ENDPOINT",
    "HEADERS",
    "PROTOCOL",
    "TIMEOUT",
    "COMPRESSION",
    "CERTIFICATE",
    "CLIENT_CERTIFICATE",
    "CLIENT_KEY",
    "INSECURE",
];
const OTHERS: &[&str] = &[
    "CODEX_OTLP_CERTFILE",
    "CODEX_OTLP_KEYFILE",
    "CODEX_OTLP_CACERTFILE",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "CODEX_OTLP_HEADERS_FILE",
    "HTTP_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "NO_PROXY",
    "REQUEST_METHOD",
];
const PIECES: &[&str] = &[
    "http://",
    "https://",
    "h",
    ":",
    "4318",
    "/",
    "//",
    "?",
    "#",
    "@",
    "[",
    "]",
    "::1",
    "%",
    "%2",
    "%41",
    "=",
    ",",
    " ",
    "a",
    "b",
    "ä",
    "\u{0}",
    "\n",
    "1",
    "0",
    "true",
    "grpc",
    "http/json",
    "gzip",
    "traces",
    "metrics",
    "logs",
    "otlp",
    "none",
    "console",
    "delta",
    "ends",
    "span_only",
    "4096",
    "traceidratio",
    "0.5",
    "-",
    "1e999",
    "NaN",
    "18446744073709551615",
    ".",
    "\\",
    "{",
    "\"",
];

fn name(random: &mut Rng) -> String {
    if random.bool() {
        return pick(random, &[VARIABLES, OTHERS].concat()).to_owned();
    }
    let prefix = pick(
        random,
        &[
            "CODEX_OTLP_",
            "OTEL_EXPORTER_OTLP_",
            "OTEL_EXPORTER_OTLP_TRACES_",
            "OTEL_EXPORTER_OTLP_METRICS_",
            "OTEL_EXPORTER_OTLP_LOGS_",
        ],
    );
    format!("{prefix}{}", pick(random, SETTINGS))
}

fn pick<'a>(random: &mut Rng, from: &[&'a str]) -> &'a str {
    from[random.usize(..from.len())]
}

#[test]
fn arbitrary_variables_cause_no_panic_and_no_value_out_of_bounds() {
    let mut enabled = 0;
    for seed in 0..30_000 {
        let mut random = Rng::with_seed(seed);
        let mut variables: Vec<(String, String)> = Vec::new();
        if random.bool() {
            variables.push(("CODEX_OTLP_ENABLE".into(), "1".into()));
        }
        for _ in 0..random.usize(..12) {
            let pieces = random.usize(..8);
            let value = (0..pieces).map(|_| pick(&mut random, PIECES)).collect();
            variables.push((name(&mut random), value));
        }
        let with_warnings = OtlpConfig::from_variables(variables.clone());

        let warned: Vec<_> = with_warnings
            .warnings
            .iter()
            .map(|warning| warning.setting())
            .collect();
        let once: HashSet<_> = warned.iter().collect();
        assert_eq!(once.len(), warned.len(), "{variables:?}: {warned:?}");
        assert!(
            warned
                .iter()
                .all(|warned| variables.iter().any(|(name, _)| name == warned)),
            "{variables:?}: {warned:?}"
        );
        let Some(config) = with_warnings.config else {
            continue;
        };
        enabled += 1;
        let limits = config.limits();
        for batch in [limits.spans, limits.logs] {
            assert!((1..=batch.queue_capacity).contains(&batch.batch_size));
            assert!(!batch.schedule_delay.is_zero());
            assert!(
                batch
                    .export_timeout
                    .is_none_or(|timeout| !timeout.is_zero())
            );
        }
        assert!(limits.queue_bytes >= 1024 && limits.message_bytes >= 1024);
        assert!(!limits.max_age.is_zero() && !limits.metric_timeout.is_zero());
        assert!(!limits.metric_interval.is_zero());
        let signals = Signal::ALL.map(|signal| config.signal(signal));
        assert!(signals.iter().any(Option::is_some), "{variables:?}");
        for signal in signals.into_iter().flatten() {
            let endpoint = signal.endpoint.to_string();
            let endpoint: http::Uri = endpoint.replace("***@", "").parse().expect("it is a URL");
            assert!(endpoint.host().is_some_and(|host| !host.is_empty()));
            assert!(!signal.timeout.is_zero());
        }
    }
    assert!(
        enabled > 5_000,
        "only {enabled} configurations were enabled"
    );
}

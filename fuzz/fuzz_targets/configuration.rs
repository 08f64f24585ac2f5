//! Environment variables, originator names and trace context: any input is accepted, rejected or warned about.
#![no_main]

#[path = "../../tests/otlp_config/variables.rs"]
mod variables;

use codex_telemetry::{CallContext, Originator, otlp::OtlpConfig};
use libfuzzer_sys::fuzz_target;

use self::variables::VARIABLES;

const OTHERS: &[&str] = &[
    "CODEX_OTLP_ENDPOINT",
    "CODEX_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SERVICE_NAME",
    "OTEL_EXPORTER_OTLP_INSECURE",
    "CODEX_OTLP_HEADERS_FILE",
    "HTTP_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "NO_PROXY",
    "REQUEST_METHOD",
];

/// A header value. No warning may contain it.
const SECRET: &str = "Zq7XkPw2";

fuzz_target!(|input: (Vec<(u8, String)>, String, String)| {
    let (mut variables, text, state) = input;
    variables.push((0, "1".to_owned()));
    let names = [VARIABLES, OTHERS].concat();
    let named = variables.iter().map(|(index, value)| {
        let name = names[usize::from(*index) % names.len()];
        // Every header contains the secret.
        if name.ends_with("HEADERS") {
            (name, format!("{value}{SECRET}"))
        } else {
            (name, value.clone())
        }
    });
    let named: Vec<_> = named.collect();
    let config = OtlpConfig::from_variables(named.clone());
    for warning in &config.warnings {
        let text = warning.to_string();
        assert!(!text.contains(SECRET), "{text}");
        assert!(named.iter().any(|(name, _)| *name == warning.setting()));
    }
    if let Some(config) = config.config {
        let limits = config.limits();
        for batch in [limits.spans, limits.logs] {
            assert!((1..=batch.queue_capacity).contains(&batch.batch_size));
            assert!(!batch.schedule_delay.is_zero());
        }
        assert!(!limits.metric_interval.is_zero() && !limits.max_age.is_zero());
        assert!(limits.queue_bytes >= 1024 && limits.message_bytes >= 1024);
        let debug = format!("{config:?}");
        assert!(!debug.contains(SECRET), "{debug}");
    }

    if let Ok(originator) = Originator::named(&text) {
        assert_eq!(originator.as_str(), text);
    }
    let context = CallContext::new().with_traceparent(&text, Some(&state));
    if let Some(traceparent) = context.traceparent() {
        let again = CallContext::new().with_traceparent(&traceparent, None);
        assert_eq!(again.traceparent().as_deref(), Some(&*traceparent));
    }
});

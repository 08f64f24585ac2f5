//! Secrets are not shown, not even if they are in the wrong variable.

use codex_telemetry::otlp::config::{OtlpConfig, Signal};

use crate::{support::ON, variables::VARIABLES};

const SECRET: &str = "s3cret";

const OTHERS: &[&str] = &[
    "CODEX_OTLP_ENDPOINT",
    "CODEX_OTLP_HEADERS",
    "CODEX_OTLP_PROTOCOL",
    "CODEX_OTLP_TIMEOUT",
    "CODEX_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_INSECURE",
];

const VALUES: &[&str] = &[
    "s3cret",
    "s3cret==",
    "authorization=Bearer%20s3cret",
    "authorization=s3cret,s3cret",
    "s3cret=%zz",
    "a=1,b=s3cret%0A",
    "http://user:s3cret@h",
    "https://s3cret@h:1/p?key=s3cret",
    "http://h?s3cret",
    "http://user:s3cret@",
    "http://user:s3cret@h:x",
    "http://user:1#s3cret@h",
    "user:s3cret@h",
    "user:s3cret@h:4317",
    "s3cret@h:4317/?s3cret",
    "ftp://user:s3cret@h",
    "http://user:s3cret@h h",
];

#[test]
fn the_value_of_a_variable_is_not_shown() {
    for variable in [VARIABLES, OTHERS].concat() {
        for value in VALUES {
            for on in [ON, ("CODEX_OTLP_UNKNOWN", SECRET)] {
                let sampler = ("OTEL_TRACES_SAMPLER", "traceidratio");
                let with_warnings = OtlpConfig::from_variables([on, sampler, (variable, value)]);
                let mut shown = format!("{with_warnings:?} {with_warnings:#?}");
                for warning in &with_warnings.warnings {
                    shown += &format!("{warning} {}", warning.setting());
                }
                let config = with_warnings.config.as_ref();
                for signal in Signal::ALL {
                    let signal = config.and_then(|config| config.signal(signal));
                    let Some(signal) = signal else { continue };
                    shown += &format!("{} {:?}", signal.endpoint, signal.endpoint);
                }
                // The name of a header is not a secret.
                let shown = shown.replace("\"s3cret\": Sensitive", "");
                assert!(!shown.contains(SECRET), "{variable}={value}: {shown}");
            }
        }
    }
}

#[test]
fn the_values_of_the_builder_are_not_shown() {
    for value in VALUES {
        let builder = OtlpConfig::builder().endpoint(value);
        assert!(!format!("{builder:?} {builder:#?}").contains(SECRET));
        let shown = match builder.build() {
            Ok(config) => format!("{config:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!shown.contains(SECRET), "{shown}");

        let builder = OtlpConfig::builder()
            .header("api-key", value)
            .header(value, "ä");
        let error = builder
            .clone()
            .build()
            .expect_err("the last value is invalid");
        let shown = format!("{builder:?} {error} {error:?}");
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

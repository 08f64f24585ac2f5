use std::{path::PathBuf, time::Duration};

use codex_telemetry::otlp::config::{ConfigWithWarnings, OtlpConfig, Signal, SignalConfig};

/// Enables the export in cases that are about something else.
pub(crate) const ON: (&str, &str) = ("CODEX_OTLP_ENABLE", "1");

/// A case: its name, the variables, properties of their configuration, and the warnings.
pub(crate) struct Row<'a> {
    pub(crate) case: &'a str,
    pub(crate) variables: &'a [(&'a str, &'a str)],
    pub(crate) facts: &'a [(&'a str, &'a str)],
    pub(crate) warnings: &'a [&'a str],
}

/// Checks all rows, and fails with all that are wrong.
pub(crate) fn check(rows: &[Row<'_>]) {
    let mut wrong = Vec::new();
    for row in rows {
        let with_warnings = OtlpConfig::from_variables(row.variables.iter().copied());
        for (fact, expected) in row.facts {
            let found = fact_of(&with_warnings, fact);
            if found != *expected {
                wrong.push(format!(
                    "{}: {fact} is {found:?}, not {expected:?}",
                    row.case
                ));
            }
        }
        let warnings: Vec<_> = with_warnings
            .warnings
            .iter()
            .map(ToString::to_string)
            .collect();
        if warnings != row.warnings {
            wrong.push(format!(
                "{}: the warnings are {warnings:#?}, not {:#?}",
                row.case, row.warnings
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A variable, its invalid value, the warning, and a property of the configuration.
pub(crate) type InvalidCase<'a> = (&'a str, &'a str, &'a str, (&'a str, &'a str));

pub(crate) fn check_invalid(cases: &[InvalidCase<'_>]) {
    for (variable, value, warning, fact) in cases {
        check(&[Row {
            case: &format!("{variable}={value}"),
            variables: &[ON, (variable, value)],
            facts: &[*fact],
            warnings: &[&format!("{variable}: {warning}")],
        }]);
    }
}

/// Returns a property of the configuration as a text: `signals`, `traces endpoint`, `queue` and so on.
pub(crate) fn fact_of(with_warnings: &ConfigWithWarnings, fact: &str) -> String {
    let Some(config) = &with_warnings.config else {
        return "off".to_owned();
    };
    if let Some((signal, fact)) = fact.split_once(' ') {
        let known = |known: &Signal| known.as_str() == signal;
        let signal = Signal::ALL.into_iter().find(known).expect("it is a signal");
        if let Some(limit) = limit_of(config, signal, fact) {
            return limit;
        }
        let config = config.signal(signal);
        return config.map_or("off".to_owned(), |signal| signal_fact(signal, fact));
    }
    let limits = config.limits();
    match fact {
        "signals" => signals(config).join(","),
        "sampler" => format!("{:?}", config.sampler()),
        "interval" => millis(limits.metric_interval),
        "metric_timeout" => millis(limits.metric_timeout),
        "queue_bytes" => limits.queue_bytes.to_string(),
        "message_bytes" => limits.message_bytes.to_string(),
        "span_events" => limits.span_events.to_string(),
        "temporality" => format!("{:?}", config.temporality()),
        "aggregation" => format!("{:?}", config.histogram_aggregation()),
        "records" => format!("{:?}", config.log_selection()),
        "failures" => config.keeps_failures().to_string(),
        "content" => config.captures_content().to_string(),
        "latest" => config.uses_latest_conventions().to_string(),
        key => {
            let found = config.resource().get(&key.to_owned().into());
            found.map_or("unset".to_owned(), |value| value.to_string())
        }
    }
}

/// Returns a limit of one signal.
fn limit_of(config: &OtlpConfig, signal: Signal, fact: &str) -> Option<String> {
    let limits = config.limits();
    let batch = limits.batch(signal);
    Some(match fact {
        "queue" => batch.queue_capacity.to_string(),
        "batch" => batch.batch_size.to_string(),
        "delay" => millis(batch.schedule_delay),
        "age" => millis(limits.max_age(signal)),
        "attributes" => batch.attributes.count.to_string(),
        "length" => match batch.attributes.value_length {
            Some(length) => length.to_string(),
            None => "none".to_owned(),
        },
        _ => return None,
    })
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn signals(config: &OtlpConfig) -> Vec<&'static str> {
    Signal::ALL
        .into_iter()
        .filter(|signal| config.signal(*signal).is_some())
        .map(Signal::as_str)
        .collect()
}

fn signal_fact(signal: &SignalConfig, fact: &str) -> String {
    let file =
        |path: Option<&PathBuf>| path.map_or("none".to_owned(), |path| path.display().to_string());
    let certificate = signal.tls.client_certificate.as_ref();
    match fact {
        "endpoint" => signal.endpoint.to_string(),
        "headers" => signal.header_names().collect::<Vec<_>>().join(","),
        "protocol" => signal.protocol.to_string(),
        "timeout" => signal.timeout.as_millis().to_string(),
        "gzip" => signal.gzip.to_string(),
        "ca" => file(signal.tls.ca_file.as_ref()),
        "certificate" => file(certificate.map(|files| &files.certificate_file)),
        "key" => file(certificate.map(|files| &files.key_file)),
        _ => panic!("unknown fact {fact}"),
    }
}

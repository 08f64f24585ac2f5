//! What turns and tools export, by the names that Prometheus and Tempo give it.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    future::pending,
    process::Command,
    time::Duration,
};

use codex_telemetry::{
    ApprovalRequest, Call, Decision, ErrorClass, Operation, OtlpConfig, OtlpSink, TimingLayer,
    event::names,
    turn::{CodexAppServer, TurnRequest},
};
use futures_util::FutureExt as _;
use tokio::{sync::mpsc, time::timeout};
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::parser::{Matcher, Parsed};
use crate::{
    receiver::{Attributes, Metric, MetricKind, Receiver},
    tools::examples,
};

/// Far more than a turn of a stand-in for Codex, or an export, takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A thread that the fake of the app-server has.
const THREAD: &str = "00000000-0000-7000-8000-000000000001";

/// The values of each label or attribute.
type Values = BTreeMap<String, BTreeSet<String>>;

/// The names of an export.
#[derive(Debug, Default)]
pub(super) struct Exported {
    /// The labels of each metric.
    pub(super) metrics: BTreeMap<String, Values>,
    /// The attributes of spans and of their resource, as `TraceQL` writes them.
    pub(super) attributes: Values,
}

impl Exported {
    /// Runs a turn for each kind of end that a query asks for, and returns what they export. The spans of one of them are
    /// rejected.
    pub(super) fn by_turns() -> Self {
        let receiver = Receiver::http();
        let endpoint = receiver.endpoint();
        let good = r#"
            echo '{"type":"thread.started","thread_id":"t"}'
            echo '{"type":"item.completed","item":{"id":"i","type":"command_execution","command":"ls",
                "aggregated_output":"","exit_code":1,"status":"failed"}}' | tr -d '\n'
            echo
            echo '{"type":"turn.completed","usage":{"input_tokens":3,"cached_input_tokens":1,
                "output_tokens":2,"reasoning_output_tokens":1}}' | tr -d '\n'
            echo
        "#;
        let bad = r#"echo '{"type":"turn.failed","error":{"message":"rate limit exceeded"}}'"#;
        // Codex tells in a turn how much of the account's limits is used.
        let limits = r#"'{"method":"account/rateLimits/updated","params":{"rateLimits":{
            "primary":{"usedPercent":91},"secondary":{"usedPercent":12}}}}'"#;
        let traces = format!("{endpoint}/v1/traces");
        let fake = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/turn/fake-codex");
        let fake_server = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/examples/fake-app-server"
        );
        let telling = format!(
            "'{fake_server}' | while IFS= read -r line; do
                echo \"$line\"
                case $line in *turn/started*) echo {limits} | tr -d '\\n'; echo ;; esac
            done"
        );
        for (fake, arguments, script, traces) in [
            (fake, &["hello"][..], good, &traces),
            (fake, &["hello"], bad, &traces),
            (fake, &["hello"], bad, &format!("{traces}/no")),
            // Codex asks whether it may run a command.
            (fake_server, &["--app-server", "run it"], "", &traces),
            (fake, &["--app-server", "hello"], &*telling, &traces),
            (
                fake_server,
                &["--app-server", "--resume", THREAD, "hello"],
                "",
                &traces,
            ),
            (fake, &["hello"], "exit 3", &traces),
            (fake, &["hello"], "kill -KILL $$", &traces),
        ] {
            let mut exec = Command::new(examples().join("exec"));
            exec.args(["--originator", "nightly", "--model", "m"])
                .args(arguments)
                .env("CODEX_PATH", fake)
                .env("FAKE_CODEX", script)
                .env("OTEL_RESOURCE_ATTRIBUTES", "service.version=1.4.2")
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
                .env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", traces);
            exec.output().unwrap();
        }
        cancelled(&endpoint, fake_server);
        answered_late(&endpoint, fake_server);
        response_and_tool(&endpoint);
        let mut exported = Self::default();
        for metric in receiver.metrics() {
            exported.add_metric(&metric);
        }
        for span in receiver.spans() {
            exported.add_attributes("span", &span.attributes);
            exported.add_attributes("resource", &span.origin.resource);
            for event in &span.events {
                exported.add_attributes("event", &event.attributes);
            }
        }
        exported
    }

    /// Adds a metric by the names that Prometheus' OTLP receiver gives it by default. The attributes of the resource are
    /// labels, as they are if they are promoted.
    fn add_metric(&mut self, metric: &Metric) {
        let name = underscored(&metric.name)
            + match metric.unit.as_str() {
                "s" => "_seconds",
                "By" => "_bytes",
                // Prometheus has no unit for an annotation.
                annotation if annotation.starts_with('{') => "",
                other => panic!("the suffix of the unit {other:?} is unknown: {metric:?}"),
            };
        let suffixes = match metric.kind {
            MetricKind::Histogram => &["_bucket", "_count", "_sum"][..],
            MetricKind::Sum { monotonic: true } => &["_total"],
            _ => &[""],
        };
        for suffix in suffixes {
            let labels = self.metrics.entry(format!("{name}{suffix}")).or_default();
            if *suffix == "_bucket" {
                labels.entry("le".to_owned()).or_default();
            }
            for point in &metric.points {
                add(labels, &point.attributes, underscored);
            }
            add(labels, &metric.origin.resource, underscored);
        }
    }

    fn add_attributes(&mut self, scope: &str, attributes: &Attributes) {
        add(&mut self.attributes, attributes, |name| {
            format!("{scope}.{name}")
        });
    }

    /// Returns the first mistake in a query.
    pub(super) fn check(&self, query: &Parsed) -> Result<(), String> {
        if let Some(error) = &query.error {
            return Err(error.clone());
        }
        if query.selectors.is_empty() && query.attributes.is_empty() {
            return Err("it selects nothing".to_owned());
        }
        for selector in &query.selectors {
            let labels = self.labels(&selector.metric)?;
            for matcher in &selector.matchers {
                compare(labels, matcher)?;
            }
            // The export's own metrics count no calls.
            if !selector.metric.starts_with("otel_sdk_") {
                let matchers: Vec<_> = selector.matchers.iter().collect();
                excludes_cancelled("error_type", &matchers)?;
            }
        }
        for group in &query.groups {
            for metric in &group.metrics {
                let labels = self.labels(metric)?;
                if let Some(label) = group
                    .labels
                    .iter()
                    .find(|label| !labels.contains_key(*label))
                {
                    return Err(format!("{metric} has no label {label}"));
                }
            }
        }
        for attribute in &query.attributes {
            compare(&self.attributes, attribute)?;
        }
        let attributes: Vec<_> = query.attributes.iter().collect();
        excludes_cancelled("span.error.type", &attributes)
    }

    fn labels(&self, metric: &str) -> Result<&Values, String> {
        let labels = self.metrics.get(metric);
        labels.ok_or_else(|| format!("no metric {metric} is exported"))
    }
}

/// Checks that a name is exported and, if a query asks for a value of it, that one.
fn compare(known: &Values, matcher: &Matcher) -> Result<(), String> {
    let Matcher {
        name,
        operator,
        value,
    } = matcher;
    let Some(values) = known.get(name) else {
        return Err(format!("nothing has {name}"));
    };
    let is_class = name.ends_with("error_type") || name.ends_with("error.type");
    let mut classes = ErrorClass::ALL.iter().map(|class| match class {
        ErrorClass::Other => "_OTHER",
        class => class.as_str(),
    });
    let is_known = values.contains(value) || is_class && classes.any(|class| class == value);
    match operator.as_str() {
        "=" if !is_known => Err(format!("{name} is never {value:?}")),
        // What a regular expression matches is not checked.
        "=~" | "!~" => Err(format!("{name} {operator}: compare it with = or !=")),
        _ => Ok(()),
    }
}

/// Checks that a query for failures leaves out the calls that their callers cancelled.
fn excludes_cancelled(name: &str, matchers: &[&Matcher]) -> Result<(), String> {
    let excludes = |value: &str| {
        let mut matchers = matchers.iter();
        matchers.any(|matcher| {
            (&*matcher.name, &*matcher.operator, &*matcher.value) == (name, "!=", value)
        })
    };
    if (excludes("") || excludes("nil")) && !excludes("cancelled") {
        return Err("the failures include cancelled calls".to_owned());
    }
    Ok(())
}

/// Exports a turn that is cancelled while it waits for an approval.
fn cancelled(endpoint: &str, codex: &str) {
    let (asked, mut was_asked) = mpsc::channel(1);
    let approver = service_fn(move |_: ApprovalRequest| {
        let asked = asked.clone();
        async move {
            let _ = asked.send(()).await;
            pending::<Result<Decision, Infallible>>().await
        }
    });
    turn(endpoint, async |sink| {
        let builder = CodexAppServer::builder().codex(codex);
        let codex = builder.approver(approver, TIMEOUT).build();
        let turns = TimingLayer::new(sink).layer(codex.clone());
        let turn = turns.oneshot(TurnRequest::new("run it"));
        tokio::select! {
            ended = turn => panic!("it has ended: {ended:?}"),
            asked = timeout(TIMEOUT, was_asked.recv()) => asked.unwrap().unwrap(),
        }
        codex.shutdown(TIMEOUT).await;
    });
}

/// Exports a turn whose approver does not answer in time.
fn answered_late(endpoint: &str, codex: &str) {
    let approver = service_fn(|_: ApprovalRequest| pending::<Result<Decision, Infallible>>());
    turn(endpoint, async |sink| {
        let approver = TimingLayer::new(sink.clone()).layer(approver);
        let builder = CodexAppServer::builder().codex(codex);
        let codex = builder.approver(approver, Duration::from_millis(1)).build();
        let turns = TimingLayer::new(sink).layer(codex.clone());
        let turn = timeout(TIMEOUT, turns.oneshot(TurnRequest::new("run it"))).await;
        turn.expect("it ends")
            .expect("it goes on without the command");
        codex.shutdown(TIMEOUT).await;
    });
}

/// Runs a turn with a sink of its own, and waits until it is exported.
fn turn(endpoint: &str, turn: impl AsyncFnOnce(OtlpSink)) {
    let sink = sink(endpoint);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(turn(sink.clone()));
    sink.blocking_shutdown(TIMEOUT).unwrap();
}

/// Exports a turn with a model response and a tool of the program: `codex exec` does not tell of any.
fn response_and_tool(endpoint: &str) {
    let sink = sink(endpoint);
    let service = service_fn(async |call: Call<()>| {
        let chat = call
            .context
            .open_child(Operation::Chat, Some("m".into()), None);
        chat.record(names::RESPONSE_TIME_TO_FIRST_CHUNK, 0.5);
        chat.record(names::OUTPUT_TOKENS, 2);
        chat.finish();
        let tool = call
            .context
            .open_child(Operation::Tool, Some("lookup".into()), None);
        tool.record(names::TOOL_TYPE, "function");
        tool.finish();
        Ok::<_, ()>(())
    });
    let service = TimingLayer::new(sink.clone()).layer(service);
    let turn = service.oneshot(Call::new(Operation::Turn, ()));
    assert_eq!(turn.now_or_never(), Some(Ok(())));
    sink.blocking_shutdown(TIMEOUT).unwrap();
}

fn sink(endpoint: &str) -> OtlpSink {
    let config = OtlpConfig::builder().endpoint(endpoint).build();
    OtlpSink::start(config.unwrap())
}

fn add(values: &mut Values, attributes: &Attributes, named: impl Fn(&str) -> String) {
    for (name, value) in attributes {
        let values = values.entry(named(name)).or_default();
        values.extend(value.as_str().map(str::to_owned));
    }
}

fn underscored(name: &str) -> String {
    name.replace('.', "_")
}

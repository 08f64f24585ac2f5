use std::{env, ffi::OsString, path::PathBuf, process::Command};

use opentelemetry::{TraceFlags, trace::SpanContext};

use crate::{
    call::{CallContext, CodexRequest},
    event::Originator,
    turn::TurnRequest,
};

/// The originator that Codex reports to the model's provider; Codex's SDKs set their own name here.
const ORIGINATOR: &str = "CODEX_INTERNAL_ORIGINATOR_OVERRIDE";

/// The variables that are not inherited: credentials of this program's own export.
const WITHHELD: &[&str] = &[
    "CODEX_OTLP_HEADERS",
    "CODEX_OTLP_HEADERS_FILE",
    "CODEX_OTLP_KEYFILE",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
];

/// The environment of Codex, which its commands inherit.
pub(super) struct Environment<'a> {
    /// Whether Codex inherits nothing.
    pub(super) clear: bool,
    /// The request, with the defaults of the service.
    pub(super) request: &'a TurnRequest,
}

impl Environment<'_> {
    /// Sets the environment of a command.
    pub(super) fn apply(&self, command: &mut Command) {
        if self.clear {
            command.env_clear();
        }
        for name in WITHHELD {
            command.env_remove(name);
        }
        let context = self.request.context();
        if let Some(originator) = context.originator()
            && self.inherited(ORIGINATOR).is_none()
        {
            command.env(ORIGINATOR, originator_name(originator));
        }
        if let Some(traceparent) = context.span_context().as_ref().and_then(traceparent) {
            command.env("TRACEPARENT", traceparent);
            match context.tracestate() {
                Some(tracestate) => command.env("TRACESTATE", tracestate),
                // An inherited one belongs to another parent.
                None => command.env_remove("TRACESTATE"),
            };
        }
        for (name, value) in self.request.environment() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }

    /// Returns the value of a variable as Codex sees it.
    pub(super) fn get(&self, name: &str) -> Option<OsString> {
        let mut changes = self.request.environment().rev();
        match changes.find(|(key, _)| *key == name) {
            Some((_, value)) => value.map(OsString::from),
            None => self.inherited(name),
        }
    }

    /// Returns the directory of Codex's own files.
    pub(super) fn codex_home(&self) -> Option<PathBuf> {
        match self.get("CODEX_HOME").filter(|home| !home.is_empty()) {
            Some(home) => Some(home.into()),
            None => Some(PathBuf::from(self.get("HOME")?).join(".codex")),
        }
    }

    fn inherited(&self, name: &str) -> Option<OsString> {
        if self.clear || WITHHELD.contains(&name) {
            return None;
        }
        env::var_os(name)
    }
}

/// Returns the `traceparent` of a span with the sampled flag alone.
///
/// Codex (0.169.0) takes one with the sampled and the random flag for invalid, as older versions of
/// OpenTelemetry's SDK do, and its spans would not belong to the trace.
fn traceparent(span: &SpanContext) -> Option<String> {
    let span = SpanContext::new(
        span.trace_id(),
        span.span_id(),
        span.trace_flags() & TraceFlags::SAMPLED,
        span.is_remote(),
        span.trace_state().clone(),
    );
    CallContext::new().with_parent(span).traceparent()
}

fn originator_name(originator: &Originator) -> &str {
    match originator {
        Originator::Cli => "codex_cli_rs",
        Originator::Sdk => "codex_sdk_rs",
        Originator::Named(name) => name.as_str(),
    }
}

use std::{env, ffi::OsString, path::PathBuf, process::Command};

use opentelemetry::{TraceFlags, trace::SpanContext};

use crate::{call::CallContext, event::Originator};

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

/// The variables that name a proxy for HTTP.
const PROXIES: &[&str] = &["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// The variables that name what is reached without a proxy.
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

const LOOPBACK: &str = "127.0.0.1";

/// The environment of Codex, which its commands inherit.
pub(in crate::turn) struct Environment<'a> {
    /// Whether Codex inherits nothing.
    pub(in crate::turn) clear: bool,
    /// The changes, in the order in which they apply; `None` removes a variable.
    pub(in crate::turn) changes: &'a [(OsString, Option<OsString>)],
}

impl Environment<'_> {
    /// Sets the environment of a process that runs one turn, with the originator and the trace of its call.
    pub(in crate::turn) fn apply(&self, command: &mut Command, context: &CallContext) {
        self.inherit(command);
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
        self.change(command);
    }

    /// Sets the environment of a process that runs many turns, which belong to many traces.
    pub(in crate::turn) fn apply_without_trace(&self, command: &mut Command) {
        self.inherit(command);
        // Every command of every turn would inherit them.
        for name in ["TRACEPARENT", "TRACESTATE"] {
            command.env_remove(name);
        }
        self.change(command);
    }

    fn inherit(&self, command: &mut Command) {
        if self.clear {
            command.env_clear();
        }
        for name in WITHHELD {
            command.env_remove(name);
        }
    }

    fn change(&self, command: &mut Command) {
        for (name, value) in self.changes {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }

    /// Has Codex reach this machine without a proxy, if its environment names one: a proxy would look for this program on
    /// its own machine.
    pub(in crate::turn) fn bypass_proxy(&self, command: &mut Command) {
        let is_set = |name: &&str| self.get(name).is_some_and(|value| !value.is_empty());
        if !PROXIES.iter().any(is_set) {
            return;
        }
        // Of the two, Codex reads the one in capitals.
        let name = NO_PROXY.iter().copied().find(is_set).unwrap_or(NO_PROXY[0]);
        let mut hosts = self.get(name).unwrap_or_default();
        if !hosts.is_empty() {
            hosts.push(",");
        }
        hosts.push(LOOPBACK);
        command.env(name, hosts);
    }

    /// Returns the value of a variable as Codex sees it.
    pub(in crate::turn) fn get(&self, name: &str) -> Option<OsString> {
        let mut changes = self.changes.iter().rev();
        match changes.find(|(key, _)| key == name) {
            Some((_, value)) => value.clone(),
            None => self.inherited(name),
        }
    }

    /// Returns the directory of Codex's own files.
    pub(in crate::turn) fn codex_home(&self) -> Option<PathBuf> {
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
pub(in crate::turn) fn traceparent(span: &SpanContext) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    /// Returns how a command changes a variable of this process; `None` if it does not.
    fn change(command: &Command, name: &str) -> Option<Option<OsString>> {
        let mut changes = command.get_envs();
        let (_, value) = changes.find(|(key, _)| *key == OsStr::new(name))?;
        Some(value.map(OsStr::to_owned))
    }

    #[test]
    fn a_process_that_runs_many_turns_inherits_the_trace_of_none() {
        let mut command = Command::new("codex");
        let environment = Environment {
            clear: false,
            changes: &[],
        };
        environment.apply_without_trace(&mut command);
        for name in ["TRACEPARENT", "TRACESTATE", WITHHELD[0]] {
            assert_eq!(change(&command, name), Some(None), "{name}");
        }
        assert_eq!(change(&command, ORIGINATOR), None);
    }

    #[test]
    fn this_machine_is_reached_without_a_proxy() {
        let set = |name: &str, value: &str| (name.into(), Some(value.into()));
        for (changes, name, expected) in [
            (vec![], "NO_PROXY", None),
            (vec![set("HTTP_PROXY", "")], "NO_PROXY", None),
            (vec![set("https_proxy", "http://p")], "NO_PROXY", None),
            (
                vec![set("HTTP_PROXY", "http://p")],
                "NO_PROXY",
                Some("127.0.0.1"),
            ),
            (
                vec![set("all_proxy", "http://p"), set("no_proxy", "a,b")],
                "no_proxy",
                Some("a,b,127.0.0.1"),
            ),
            (
                vec![
                    set("http_proxy", "http://p"),
                    set("no_proxy", "a"),
                    set("NO_PROXY", "b"),
                ],
                "NO_PROXY",
                Some("b,127.0.0.1"),
            ),
        ] {
            let mut command = Command::new("codex");
            let environment = Environment {
                clear: true,
                changes: &changes,
            };
            environment.bypass_proxy(&mut command);
            let expected = expected.map(|value| Some(value.into()));
            assert_eq!(change(&command, name), expected, "{changes:?}");
            assert!(command.get_envs().count() <= 1);
        }
    }

    #[test]
    fn the_changes_to_the_environment_apply_last() {
        let mut command = Command::new("codex");
        let set = |name: &str| (OsString::from(name), Some(OsString::from("mine")));
        let changes = [set("TRACEPARENT"), set(WITHHELD[0]), ("HOME".into(), None)];
        let environment = Environment {
            clear: false,
            changes: &changes,
        };
        environment.apply_without_trace(&mut command);
        let mine = Some(Some(OsString::from("mine")));
        assert_eq!(change(&command, "TRACEPARENT"), mine);
        assert_eq!(change(&command, WITHHELD[0]), mine);
        assert_eq!(change(&command, "HOME"), Some(None));
    }
}

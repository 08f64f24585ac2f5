//! The names and histogram boundaries of OpenTelemetry's semantic conventions, and those of this crate.
//! The conventions for generative AI are in development: changes belong here.

use opentelemetry::InstrumentationScope;

/// The name of the instrumentation scope.
pub(crate) const SCOPE: &str = env!("CARGO_PKG_NAME");
/// The schema of the conventions: the release of the general conventions that those for generative AI v0.1.0 are
/// built on. The latter publish development schemas only, which no receiver can resolve.
pub(crate) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.45.0";

pub(crate) const OPERATION_NAME: &str = "gen_ai.operation.name";
pub(crate) const DEFAULT_PROVIDER: &str = "openai";
pub(crate) const INVOKE_AGENT: &str = "invoke_agent";
pub(crate) const EXECUTE_TOOL: &str = "execute_tool";
pub(crate) const AGENT_NAME: &str = "gen_ai.agent.name";
pub(crate) const TOOL_NAME: &str = "gen_ai.tool.name";
pub(crate) const TOOL_CALL_ID: &str = "gen_ai.tool.call.id";
pub(crate) const CONVERSATION_ID: &str = "gen_ai.conversation.id";
pub(crate) const TOKEN_TYPE: &str = "gen_ai.token.type";
pub(crate) const ERROR_TYPE: &str = "error.type";
pub(crate) const EXCEPTION: &str = "exception";
pub(crate) const EXCEPTION_TYPE: &str = "exception.type";
pub(crate) const EXCEPTION_MESSAGE: &str = "exception.message";
pub(crate) const ORIGINATOR: &str = "codex.originator";
pub(crate) const TURN_ID: &str = "codex.turn.id";
pub(crate) const CALL_ID: &str = "codex.call.id";
pub(crate) const ATTEMPT: &str = "codex.attempt";
pub(crate) const OUTCOME: &str = "codex.outcome";
pub(crate) const DURATION_MS: &str = "codex.duration_ms";
pub(crate) const OPERATION: &str = "codex.operation";
pub(crate) const SIGNAL: &str = "codex.telemetry.signal";

/// The name of unknown tools on metrics: a model may invent any name.
pub(crate) const OTHER_TOOL: &str = "_OTHER";

/// The definition of a histogram.
pub(crate) struct Histogram {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) description: &'static str,
    /// The lowest boundary, the factor between two of them, and their number.
    pub(crate) boundaries: (f64, f64, u32),
}

pub(crate) const TURN_DURATION: Histogram = Histogram {
    name: "gen_ai.invoke_agent.duration",
    unit: "s",
    description: "Duration of turns.",
    boundaries: (0.1, 2.0, 13),
};
pub(crate) const TOOL_DURATION: Histogram = Histogram {
    name: "gen_ai.execute_tool.duration",
    unit: "s",
    description: "Duration of tool calls.",
    boundaries: (0.01, 2.0, 14),
};
pub(crate) const CLEANUP_DURATION: Histogram = Histogram {
    name: "codex.attachment.cleanup.duration",
    unit: "s",
    description: "Duration of cleanups of staged attachments.",
    boundaries: (0.01, 2.0, 14),
};
pub(crate) const OTHER_DURATION: Histogram = Histogram {
    name: "codex.call.duration",
    unit: "s",
    description: "Duration of approvals, stages of attachments and calls of custom operations.",
    boundaries: (0.01, 2.0, 14),
};
pub(crate) const TOKEN_USAGE: Histogram = Histogram {
    name: "gen_ai.client.token.usage",
    unit: "{token}",
    description: "Number of tokens that turns used.",
    boundaries: (1.0, 4.0, 14),
};

pub(crate) const CLEANED_COUNT: &str = "codex.attachment.cleaned.count";
pub(crate) const CLEANED_SIZE: &str = "codex.attachment.cleaned.size";
pub(crate) const ACTIVE: &str = "codex.call.active";
pub(crate) const ACCEPTED: &str = "codex.telemetry.accepted";
pub(crate) const EXPORTED: &str = "codex.telemetry.exported";
pub(crate) const FAILED: &str = "codex.telemetry.failed";
pub(crate) const DROPPED: &str = "codex.telemetry.dropped";

/// Returns the scope of everything that the sink exports.
pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(SCOPE)
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(SCHEMA_URL)
        .build()
}

impl Histogram {
    pub(crate) fn boundaries(&self) -> Vec<f64> {
        let (lowest, factor, count) = self.boundaries;
        (0..count)
            .map(|step| {
                // Rounded, so that 0.01 doubled is exactly 0.02.
                (lowest * factor.powi(i32::try_from(step).unwrap_or(i32::MAX)) * 1e3).round() / 1e3
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_match_the_conventions() {
        let turns = [
            0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6,
        ];
        assert_eq!(TURN_DURATION.boundaries(), turns);
        let tools = [
            0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
        ];
        assert_eq!(TOOL_DURATION.boundaries(), tools);
        let tokens = TOKEN_USAGE.boundaries();
        assert_eq!((tokens[0], tokens[13]), (1.0, 67_108_864.0));
    }

    #[test]
    fn the_documentation_has_every_metric() {
        let page = include_str!("../../../docs/otlp.md");
        let (_, page) = page.split_once("## Exported data").unwrap();
        for (name, unit) in [
            (TURN_DURATION.name, TURN_DURATION.unit),
            (TOOL_DURATION.name, TOOL_DURATION.unit),
            (CLEANUP_DURATION.name, CLEANUP_DURATION.unit),
            (OTHER_DURATION.name, OTHER_DURATION.unit),
            (TOKEN_USAGE.name, TOKEN_USAGE.unit),
            (CLEANED_COUNT, "{attachment}"),
            (CLEANED_SIZE, "By"),
            (ACTIVE, "{call}"),
            (ACCEPTED, "{record}"),
            (EXPORTED, "{record}"),
            (FAILED, "{record}"),
            (DROPPED, "{record}"),
        ] {
            assert!(page.contains(&format!("`{name}`")), "{name}");
            assert!(page.contains(&format!("`{unit}`")), "{unit} of {name}");
        }
    }
}

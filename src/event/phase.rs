use super::{named_enum::named_enum, names};

named_enum! {
    /// What a turn spends its time on.
    ///
    /// At each moment a turn is in one phase. Of several that apply, the first of this list counts: `approval`, `retry`,
    /// `model` while a text is being written, `tools`, and then the one that the turn has reached.
    ///
    /// | | `CodexAppServer` | `CodexExec` |
    /// |---|---|---|
    /// | `wait` | until the service has the request, and the turns before it in its thread have ended | until the service has the request, and a thread to prepare it on |
    /// | `startup` | the server, if it has to be started; loading the thread; until Codex has taken the prompt, for which it waits for MCP servers | the process, until it tells that the turn has started |
    /// | `model` | the rest of a turn that runs, and from the first part of a text to the end of its response, although a command goes on | the rest of a turn that runs |
    /// | `tools` | while at least one runs; from the end of the response that asked for the first one, if Codex tells it (not of a thread that was resumed) | while at least one runs |
    /// | `approval` | while at least one question waits for its answer | only of the program's own tools. `codex exec` asks nobody: without such a question the phase is absent |
    /// | `retry` | from Codex's notice that it tries again to the next sign of the model; from the failure of one attempt to the call of the next one, by `RetryPolicy` | the same |
    /// | `other` | after the end of the turn: slow readers of progress, layers | the same, and the exit of the process |
    ///
    /// What Codex does not tell is part of what is around it:
    ///
    /// | what | part of |
    /// |---|---|
    /// | requests to the provider that Codex repeats itself after a status of 500 or more, for about three seconds | `model` |
    /// | the request after the pause before a retry, until its first sign | `retry` |
    /// | the first 150 ms of a command, of which Codex tells late | `model` in `codex exec` and in a resumed thread |
    /// | a script of the code mode, and a wait for a command in the background | `model`, or `tools` while an item of a command is open |
    /// | a model that works beside a command in the background, until its first text | `tools`; in `codex exec` all of it |
    /// | a compaction of the conversation; hooks | `model` |
    /// | MCP servers that start, up to a second in the first turn of a process | `model` in `codex exec` |
    ///
    /// ```
    /// use codex_telemetry::{Phase, event::names};
    ///
    /// // The columns of a report of turns.
    /// let columns: Vec<_> = Phase::ALL.iter().map(|phase| phase.as_str()).collect();
    /// assert_eq!(columns, ["wait", "startup", "model", "tools", "approval", "retry", "other"]);
    /// // Each is an attribute of the turn's terminal event.
    /// assert_eq!(Phase::Tools.attribute(), names::PHASE_TOOLS);
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Phase {
        /// It waits to be begun: for a permit, a thread, a turn before it.
        Wait = "wait",
        /// Codex starts, or loads the thread.
        Startup = "startup",
        /// The model works.
        Model = "model",
        /// Tools run.
        Tools = "tools",
        /// A tool waits for somebody's decision.
        Approval = "approval",
        /// Codex or a policy waits to try again, or tries.
        Retry = "retry",
        /// Everything else.
        Other = "other",
    }
}

impl Phase {
    /// Returns the key of the attribute that has its duration, such as `codex.turn.phase.wait_ms`.
    #[must_use]
    pub const fn attribute(self) -> &'static str {
        match self {
            Self::Wait => names::PHASE_WAIT,
            Self::Startup => names::PHASE_STARTUP,
            Self::Model => names::PHASE_MODEL,
            Self::Tools => names::PHASE_TOOLS,
            Self::Approval => names::PHASE_APPROVAL,
            Self::Retry => names::PHASE_RETRY,
            Self::Other => names::PHASE_OTHER,
        }
    }
}

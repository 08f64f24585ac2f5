use std::{io, process::ExitStatus, sync::Arc};

use tokio::time::Instant;

use super::decode::{self, Line};
use crate::{
    call::{CallContext, CodexRequest},
    event::{ErrorClass, PhaseClock, names},
    turn::{
        Item, ItemKind, Progress, Turn, TurnError, TurnRequest, Usage,
        calls::{OpenTools, Stage, TurnStats, content, short},
        failure,
        served_calls::ServedCalls,
    },
};

/// The state of a turn: the result of the lines so far.
pub(super) struct TurnState {
    // Dropped before the stats, so that the tools' calls end before the stats are recorded.
    open_tools: OpenTools,
    pub(super) stats: TurnStats,
    phases: Arc<PhaseClock>,
    context: CallContext,
    resumed: Option<Resumed>,
    /// Whether the caller wants progress.
    is_watched: bool,
    turn: Turn,
    /// How Codex ended the turn, once it has.
    ending: Option<Ending>,
    last_error: Option<String>,
    lines: u64,
}

/// A thread that the turn resumes.
pub(super) struct Resumed {
    pub(super) thread_id: String,
    /// What the thread had used before; `None` when that is unknown.
    pub(super) previous_usage: Option<Usage>,
}

enum Ending {
    Completed,
    Failed(String),
}

impl TurnState {
    /// Returns the state of a turn that has not begun. `hosted` is the name of the MCP server that has the program's tools,
    /// and their calls.
    pub(super) fn new(
        request: &TurnRequest,
        resumed: Option<Resumed>,
        hosted: Option<(String, ServedCalls)>,
        phases: &Arc<PhaseClock>,
    ) -> Self {
        let context = request.context();
        if let Some(provider) = request.provider() {
            context.record(names::PROVIDER_NAME, short(provider));
        }
        let mut open_tools = OpenTools::of_items(request.sandbox());
        open_tools.set_mcp_server(hosted);
        Self {
            open_tools,
            stats: TurnStats::new(request.clone()),
            phases: Arc::clone(phases),
            context: context.clone(),
            resumed,
            is_watched: request.progress().is_some(),
            turn: Turn::default(),
            ending: None,
            last_error: None,
            lines: 0,
        }
    }

    /// Returns whether Codex has ended the turn.
    pub(super) const fn has_ended(&self) -> bool {
        self.ending.is_some()
    }

    /// Returns whether Codex has completed the turn.
    pub(super) const fn has_completed(&self) -> bool {
        matches!(self.ending, Some(Ending::Completed))
    }

    /// Returns the number of lines so far.
    pub(super) const fn lines(&self) -> u64 {
        self.lines
    }

    /// Applies the next line, and returns its progress if the caller wants it. A line after the end of the
    /// turn changes nothing.
    pub(super) fn apply(&mut self, line: &[u8]) -> Result<Option<Progress>, TurnError> {
        self.lines += 1;
        if self.has_ended() || line.trim_ascii().is_empty() {
            return Ok(None);
        }
        self.stats.first_event.get_or_insert_with(Instant::now);
        let line = decode::line(line).map_err(|reason| TurnError::Protocol {
            line: self.lines,
            reason,
        })?;
        match line {
            Line::ThreadStarted { thread_id } => {
                self.thread_started(&thread_id)?;
                return Ok(self.watched(|| Progress::ThreadStarted { thread_id }));
            }
            Line::TurnStarted => {
                self.phases.model_asked();
                return Ok(self.watched(|| Progress::TurnStarted));
            }
            Line::TurnCompleted { usage } => self.completed(usage),
            Line::TurnFailed { message } => {
                self.phases.freeze();
                self.end(Ending::Failed(message), ErrorClass::Interrupted);
            }
            Line::Error { message } => return Ok(self.error(message)),
            Line::Item { stage, item } => return Ok(self.item(stage, item)),
            Line::Unknown => self.stats.unknown_events += 1,
        }
        Ok(None)
    }

    /// Returns the result after the process has exited. The exit status may be unknown.
    pub(super) fn finish(mut self, status: io::Result<ExitStatus>) -> Result<Turn, TurnError> {
        match (self.ending.take(), status) {
            (Some(ending), _) => self.result(ending),
            (None, Ok(status)) => Err(TurnError::Exited {
                status,
                thread_started: self.turn.thread_id.is_some(),
                message: self.last_error.take(),
                stderr: self.stats.stderr_text(),
            }),
            (None, Err(source)) => Err(TurnError::Io {
                action: "waiting for Codex to exit",
                source,
            }),
        }
    }

    /// Returns the result after the process did not exit in time: `error`, unless Codex had ended the turn.
    pub(super) fn finish_hung(mut self, error: TurnError) -> Result<Turn, TurnError> {
        match self.ending.take() {
            Some(ending) => {
                self.context
                    .add_event("killed: Codex did not exit after the turn");
                self.result(ending)
            }
            None => Err(error),
        }
    }

    fn result(mut self, ending: Ending) -> Result<Turn, TurnError> {
        match ending {
            Ending::Completed => {
                self.record_answer(true);
                self.stats.completed = true;
                self.turn.retries = self.stats.retries;
                self.turn.unknown_events = self.stats.unknown_events;
                Ok(std::mem::take(&mut self.turn))
            }
            Ending::Failed(message) => Err(TurnError::failed(message)),
        }
    }

    fn record_answer(&self, is_completed: bool) {
        if let Some(text) = &self.turn.final_message {
            content::record_answer(&self.context, text, is_completed);
        }
    }

    fn thread_started(&mut self, thread_id: &str) -> Result<(), TurnError> {
        self.context.record_thread_id(thread_id.to_owned());
        self.turn.thread_id = Some(thread_id.to_owned());
        // Codex starts a new thread, without an error, when it does not recognize the id.
        match &self.resumed {
            Some(resumed) if resumed.thread_id != thread_id => Err(TurnError::InvalidRequest {
                reason: format!(
                    "Codex started thread {thread_id} instead of resuming {}: use the id of a thread in \
                     this CODEX_HOME",
                    resumed.thread_id
                ),
            }),
            _ => Ok(()),
        }
    }

    fn completed(&mut self, usage: Option<Usage>) {
        self.turn.thread_usage = usage;
        // Codex reports the total of the thread.
        self.turn.usage = match &self.resumed {
            None => usage,
            Some(resumed) => usage
                .zip(resumed.previous_usage)
                .map(|(total, previous)| total.since(&previous)),
        };
        self.stats.usage = self.turn.usage;
        self.phases.turn_completed();
        self.end(Ending::Completed, ErrorClass::Incomplete);
    }

    /// Ends the turn. Tools that are still open fail with the class `unfinished`.
    fn end(&mut self, ending: Ending, unfinished: ErrorClass) {
        self.ending = Some(ending);
        self.open_tools.fail_all(&self.context, unfinished);
    }

    fn error(&mut self, message: String) -> Option<Progress> {
        if message.starts_with("Reconnecting") {
            self.stats.retries += 1;
            self.phases.retrying();
            self.context.add_event(failure::of_retry(&message));
            self.watched(|| Progress::Retrying { message })
        } else {
            self.last_error = Some(message.clone());
            self.watched(|| Progress::Warning { message })
        }
    }

    fn item(&mut self, stage: Stage, item: Item) -> Option<Progress> {
        if let ItemKind::Other { .. } = item.kind {
            self.stats.unknown_events += 1;
        }
        let is_new = self.open_tools.apply(&self.context, stage, &item);
        self.stats.tool_calls += u32::from(is_new);
        self.phases.model_asked();
        self.phases.set_tools(!self.open_tools.is_empty());
        let is_text = matches!(
            item.kind,
            ItemKind::AgentMessage { .. } | ItemKind::Reasoning { .. }
        );
        if is_new || is_text {
            self.phases.heard();
        }
        if stage != Stage::Completed {
            return self.watched(|| match stage {
                Stage::Started => Progress::ItemStarted(item),
                _ => Progress::ItemUpdated(item),
            });
        }
        if let ItemKind::AgentMessage { text } = &item.kind {
            self.turn.final_message = Some(text.clone());
        }
        let progress = self.watched(|| Progress::ItemCompleted(item.clone()));
        self.turn.items.push(item);
        progress
    }

    /// Returns progress if the caller wants it: an item may be large, and is not copied for nobody.
    fn watched(&self, progress: impl FnOnce() -> Progress) -> Option<Progress> {
        self.is_watched.then(progress)
    }
}

/// However a turn ends: also when its future is dropped.
impl Drop for TurnState {
    fn drop(&mut self) {
        self.open_tools.host.cancel_all(&self.context);
        // A turn that completed has handed the message out.
        self.record_answer(false);
    }
}

#[cfg(test)]
mod tests {
    use tower::{Layer, ServiceExt, service_fn};

    use super::*;
    use crate::{Call, MemorySink, Operation, Outcome, TimingLayer};

    /// A line of about this size, in bytes.
    const SIZE: usize = 100_000;

    fn state(request: &TurnRequest, hosted: Option<(String, ServedCalls)>) -> TurnState {
        let phases = request.context().begin_phases();
        TurnState::new(request, None, hosted, &phases)
    }

    /// Returns a line with an item that has many copies of a part.
    fn line(before: &str, part: &str, after: &str) -> String {
        let parts = vec![part; SIZE / part.len()].join(",");
        format!(r#"{{"type":"item.completed","item":{{"id":"i",{before}{parts}{after}}}}}"#)
    }

    #[test]
    fn what_is_kept_of_a_line_is_a_few_times_its_size() {
        let mcp = r#""type":"mcp_tool_call","server":"s","tool":"t","status":"completed""#;
        let (result, nested) = (
            format!(r#"{mcp},"result":["#),
            format!(r#"{mcp},"arguments":["#),
        );
        for (before, part, after) in [
            (&*result, "0", "]"),
            (&*nested, "[]", "]"),
            (&*nested, "{}", "]"),
            (&*nested, r#"{"a":0}"#, "]"),
            (r#""type":"file_change","changes":["#, "0", "]"),
            (r#""type":"file_change","changes":["#, r#"{"path":""}"#, "]"),
            (r#""type":"todo_list","items":["#, r#"{"text":""}"#, "]"),
            (r#""type":"agent_message","text":""#, "x", "\""),
            (
                r#""type":"command_execution","aggregated_output":""#,
                "\\n",
                "\"",
            ),
            (r#""type":"hologram","more":["#, "0", "]"),
            (r#""type":"web_search","#, r#""x":0"#, ""),
        ] {
            let line = line(before, part, after);
            let mut state = state(&TurnRequest::new("a prompt"), None);
            let allocated = allocation_counter::measure(|| {
                state.apply(line.as_bytes()).unwrap();
            });
            let kept = usize::try_from(allocated.bytes_current).unwrap() / line.len();
            let peak = usize::try_from(allocated.bytes_max).unwrap() / line.len();
            // A list that grows has its old room and twice as much at once.
            let most = 3 * 5;
            assert!(kept < 5 && peak < most, "{part}: kept {kept}, peak {peak}");
        }
    }

    #[tokio::test]
    async fn the_calls_of_tools_that_are_open_at_once_are_bounded() {
        const COUNT: usize = 20_000;
        let sink = MemorySink::new();
        let service = TimingLayer::new(sink.clone()).layer(service_fn(async |call: Call<()>| {
            let request = TurnRequest::new("a prompt").with_context(call.context);
            let mut state = state(&request, None);
            for stage in ["started", "completed"] {
                for id in 0..COUNT {
                    let item = format!(r#"{{"id":"{id}","type":"web_search"}}"#);
                    let line = format!(r#"{{"type":"item.{stage}","item":{item}}}"#);
                    state.apply(line.as_bytes()).unwrap();
                }
                assert!(state.open_tools.len() <= OpenTools::MAX);
            }
            state.apply(br#"{"type":"turn.completed"}"#)
        }));
        let turn = Call::new(Operation::Turn, ());
        service.oneshot(turn).await.unwrap();
        assert_eq!(sink.find(Operation::Tool, Outcome::Ok).len(), COUNT);
        assert_eq!(sink.events().len(), 2 * (COUNT + 1));
    }

    #[tokio::test]
    async fn a_tool_of_the_program_that_runs_when_the_turn_is_dropped_has_the_event_of_its_item() {
        let sink = MemorySink::new();
        let service = TimingLayer::new(sink.clone()).layer(service_fn(async |call: Call<()>| {
            let request = TurnRequest::new("a prompt").with_context(call.context);
            let hosted = Some(("own".to_owned(), ServedCalls::default()));
            let mut state = state(&request, hosted);
            let item = r#"{"id":"i","type":"mcp_tool_call","server":"own","tool":"t","arguments":{},"status":"in_progress"}"#;
            let line = format!(r#"{{"type":"item.started","item":{item}}}"#);
            state.apply(line.as_bytes()).unwrap();
            Ok::<_, TurnError>(())
        }));
        service
            .oneshot(Call::new(Operation::Turn, ()))
            .await
            .unwrap();
        let cancelled = sink.find(Operation::Tool, Outcome::Cancelled);
        assert_eq!(cancelled.len(), 1, "{}", sink.timeline());
        assert_eq!(cancelled[0].call_name(), Some("t"));
    }

    /// Applies a line. Returns whether it is progress, and what it takes as multiples of its size: what is kept, and the
    /// most at once.
    fn taken(line: &str, request: &TurnRequest) -> (bool, usize, usize) {
        let mut state = state(request, None);
        let mut progress = None;
        let allocated = allocation_counter::measure(|| {
            progress = state.apply(line.as_bytes()).unwrap();
        });
        let times = |bytes: usize| (bytes + line.len() / 2) / line.len();
        let kept = usize::try_from(allocated.bytes_current).unwrap();
        let peak = usize::try_from(allocated.bytes_max).unwrap();
        (progress.is_some(), times(kept), times(peak))
    }

    #[test]
    fn an_item_is_copied_only_for_a_reader() {
        let large = line(r#""type":"reasoning","text":""#, "x", "\"");
        let (has_progress, kept, _) = taken(&large, &TurnRequest::new("a prompt"));
        assert_eq!((has_progress, kept), (false, 1));
        let (sender, _reader) = tokio::sync::mpsc::channel(1);
        let watched = TurnRequest::new("a prompt").with_progress(sender);
        let (has_progress, kept, _) = taken(&large, &watched);
        assert_eq!((has_progress, kept), (true, 2));
    }

    #[test]
    fn an_output_is_kept_once_and_is_not_decoded() {
        let fields = r#""type":"command_execution","status":"completed","aggregated_output":""#;
        let large = line(fields, "a line\\n", "\"");
        assert_eq!(taken(&large, &TurnRequest::new("a prompt")), (false, 1, 1));
        let (sender, _reader) = tokio::sync::mpsc::channel(1);
        let watched = TurnRequest::new("a prompt").with_progress(sender);
        assert_eq!(taken(&large, &watched), (true, 1, 1));
    }
}

use std::{ffi::OsString, fmt, path::PathBuf};

use codex_telemetry::{ErrorClass, Timeline};
use opentelemetry::TraceId;

pub(crate) const USAGE: &str = "\
usage: timeline [OPTION]... FILE

  FILE           what JsonLinesSink has written; - is standard input
  --trace ID     only the trace with this id
  --thread ID    only traces with a call in this Codex thread
  --class CLASS  only traces with a call that ended with this class of error, such as rate_limit
  --slowest N    only the N slowest traces, the slowest first
  --width N      the number of columns, from 60 (default: that of the terminal)
  --follow       wait for more lines, and draw each trace when its root call has ended
  --svg FILE     write an SVG picture instead of text
  --html FILE    write a page instead of text
";

/// Where the lines come from.
pub(crate) enum Input {
    Stdin,
    File(PathBuf),
}

pub(crate) struct Options {
    pub(crate) input: Input,
    trace: Option<TraceId>,
    thread: Option<String>,
    class: Option<ErrorClass>,
    slowest: Option<usize>,
    pub(crate) width: Option<usize>,
    pub(crate) follow: bool,
    pub(crate) svg: Option<PathBuf>,
    pub(crate) html: Option<PathBuf>,
}

// === impl Input ===

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

// === impl Options ===

impl Options {
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;

        let mut input = None;
        let (mut trace, mut thread, mut class) = (None, None, None);
        let (mut slowest, mut width, mut follow) = (None, None, false);
        let (mut svg, mut html) = (None, None);

        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("trace") => {
                    let id = parser.value()?.string()?;
                    let id = TraceId::from_hex(&id).ok().filter(|_| id.len() == 32);
                    trace = Some(id.ok_or("--trace needs 32 hexadecimal digits")?);
                }
                Long("thread") => thread = Some(parser.value()?.string()?),
                Long("class") => class = Some(error_class(&parser.value()?.string()?)?),
                Long("slowest") => slowest = Some(parser.value()?.parse()?),
                Long("width") => {
                    let columns = parser.value()?.parse()?;
                    if columns < 60 {
                        return Err("--width needs at least 60 columns".into());
                    }
                    width = Some(columns);
                }
                Long("follow") => follow = true,
                Long("svg") => svg = Some(parser.value()?.into()),
                Long("html") => html = Some(parser.value()?.into()),
                Value(file) if input.is_none() => {
                    input = Some(match file.to_str() {
                        Some("-") => Input::Stdin,
                        _ => Input::File(file.into()),
                    });
                }
                other => return Err(other.unexpected()),
            }
        }
        if follow && (slowest.is_some() || svg.is_some() || html.is_some()) {
            return Err("--follow has no end, which --slowest, --svg and --html need".into());
        }
        Ok(Self {
            input: input.ok_or("missing FILE")?,
            trace,
            thread,
            class,
            slowest,
            width,
            follow,
            svg,
            html,
        })
    }

    /// Keeps the traces that were asked for.
    pub(crate) fn filter(&self, mut timeline: Timeline) -> Timeline {
        if let Some(id) = self.trace {
            timeline = timeline.of_trace(id);
        }
        if let Some(id) = &self.thread {
            timeline = timeline.of_thread(id);
        }
        if let Some(class) = self.class {
            timeline = timeline.of_class(class);
        }
        if let Some(count) = self.slowest {
            timeline = timeline.slowest(count);
        }
        timeline
    }
}

fn error_class(name: &str) -> Result<ErrorClass, String> {
    let all = ErrorClass::ALL.iter().copied();
    let class = all.clone().find(|class| class.as_str() == name);
    class.ok_or_else(|| {
        let names: Vec<_> = all.map(ErrorClass::as_str).collect();
        format!(
            "{name:?} is no class of errors; they are: {}",
            names.join(", ")
        )
    })
}

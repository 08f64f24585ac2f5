//! Draws the traces in a file of JSON lines, which `JsonLinesSink` has written: one line and one bar for each call.
//!
//! ```text
//! cargo run --example timeline -- [OPTION]… FILE
//! ```
//!
//! `--follow` waits for more lines and draws each trace when its root call has ended. `--svg` and `--html` write the
//! same picture as a page for a browser.
//!
//! Exit code: 0 when a trace was drawn, and when the output was closed; 1 when there was none, or a file could not be
//! read or written; 2 on invalid usage. Ctrl-C ends it as it ends any program.

mod follow;
mod open_traces;
mod options;
mod source;

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, ErrorKind, Write},
    path::Path,
    process::ExitCode,
};

use codex_telemetry::Timeline;
use rustix::termios::tcgetwinsize;

use crate::options::{Input, Options, USAGE};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            print(&format!("{error}\n\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            print(&format!("timeline: {message}"));
            ExitCode::from(1)
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    if options.follow {
        return follow::follow(options);
    }
    let name = &options.input;
    let timeline = open(name).and_then(Timeline::from_json_lines);
    let timeline = timeline.map_err(|error| format!("cannot read {name}: {error}"))?;
    report_skipped(timeline.skipped_lines());
    let is_empty = timeline.is_empty();
    let timeline = options.filter(timeline);
    if timeline.is_empty() {
        let why = if is_empty {
            "has no events"
        } else {
            "has no such trace"
        };
        return Err(format!("{name} {why}"));
    }
    if let Some(path) = &options.svg {
        write(path, &timeline.to_svg())?;
    }
    if let Some(path) = &options.html {
        write(path, &timeline.to_html())?;
    }
    if options.svg.is_none() && options.html.is_none() {
        draw(options, timeline)?;
    }
    Ok(())
}

fn open(input: &Input) -> io::Result<Box<dyn BufRead>> {
    Ok(match input {
        Input::Stdin => Box::new(io::stdin().lock()),
        Input::File(path) => Box::new(BufReader::new(File::open(path)?)),
    })
}

fn write(path: &Path, page: &str) -> Result<(), String> {
    fs::write(path, page).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Prints the text. Returns whether there is still somebody who reads it.
fn draw(options: &Options, timeline: Timeline) -> Result<bool, String> {
    // Of a file or a pipe, it is the width of a log.
    let of_terminal = || {
        tcgetwinsize(io::stdout())
            .ok()
            .map(|size| size.ws_col.into())
    };
    let timeline = match options.width.or_else(of_terminal) {
        Some(width) => timeline.with_width(width),
        None => timeline,
    };
    let text = timeline.colored_on(&io::stdout()).to_string();
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(format!("cannot write: {error}")),
    }
}

fn report_skipped(lines: usize) {
    match lines {
        0 => {}
        1 => print("timeline: skipped a line that is no event"),
        lines => print(&format!(
            "timeline: skipped {lines} lines that are no events"
        )),
    }
}

fn print(text: &str) {
    // A closed standard error changes nothing.
    let _ = writeln!(io::stderr(), "{text}");
}

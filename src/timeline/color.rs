use std::{env, io::IsTerminal};

use crate::event::Outcome;

/// Whether a timeline is printed with colours.
#[derive(Clone, Copy)]
pub(super) enum Color {
    Off,
    On,
}

impl Color {
    /// Returns `On` for a terminal, unless `NO_COLOR` or `TERM=dumb` is set.
    pub(super) fn for_stream(stream: &impl IsTerminal) -> Self {
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        if stream.is_terminal() && !no_color && !is_dumb {
            Self::On
        } else {
            Self::Off
        }
    }

    pub(super) fn heading(self, text: &str) -> String {
        self.apply("1", text) // bold
    }

    /// Colours `text` by the outcome of a call, which is `None` while the call is open.
    pub(super) fn outcome(self, outcome: Option<Outcome>, text: &str) -> String {
        let code = match outcome {
            Some(Outcome::Ok) => "32",        // green
            Some(Outcome::Error) => "31",     // red
            Some(Outcome::Cancelled) => "33", // yellow
            Some(Outcome::Panic) => "1;35",   // bold magenta
            None => "36",                     // cyan
        };
        self.apply(code, text)
    }

    /// Wraps `text` in the ANSI escape sequence `code`.
    fn apply(self, code: &str, text: &str) -> String {
        match self {
            Self::Off => text.to_owned(),
            Self::On => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

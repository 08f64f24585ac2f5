use std::{env, io::IsTerminal};

use super::fill::Fill;

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

    /// Colours `text` as a bar with this fill.
    pub(super) fn fill(self, fill: Fill, text: &str) -> String {
        self.apply(fill.ansi(), text)
    }

    /// Wraps `text` in the ANSI escape sequence `code`.
    fn apply(self, code: &str, text: &str) -> String {
        match self {
            Self::Off => text.to_owned(),
            Self::On => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

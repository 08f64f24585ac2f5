use std::{env, fmt, io::IsTerminal};

use crate::event::Outcome;

/// Whether a picture has colours.
#[derive(Clone, Copy)]
pub(super) enum Paint {
    Plain,
    Colored,
}

/// How a piece of text looks, as the parameters of a terminal's "select graphic rendition".
#[derive(Clone, Copy)]
pub(super) struct Style(&'static str);

/// Text in a style.
struct Painted<'a> {
    paint: Paint,
    style: Style,
    text: &'a str,
}

// === impl Paint ===

impl Paint {
    /// Colours for a terminal, unless the environment wants none.
    pub(super) fn on(stream: &impl IsTerminal) -> Self {
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|kind| kind == "dumb");
        if stream.is_terminal() && !no_color && !dumb {
            Self::Colored
        } else {
            Self::Plain
        }
    }

    pub(super) fn text(self, style: Style, text: &str) -> impl fmt::Display {
        Painted {
            paint: self,
            style,
            text,
        }
    }
}

// === impl Style ===

impl Style {
    pub(super) const HEADING: Self = Self("1"); // bold

    pub(super) fn of_ending(outcome: Option<Outcome>) -> Self {
        Self(match outcome {
            Some(Outcome::Ok) => "32",        // green
            Some(Outcome::Error) => "31",     // red
            Some(Outcome::Cancelled) => "33", // yellow
            Some(Outcome::Panic) => "1;35",   // magenta, bold
            None => "36",                     // cyan
        })
    }
}

// === impl Painted ===

impl fmt::Display for Painted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { paint, style, text } = self;
        match paint {
            Paint::Plain => f.write_str(text),
            Paint::Colored => write!(f, "\x1b[{}m{text}\x1b[0m", style.0),
        }
    }
}

//! What is written to the terminal.

use std::{
    env,
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Standard output and standard error, line by line or in parts of lines.
///
/// While a question is open, everything else waits for its answer.
#[derive(Clone)]
pub(crate) struct Screen(Arc<Mutex<State>>);

struct State {
    is_colored: bool,
    /// The stream whose last line has no end yet.
    open: Option<Stream>,
    /// What waits for the answer to a question.
    held: Option<Vec<Piece>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Stream {
    Stdout,
    Stderr,
}

/// Something to write. The text is without control characters.
enum Piece {
    /// A line of its own, or several.
    Line(String),
    /// A part of a line.
    Part(Stream, String),
}

/// How a text looks on a terminal with colours.
#[derive(Clone, Copy)]
pub(crate) enum Style {
    Bold,
    Dim,
    Green,
    Red,
}

/// A question that is shown. Dropping it without an answer says so.
pub(crate) struct Question<'a> {
    screen: &'a Screen,
    is_answered: bool,
}

// === impl Screen ===

impl Screen {
    pub(crate) fn new() -> Self {
        let has_no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self(Arc::new(Mutex::new(State {
            is_colored: io::stderr().is_terminal() && !has_no_color && !is_dumb,
            open: None,
            held: None,
        })))
    }

    /// Writes lines to standard error.
    pub(crate) fn line(&self, text: &str) {
        self.write(Piece::Line(text.to_owned()));
    }

    /// Writes a part of a line to standard output.
    pub(crate) fn message(&self, text: &str) {
        self.write(Piece::Part(Stream::Stdout, text.to_owned()));
    }

    /// Writes a part of a line to standard error, dimmed.
    pub(crate) fn aside(&self, text: &str) {
        let line = text.trim_end_matches('\n');
        let (line, end) = text.split_at(line.len());
        let mut styled = match line {
            "" => String::new(),
            line => self.styled(line, Style::Dim),
        };
        styled.push_str(end);
        self.write(Piece::Part(Stream::Stderr, styled));
    }

    /// Notes that the terminal has shown a key that ends no line, such as Ctrl-C.
    pub(crate) fn echoed(&self) {
        self.lock().open.get_or_insert(Stream::Stderr);
    }

    /// Ends a line that is not complete.
    pub(crate) fn end_line(&self) {
        let mut state = self.lock();
        match &mut state.held {
            // The next line does.
            Some(_) => {}
            None => state.end_line(),
        }
    }

    /// Writes the prompt for the next line of the user.
    pub(crate) fn prompt(&self, text: &str) {
        let mut state = self.lock();
        state.end_line();
        state.now(Stream::Stderr, text);
    }

    /// Ends the prompt with the line that the user typed. A terminal has shown it by then.
    pub(crate) fn typed(&self, line: &str, is_terminal: bool) {
        let mut state = self.lock();
        if !is_terminal && state.open.is_some() {
            state.now(Stream::Stderr, &printable(line));
            state.end_line();
        }
        state.open = None;
    }

    /// Writes a question, and holds back everything else until it is answered.
    pub(crate) fn question(&self, text: &str) -> Question<'_> {
        let mut state = self.lock();
        state.end_line();
        state.now(Stream::Stderr, text);
        state.held.get_or_insert_default();
        Question {
            screen: self,
            is_answered: false,
        }
    }

    /// Returns a text in a style.
    pub(crate) fn styled(&self, text: &str, style: Style) -> String {
        if !self.lock().is_colored {
            return text.to_owned();
        }
        let code = match style {
            Style::Bold => 1,
            Style::Dim => 2,
            Style::Green => 32,
            Style::Red => 31,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    fn write(&self, piece: Piece) {
        let mut state = self.lock();
        match &mut state.held {
            Some(held) => held.push(piece),
            None => state.piece(piece),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn piece(&mut self, piece: Piece) {
        match piece {
            Piece::Line(text) => {
                self.end_line();
                self.now(Stream::Stderr, &text);
                self.end_line();
            }
            Piece::Part(stream, text) => {
                if self.open.is_some_and(|open| open != stream) {
                    self.end_line();
                }
                self.now(stream, &text);
            }
        }
    }

    fn end_line(&mut self) {
        if let Some(stream) = self.open {
            self.now(stream, "\n");
        }
    }

    fn now(&mut self, stream: Stream, text: &str) {
        // A closed stream does not end the conversation.
        let _ = match stream {
            Stream::Stdout => put(&mut io::stdout().lock(), text),
            Stream::Stderr => put(&mut io::stderr().lock(), text),
        };
        if !text.is_empty() {
            self.open = (!text.ends_with('\n')).then_some(stream);
        }
    }
}

fn put(stream: &mut impl Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

// === impl Question ===

impl Question<'_> {
    /// Writes more of the question.
    pub(crate) fn prompt(&self, text: &str) {
        self.screen.prompt(text);
    }

    /// Closes the question.
    pub(crate) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let mut state = self.screen.lock();
        if !self.is_answered {
            state.end_line();
            state.now(Stream::Stderr, "not answered\n");
        }
        for piece in state.held.take().unwrap_or_default() {
            state.piece(piece);
        }
    }
}

/// Returns a text of others without what could disguise it on a terminal: control characters, and those that change
/// the direction of the text.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        let is_direction = matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        );
        if is_direction || character.is_control() && !matches!(character, '\n' | '\t') {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

//! The lines that the user types: prompts and answers, in the order in which they are asked for.

use std::{
    convert::Infallible,
    io::{self, BufRead, IsTerminal},
    sync::Arc,
    thread,
};

use tokio::sync::{Mutex, mpsc, oneshot};

use crate::screen::Screen;

/// How many lines of a terminal are read ahead. Whoever types does not get there.
const TYPED: usize = 4096;

/// Standard input.
#[derive(Clone)]
pub(crate) struct Input {
    screen: Screen,
    /// Whoever holds the lock is asked; the others wait in their order.
    lines: Arc<Mutex<mpsc::Receiver<String>>>,
    is_terminal: bool,
    questions: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

/// The questions that are about to be asked.
///
/// A question is asked by the turn itself, while its progress waits to be shown. So it first waits for whoever shows
/// that: what led to the question stands above it.
pub(crate) struct Questions(mpsc::UnboundedReceiver<oneshot::Sender<()>>);

impl Input {
    /// Starts a thread that reads. It does not hold up the program's end, as tokio's own would.
    pub(crate) fn start(screen: Screen) -> io::Result<(Self, Questions)> {
        let is_terminal = io::stdin().is_terminal();
        let (sender, lines) = mpsc::channel(if is_terminal { TYPED } else { 1 });
        thread::Builder::new()
            .name("input".to_owned())
            .spawn(move || {
                let mut line = Vec::new();
                let mut stdin = io::stdin().lock();
                while matches!(stdin.read_until(b'\n', &mut line), Ok(1..)) {
                    let text = String::from_utf8_lossy(&line);
                    let text = text.trim_end_matches(['\r', '\n']).to_owned();
                    if sender.blocking_send(text).is_err() {
                        return;
                    }
                    line.clear();
                }
            })?;
        let (questions, asked) = mpsc::unbounded_channel();
        let input = Self {
            screen,
            lines: Arc::new(Mutex::new(lines)),
            is_terminal,
            questions,
        };
        Ok((input, Questions(asked)))
    }

    pub(crate) const fn screen(&self) -> &Screen {
        &self.screen
    }

    /// Asks for the next prompt; `None` at the end of the input.
    pub(crate) async fn prompt(&self) -> Option<String> {
        let mut lines = self.lines.lock().await;
        if self.is_terminal {
            forget(&mut lines);
            self.screen.prompt("> ");
        }
        let line = lines.recv().await?;
        self.screen.typed(&line, self.is_terminal);
        Some(line)
    }

    /// Notes that a signal came, whose key the terminal has shown.
    pub(crate) fn interrupted(&self) {
        if self.is_terminal {
            self.screen.echoed();
        }
    }

    /// Asks a question until `answer` knows the answer; `None` at the end of the input.
    pub(crate) async fn ask<T>(
        &self,
        question: &str,
        choices: &str,
        answer: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let (go_on, shown) = oneshot::channel();
        // An error means that the program ends.
        let _ = self.questions.send(go_on);
        let _ = shown.await;
        let mut lines = self.lines.lock().await;
        if self.is_terminal {
            forget(&mut lines);
        }
        let open = self.screen.question(question);
        loop {
            open.prompt(choices);
            let line = lines.recv().await?;
            self.screen.typed(&line, self.is_terminal);
            if let Some(answer) = answer(line.trim()) {
                open.answered();
                return Some(answer);
            }
        }
    }
}

impl Questions {
    /// Lets questions be asked, as long as nothing else is ready.
    pub(crate) async fn allow(&mut self) -> Infallible {
        while let Some(question) = self.0.recv().await {
            // An error means that its turn was cancelled.
            let _ = question.send(());
        }
        std::future::pending().await
    }
}

/// Forgets what was typed before anybody asked: it cannot be the answer.
fn forget(lines: &mut mpsc::Receiver<String>) {
    while lines.try_recv().is_ok() {}
}

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{fake_server::app_server, terminal::open_terminal};

/// The deadline of what a test waits for: far longer than it takes, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A user in front of a terminal.
pub(crate) struct User {
    child: Child,
    terminal: File,
    shown: mpsc::Receiver<Vec<u8>>,
    /// What was shown and not waited for so far.
    rest: String,
}

impl User {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = app_server();
        command.args(arguments).env("NO_COLOR", "1");
        Self::runs(&mut command)
    }

    /// Runs a program in the terminal.
    pub(crate) fn runs(command: &mut Command) -> Self {
        let (terminal, program) = open_terminal();
        command
            .stdin(program.try_clone().unwrap())
            .stdout(program.try_clone().unwrap())
            .stderr(program);
        let child = command.spawn().unwrap();
        // Reading ends when no process has the terminal open for writing.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let shown = read(terminal.try_clone().unwrap());
        Self {
            child,
            terminal: File::from(terminal),
            shown,
            rest: String::new(),
        }
    }

    /// Waits until the terminal shows `expected`, and returns what it showed before.
    pub(crate) fn sees(&mut self, expected: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some((before, after)) = self.rest.split_once(expected) {
                let (before, after) = (before.to_owned(), after.to_owned());
                self.rest = after;
                return before;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.shown.recv_timeout(left) {
                Ok(bytes) => self.rest.push_str(str::from_utf8(&bytes).unwrap()),
                Err(_) => panic!("no {expected:?} in {:?}", self.rest),
            }
        }
    }

    pub(crate) fn types(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).unwrap();
    }

    /// Returns the id of the server, which the prompt `hang` has it say.
    pub(crate) fn server(&mut self) -> Pid {
        self.sees("part of it by ");
        let pid = self.sees(" ").parse().ok().and_then(Pid::from_raw);
        pid.expect("the fake says its process id")
    }

    /// Presses Ctrl-C. It is not the program's controlling terminal, so the signal has to be sent.
    pub(crate) fn interrupts(&self) {
        self.signals(Signal::INT);
    }

    pub(crate) fn signals(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end of the program, and returns its exit code.
    pub(crate) fn leaves(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

/// Reads a terminal until no program has it open any more.
fn read(terminal: OwnedFd) -> mpsc::Receiver<Vec<u8>> {
    let (sender, shown) = mpsc::channel();
    let mut terminal = File::from(terminal);
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = terminal.read(&mut chunk) {
            if sender.send(chunk[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    shown
}

//! The lines to the program.

use std::io::{self, Write};

use serde_json::Value;

/// Writes a message as one line, and with one write: turns write at once.
pub(super) fn send(message: &Value) -> io::Result<()> {
    let mut line = message.to_string();
    line.push('\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(line.as_bytes())?;
    stdout.flush()
}

//! Turns of the Codex CLI.

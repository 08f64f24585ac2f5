//! The types of `codex-codes`.

//! Guides: one page for each decision that a program has to make.
//!
//! | guide | what it answers |
//! |---|---|
//! | [`transports`] | `codex exec` or the app-server: what each does, costs and cannot; moving a stack, and having both |
//! | [`approvals`] | what Codex asks and when, who answers, deadlines, what is recorded, what is never approved |
//! | [`host_tools`] | functions of the program that the model calls: specifications, results, failures, MCP, tests |
//! | [`backends`] | what to set for each product that takes OTLP, and what it shows |
//! | [`operating`] | the stack in order, shutdown, health, several instances, callers, limits, tests |
//!
//! They are the files of `docs/` in the repository. [`runbook`](crate::runbook) begins where they end: with a symptom.

// The programs of these pages are doctests, and need the features that they use.
#[cfg(any(not(doctest), all(feature = "services", unix)))]
pub mod approvals;
pub mod backends;
#[cfg(any(not(doctest), all(feature = "services", unix)))]
pub mod host_tools;
#[cfg(any(not(doctest), all(feature = "otlp", feature = "services", unix)))]
pub mod operating;
#[cfg(any(not(doctest), all(feature = "services", unix)))]
pub mod transports;

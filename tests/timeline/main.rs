//! The timeline of turns in phases: from events, from JSON lines, as text and as a page.

mod browser;
#[path = "../support/checked/mod.rs"]
mod checked;
mod filters;
mod hostile;
mod json_lines;
mod lines;
mod pages;
mod phases;
mod widths;

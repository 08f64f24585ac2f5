//! A viewer of traces, with one line and one bar for each call: text, SVG and HTML.
//!
//! ```text
//! trace 300257ab3af4997e7b0fee6f232cadf7  4232.686 ms
//!   codex.turn release-notes        ▂▂▂▂▂▓▓▓▓▓▓▓▓███████▓▓▓▓▓▓?????????▓▓▓▓▓▓▓▓▓▓  4232.686 ms  ok
//!     codex.tool command_execution                 ████▉                            458.267 ms  ok
//! ```
//!
//! A turn is drawn in its [phases](crate::Phase). `cargo run --example timeline -- FILE` draws a file of JSON lines.
//!
//! [`Timeline`] collects spans, from events or from JSON lines. A trace lays them out as rows with times, and each
//! renderer scales that to its own columns or pixels.

mod bar;
mod color;
mod columns;
mod fill;
mod html;
#[cfg(feature = "json")]
mod json_lines;
mod label;
mod legend;
mod markup;
mod row;
mod span;
mod spans;
mod svg;
mod text;
#[expect(
    clippy::module_inception,
    reason = "a type's file is found by its name"
)]
mod timeline;
mod trace;

pub(crate) use self::columns::{columns, padded, printable};
pub use self::timeline::Timeline;

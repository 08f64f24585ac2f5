//! A viewer of traces: text with one line and one bar for each call.

mod bar;
mod color;
#[expect(
    clippy::module_inception,
    reason = "a type's file is found by its name"
)]
mod timeline;
mod trace;

pub use self::timeline::Timeline;

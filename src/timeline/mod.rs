//! A viewer: traces as text, one line for each call.

mod bar;
mod picture;
mod style;
mod trace;

pub use self::picture::Timeline;

//! What Codex writes, as bytes: bounded lines, a line without its output, the fields of a line, the end of standard error.

mod fields;
mod lines;
mod pauses;
mod split_line;
mod tail;

#[cfg(any(test, fuzzing))]
pub(super) use self::lines::CHUNK;
pub(super) use self::{
    fields::Fields,
    lines::{LineError, Lines},
    pauses::Pauses,
    split_line::SplitLine,
    tail::Tail,
};

//! What Codex writes, as bytes: bounded lines, the fields of a line, the end of standard error.

mod fields;
mod lines;
mod pauses;
mod tail;

#[cfg(any(test, fuzzing))]
pub(super) use self::lines::CHUNK;
pub(super) use self::{
    fields::Fields,
    lines::{LineError, Lines},
    pauses::Pauses,
    tail::Tail,
};

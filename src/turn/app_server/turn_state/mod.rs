//! The state of a turn: what the server has told of it so far.
//!
//! `turn_state.rs` folds what the server tells. `questions.rs` has what it asks.

mod questions;
#[allow(clippy::module_inception, reason = "the type has the name of its room")]
mod turn_state;

pub(super) use self::turn_state::TurnState;

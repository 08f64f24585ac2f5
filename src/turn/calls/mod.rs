//! What a turn leaves on its call: stats, content, and a child call for each tool.

pub(super) mod content;
mod open_tools;
mod stats;
mod tool;

pub(super) use self::{
    open_tools::{OpenTools, Stage},
    stats::{TurnStats, record_usage},
    tool::short,
};

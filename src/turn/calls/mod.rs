//! What a turn leaves on its call: stats, content, and a child call for each tool.

mod asked_tool;
pub(super) mod content;
mod host_calls;
mod open_tools;
mod stats;
mod tool;

pub(super) use self::{
    asked_tool::AskedTool,
    host_calls::HostCalls,
    open_tools::{OpenTools, Stage},
    stats::{TurnStats, record_usage},
    tool::short,
};

//! [`HostTools`]: crate::tool::HostTools
//! [`ToolCall`]: crate::tool::ToolCall
//! [`ToolService`]: crate::tool::ToolService
//! [approvals]: super::approvals#tools-of-the-program
//! [runbook]: crate::runbook#tools-of-the-program
#![doc = include_str!("../../docs/host-tools.md")]

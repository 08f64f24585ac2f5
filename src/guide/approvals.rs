//! [`ApprovalLayer`]: crate::tool::ApprovalLayer
//! [`ApprovalRequest`]: crate::approval::ApprovalRequest
//! [`Decision`]: crate::approval::Decision
//! [crate-page]: crate#where-the-time-goes
//! [host-tools]: super::host_tools
#![doc = include_str!("../../docs/approvals.md")]

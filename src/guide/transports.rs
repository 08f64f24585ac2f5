//! [`CodexExec`]: crate::CodexExec
//! [`CodexAppServer`]: crate::CodexAppServer
//! [approvals]: super::approvals
//! [crate-page]: crate
//! [error-classes]: crate::error_classes
//! [host-tools]: super::host_tools
//! [overhead]: crate::overhead#a-turn-of-the-real-codex
#![doc = include_str!("../../docs/transports.md")]

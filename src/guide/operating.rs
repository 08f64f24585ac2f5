//! [`Phase`]: crate::Phase
//! [`RetryPolicy`]: crate::RetryPolicy
//! [approvals]: super::approvals#what-codex-asks-about
//! [backends]: super::backends
//! [otlp]: crate::otlp::config
//! [overhead]: crate::overhead
//! [runbook]: crate::runbook
#![doc = include_str!("../../docs/operating.md")]

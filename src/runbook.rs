//! [`docs/error-classes.md`]: crate::error_classes
//! [`docs/otlp.md`]: crate::otlp::config
#![doc = include_str!("../RUNBOOK.md")]

//! Tools from async functions.

pub mod future;
mod service;

pub use self::service::{ToolFn, tool_fn};

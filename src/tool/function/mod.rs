//! Tools made of async functions.

mod arguments;
pub mod future;
mod key;
mod refusal;
mod service;

pub use self::service::{ToolFn, tool_fn};

//! Events as JSON.
//!
//! [`describe`](members::describe) lists the members of an event's object once. `Serialize` and [`JsonLine`], which is
//! faster, both get them from it, so neither can have a member that the other has not.

mod cursor;
mod hex;
mod json_line;
mod members;
mod rfc3339;
mod serialize;

pub(crate) use self::json_line::JsonLine;

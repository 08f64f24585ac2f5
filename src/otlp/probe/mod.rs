mod error;
mod kind;
mod send;

pub use self::{
    error::{ProbeError, ProbeErrorKind},
    send::probe,
};

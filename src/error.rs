#[cfg(feature = "retry")]
use std::{error::Error, io};

#[cfg(feature = "retry")]
use crate::event::ErrorClass;

/// Any error, as tower's own middleware returns it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error and what it came from, outermost first.
#[cfg(feature = "retry")]
pub(crate) fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // An io error hides the one that it was made of: its source is that one's source.
        let inside = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match inside {
            Some(inside) => Some(inside as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// The failure mode of an error of tower's, tokio's or the standard library's; `None` of any other.
#[cfg(feature = "retry")]
pub(crate) fn foreign_class(error: &(dyn Error + 'static)) -> Option<ErrorClass> {
    use tower::{buffer::error::Closed, load_shed::error::Overloaded, timeout::error::Elapsed};

    if error.is::<Elapsed>() || error.is::<tokio::time::error::Elapsed>() {
        Some(ErrorClass::Timeout)
    } else if error.is::<Overloaded>() {
        Some(ErrorClass::Overloaded)
    } else if error.is::<Closed>() {
        // The worker of a buffer was ended, by a panic or with its runtime: to ask it again is no use.
        Some(ErrorClass::Interrupted)
    } else if let Some(join) = error.downcast_ref::<tokio::task::JoinError>() {
        Some(if join.is_panic() {
            ErrorClass::Panic
        } else {
            // Not `cancelled`: whoever sees this error still waits. Someone else aborted the task, or its
            // runtime shut down.
            ErrorClass::Interrupted
        })
    } else {
        error.downcast_ref::<io::Error>().map(io_class)
    }
}

#[cfg(feature = "retry")]
fn io_class(error: &io::Error) -> ErrorClass {
    use io::ErrorKind as K;
    match error.kind() {
        K::TimedOut => ErrorClass::Timeout,
        K::ConnectionRefused
        | K::ConnectionReset
        | K::ConnectionAborted
        | K::NotConnected
        | K::HostUnreachable
        | K::NetworkUnreachable
        | K::NetworkDown
        | K::BrokenPipe
        | K::UnexpectedEof => ErrorClass::Transport,
        _ => ErrorClass::Io,
    }
}

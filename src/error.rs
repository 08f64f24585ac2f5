#[cfg(feature = "retry")]
use std::{error::Error, io};
#[cfg(any(feature = "tool", all(feature = "turn", unix)))]
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

#[cfg(feature = "retry")]
use crate::event::ErrorClass;

/// Any error, as tower's middleware returns it.
///
/// ```
/// use codex_telemetry::BoxError;
///
/// fn port(text: &str) -> Result<u16, BoxError> {
///     let port: u16 = text.parse()?;
///     if port < 1024 { Err("the port is reserved".into()) } else { Ok(port) }
/// }
///
/// assert!(port("http").is_err_and(|error| error.is::<std::num::ParseIntError>()));
/// assert_eq!(port("80").map_err(|error| error.to_string()), Err("the port is reserved".to_owned()));
/// ```
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Returns an error and its sources, outermost first.
#[cfg(feature = "retry")]
pub(crate) fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // The source of an `io::Error` skips the error that it wraps.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// Returns the class of an error of tower, tokio or the standard library, and `None` for any other error.
#[cfg(feature = "retry")]
pub(crate) fn foreign_class(error: &(dyn Error + 'static)) -> Option<ErrorClass> {
    use tower::{buffer::error::Closed, load_shed::error::Overloaded, timeout::error::Elapsed};

    if error.is::<Elapsed>() || error.is::<tokio::time::error::Elapsed>() {
        Some(ErrorClass::Timeout)
    } else if error.is::<Overloaded>() {
        Some(ErrorClass::Overloaded)
    } else if error.is::<Closed>() {
        // The worker of the buffer has ended, by a panic or with its runtime. A retry cannot help.
        Some(ErrorClass::Interrupted)
    } else if let Some(join) = error.downcast_ref::<tokio::task::JoinError>() {
        Some(if join.is_panic() {
            ErrorClass::Panic
        } else {
            // Not `Cancelled`: the caller still waits. The task was aborted, or its runtime shut down.
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

/// Runs foreign code and returns the message of its panic as an error.
#[cfg(any(feature = "otlp", feature = "tool", all(feature = "turn", unix)))]
pub(crate) fn catch_panic<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    // Unwind safe, because what panicked is not used again.
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        if let Some(message) = payload.downcast_ref::<String>() {
            message.clone()
        } else if let Some(message) = payload.downcast_ref::<&'static str>() {
            (*message).to_owned()
        } else {
            // The destructor of a foreign payload can panic too, so it never runs.
            std::mem::forget(payload);
            "(no panic message)".to_owned()
        }
    })
}

/// Polls a future that can panic. Once it has completed or panicked, drops it, and returns its output
/// or the message of the first panic, which may be one of the drop.
///
/// # Panics
///
/// Panics if the future has completed before.
#[cfg(any(feature = "tool", all(feature = "turn", unix)))]
pub(crate) fn poll_catching_panics<F: Future>(
    mut future: Pin<&mut Option<F>>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, String>> {
    let pinned = future.as_mut().as_pin_mut();
    let pinned = pinned.expect("polled after completion");
    let polled = match catch_panic(|| pinned.poll(cx)) {
        Ok(Poll::Pending) => return Poll::Pending,
        Ok(Poll::Ready(output)) => Ok(output),
        Err(message) => Err(message),
    };
    let dropped = catch_panic(|| future.set(None));
    Poll::Ready(polled.and_then(|output| dropped.map(|()| output)))
}

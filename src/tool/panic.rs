use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

/// Polls a future that can panic. Once it has completed or panicked, drops it, and returns its output
/// or the message of the first panic, which may be one of the drop.
///
/// # Panics
///
/// Panics if the future has completed before.
pub(super) fn poll_catching_panics<F: Future>(
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

/// Runs foreign code and returns the message of its panic as an error.
fn catch_panic<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    // Unwind safe, because what panicked is dropped without being used again.
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

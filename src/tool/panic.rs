use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::error::catch_panic;

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

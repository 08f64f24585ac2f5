use crate::event::Classification;

/// Finds the failure mode of an error.
///
/// Any function or closure from `&E` to an [`ErrorClass`](crate::ErrorClass) or a [`Classification`]
/// is a classifier of `E`.
///
/// ```
/// use codex_telemetry::{ErrorClass, ErrorClassLayer};
///
/// #[derive(Debug)]
/// enum Refused { Busy, Broken }
///
/// let layer = ErrorClassLayer::new(|error: &Refused| match error {
///     Refused::Busy => ErrorClass::Overloaded,
///     Refused::Broken => ErrorClass::ServerError,
/// });
/// # let _ = layer;
/// ```
pub trait Classify<E: ?Sized> {
    /// Returns what is known of `error`.
    fn classify(&self, error: &E) -> Classification;
}

impl<F, E, C> Classify<E> for F
where
    E: ?Sized,
    F: Fn(&E) -> C,
    C: Into<Classification>,
{
    fn classify(&self, error: &E) -> Classification {
        self(error).into()
    }
}

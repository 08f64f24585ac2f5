use std::{fmt, sync::Arc};

use crate::{error::BoxError, event::Classification};

/// Classifies errors of type `E`.
///
/// Every function or closure from `&E` to an [`ErrorClass`](crate::ErrorClass) or a [`Classification`]
/// implements it.
///
/// ```
/// use codex_telemetry::{Classification, Classify, ErrorClass};
///
/// #[derive(Debug)]
/// enum ShopError { Busy, Broken }
///
/// // A function or a closure, for `ErrorClassLayer::new`.
/// let by_class = |error: &ShopError| match error {
///     ShopError::Busy => ErrorClass::Overloaded,
///     ShopError::Broken => ErrorClass::ServerError,
/// };
/// assert_eq!(by_class.classify(&ShopError::Broken).class, ErrorClass::ServerError);
///
/// // A type, which can have a configuration and a name.
/// #[derive(Clone)]
/// struct ShopClassifier { busy: ErrorClass }
///
/// impl Classify<ShopError> for ShopClassifier {
///     fn classify(&self, error: &ShopError) -> Classification {
///         match error {
///             ShopError::Busy => self.busy.into(),
///             ShopError::Broken => ErrorClass::ServerError.into(),
///         }
///     }
/// }
/// let classifier = ShopClassifier { busy: ErrorClass::RateLimit };
/// assert!(classifier.classify(&ShopError::Busy).class.is_retryable());
/// ```
///
/// # Boxed errors in an async block
///
/// A stack can be moved into an `async` block and called there, and the block can be spawned: its future is
/// `Send`. For errors of type [`BoxError`] there are two exceptions, because the compiler forgets that the
/// box is `'static`, and reports that an implementation "is not general enough":
///
/// - A closure over `&BoxError` as the classifier. Use [`BoxErrorClassifier`], or a named function.
/// - A service whose type names `BoxError` itself, such as a `service_fn` with an `async` block, or a
///   `BoxCloneService<_, _, BoxError>`. Tower's `timeout` and `buffer` have the same limit. Write the service
///   as a named `async fn`, spawn the call without a block around it
///   (`tokio::spawn(stack.oneshot(request))`), or erase the type of the whole stack with
///   `BoxCloneSyncService`.
pub trait Classify<E: ?Sized> {
    /// Returns the classification of `error`.
    fn classify(&self, error: &E) -> Classification;
}

/// Classifies a [`BoxError`] with a closure.
///
/// Unlike the closure alone, it can be used in an `async` block that is spawned; see [`Classify`].
///
/// ```
/// use codex_telemetry::{
///     BoxErrorClassifier, Call, ErrorClass, MemorySink, Operation, ServiceBuilderExt,
/// };
/// use std::time::Duration;
/// use tower::{ServiceBuilder, ServiceExt, timeout::error::Elapsed};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let sink = MemorySink::new();
/// let service = ServiceBuilder::new()
///     .timing(sink.clone())
///     .error_class(BoxErrorClassifier::new(|error| match error.is::<Elapsed>() {
///         true => ErrorClass::Timeout,
///         false => ErrorClass::Other,
///     }))
///     .timeout(Duration::from_millis(1))
///     .service_fn(|_: Call<()>| std::future::pending::<Result<(), std::io::Error>>());
///
/// let call = Call::new(Operation::Custom("wait"), ());
/// let task = tokio::spawn(async move { service.oneshot(call).await });
/// assert!(task.await.unwrap().is_err());
/// assert_eq!(sink.events()[1].error_class(), Some(ErrorClass::Timeout));
/// # }
/// ```
#[derive(Clone)]
pub struct BoxErrorClassifier(Arc<dyn Fn(&BoxError) -> Classification + Send + Sync>);

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

// === impl BoxErrorClassifier ===

impl BoxErrorClassifier {
    /// Returns a classifier that calls `classify`.
    pub fn new<C>(classify: impl Fn(&BoxError) -> C + Send + Sync + 'static) -> Self
    where
        C: Into<Classification>,
    {
        Self(Arc::new(move |error| classify(error).into()))
    }
}

impl Classify<BoxError> for BoxErrorClassifier {
    fn classify(&self, error: &BoxError) -> Classification {
        (self.0)(error)
    }
}

impl fmt::Debug for BoxErrorClassifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxErrorClassifier").finish_non_exhaustive()
    }
}

use std::task::{Context, Poll};

use tower_service::Service;

use crate::{call::CodexRequest, event::Originator};

/// The service of [`OriginatorLayer`](super::OriginatorLayer).
///
/// ```
/// use codex_telemetry::{Call, Operation, Originator, originator::OriginatorService};
/// use tower::{Service, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ()> {
/// let named = service_fn(|call: Call<()>| async move { Ok::<_, ()>(call.context.originator().cloned()) });
/// let sync = || Call::new(Operation::Custom("sync"), ());
///
/// let mut service = OriginatorService::new(named, Originator::Cli);
/// assert_eq!(service.ready().await?.call(sync()).await?, Some(Originator::Cli));
/// // The inner service is still there, for what this one does not wrap.
/// assert_eq!(service.get_mut().call(sync()).await?, None);
/// let inner = service.get_ref().clone();
/// assert_eq!(service.into_inner().oneshot(sync()).await?, None);
///
/// let service = OriginatorService::always(inner, Originator::Sdk);
/// assert_eq!(service.oneshot(sync()).await?, Some(Originator::Sdk));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OriginatorService<S> {
    pub(super) inner: S,
    pub(super) originator: Originator,
    pub(super) overrides: bool,
}

impl<S> OriginatorService<S> {
    /// Returns a service that sets `originator` on requests that have none.
    pub const fn new(inner: S, originator: Originator) -> Self {
        Self {
            inner,
            originator,
            overrides: false,
        }
    }

    /// Returns a service that sets `originator` on every request, in place of any that it has.
    pub const fn always(inner: S, originator: Originator) -> Self {
        Self {
            inner,
            originator,
            overrides: true,
        }
    }

    /// Returns the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service for changes.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service without this one.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, R> Service<R> for OriginatorService<S>
where
    S: Service<R>,
    R: CodexRequest,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: R) -> Self::Future {
        request
            .context_mut()
            .attribute_to(&self.originator, self.overrides);
        self.inner.call(request)
    }
}

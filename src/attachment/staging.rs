//! The service that stages attachments in a store.

use std::{
    ffi::OsStr,
    fmt,
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncRead;
use tower_service::Service;

use super::{
    Attachment, AttachmentError, AttachmentStore, Ttl,
    stage::{Source, Staged, stage},
};
use crate::{
    call::{CallContext, CodexRequest},
    event::{Operation, names},
};

/// A service that stages attachments in an [`AttachmentStore`], as its `stage_…` methods do.
///
/// It records the size of the attachment, and whether the store had it before, on the open call. The name is
/// recorded only as a part of the text of an error.
///
/// ```
/// use codex_telemetry::{MemorySink, TimingLayer, event::names};
/// use codex_telemetry::attachment::{AttachmentStore, StageRequest, StageService, Ttl};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let sink = MemorySink::new();
/// let service = ServiceBuilder::new()
///     .layer(TimingLayer::new(sink.clone()))
///     .service(StageService::new(AttachmentStore::open(dir)?));
/// let request = StageRequest::bytes("notes.txt", "remember the milk", Ttl::default());
/// let attachment = service.oneshot(request).await?;
/// assert_eq!(attachment.size, 17);
/// let event = &sink.events()[1];
/// assert_eq!(event.name(), "codex.attachment.stage.stop");
/// assert_eq!(event.attribute(names::STAGE_EXISTED), Some(&false.into()));
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// The future panics outside a tokio runtime.
///
/// # Cancel safety
///
/// As [`AttachmentStore::stage_bytes`].
#[derive(Clone, Debug)]
pub struct StageService {
    store: AttachmentStore,
}

/// A request to a [`StageService`] to stage an attachment.
///
/// It is not `Clone`, because a reader can be read once.
///
/// ```
/// use codex_telemetry::CallContext;
/// use codex_telemetry::attachment::{AttachmentStore, StageRequest, StageService, Ttl};
/// use tokio::io::AsyncReadExt;
/// use tower::{Service, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let (dir, upload) = (dir.path().join("store"), dir.path().join("report.csv"));
/// # std::fs::write(&upload, "1;2")?;
/// let mut stage = StageService::new(AttachmentStore::open(dir)?);
/// let stage = stage.ready().await?;
/// let notes = StageRequest::bytes("notes.txt", "remember the milk", Ttl::default())
///     .with_context(CallContext::new().with_thread_id("thread-7"));
/// assert_eq!(stage.call(notes).await?.size, 17);
///
/// // A copy of a file, under its own name or another one.
/// let mut copy = StageRequest::file(&upload, Ttl::Infinite);
/// copy.name = "march.csv".to_owned();
/// assert_eq!(stage.call(copy).await?.name, "march.csv");
///
/// // What a client sends, as it arrives.
/// let body = StageRequest::reader("upload.bin", tokio::io::repeat(0).take(1024), Ttl::default());
/// assert_eq!(stage.call(body).await?.size, 1024);
/// # Ok(())
/// # }
/// ```
pub struct StageRequest {
    /// The name to stage under.
    pub name: String,
    /// The time to live.
    pub ttl: Ttl,
    /// The context.
    pub context: CallContext,
    source: Source,
}

/// The response future of [`StageService`].
///
/// ```
/// use codex_telemetry::attachment::{
///     AttachmentStore, StageRequest, StageService, Ttl, staging::ResponseFuture,
/// };
/// use tower::Service;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let store = AttachmentStore::open(dir)?;
/// let mut stage = StageService::new(store.clone());
/// let bytes = |name: &str| StageRequest::bytes(name, "remember the milk", Ttl::default());
///
/// let dropped: ResponseFuture = stage.call(bytes("dropped.txt"));
/// drop(dropped);
/// let staged = stage.call(bytes("notes.txt")).await?;
/// // The first one was not polled.
/// assert_eq!(store.list().await?, [staged]);
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
///
/// As [`AttachmentStore::stage_bytes`].
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture {
    // Boxed: an allocation is cheap next to a file.
    stage: Pin<Box<dyn Future<Output = Result<Staged, AttachmentError>> + Send>>,
    context: CallContext,
}

// === impl StageService ===

impl StageService {
    /// Returns a service that stages in `store`.
    #[must_use]
    pub fn new(store: AttachmentStore) -> Self {
        Self { store }
    }
}

impl Service<StageRequest> for StageService {
    type Response = Attachment;
    type Error = AttachmentError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: StageRequest) -> Self::Future {
        let StageRequest {
            name,
            ttl,
            context,
            source,
        } = request;
        ResponseFuture {
            stage: Box::pin(stage(Arc::clone(&self.store.0), source, name, ttl)),
            context,
        }
    }
}

// === impl StageRequest ===

impl StageRequest {
    /// Returns a request to stage bytes.
    #[must_use]
    pub fn bytes(name: impl Into<String>, bytes: impl Into<Vec<u8>>, ttl: Ttl) -> Self {
        Self::new(name.into(), Source::Bytes(bytes.into()), ttl)
    }

    /// Returns a request to stage a copy of a file under the last component of its path. For another name,
    /// set [`name`](Self::name).
    ///
    /// If the path does not end in a UTF-8 file name, the name is empty, which the service refuses.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>, ttl: Ttl) -> Self {
        let path = path.into();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        Self::new(name.to_owned(), Source::File(path), ttl)
    }

    /// Returns a request to stage what a reader yields.
    #[must_use]
    pub fn reader(
        name: impl Into<String>,
        reader: impl AsyncRead + Send + 'static,
        ttl: Ttl,
    ) -> Self {
        Self::new(name.into(), Source::Reader(Box::pin(reader)), ttl)
    }

    /// Sets the context.
    #[must_use]
    pub fn with_context(mut self, context: CallContext) -> Self {
        self.context = context;
        self
    }

    fn new(name: String, source: Source, ttl: Ttl) -> Self {
        Self {
            name,
            ttl,
            context: CallContext::new(),
            source,
        }
    }
}

impl CodexRequest for StageRequest {
    fn operation(&self) -> Operation {
        Operation::AttachmentStage
    }

    fn context(&self) -> &CallContext {
        &self.context
    }

    fn context_mut(&mut self) -> &mut CallContext {
        &mut self.context
    }
}

impl fmt::Debug for StageRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StageRequest")
            .field("name", &self.name)
            .field("ttl", &self.ttl)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

// === impl ResponseFuture ===

impl Future for ResponseFuture {
    type Output = Result<Attachment, AttachmentError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let staged = ready!(self.stage.as_mut().poll(cx))?;
        let size = i64::try_from(staged.attachment.size).unwrap_or(i64::MAX);
        self.context.record(names::STAGE_SIZE, size);
        self.context.record(names::STAGE_EXISTED, staged.existed);
        Poll::Ready(Ok(staged.attachment))
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use codex_telemetry::{
    ErrorClass,
    attachment::{AttachmentError, AttachmentStore, Ttl},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf, duplex, repeat};

use crate::support::{DEADLINE, Fixture, names_in};

/// Yields a content without an end, and counts what was read.
struct Endless(Arc<AtomicUsize>);

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = buffer.remaining().min(1000);
        buffer.put_slice(&vec![7; count]);
        self.0.fetch_add(count, Relaxed);
        Poll::Ready(Ok(()))
    }
}

/// Yields a content and then nothing any more, without an end.
struct Stalling {
    left: usize,
    stalled: Arc<AtomicBool>,
}

impl AsyncRead for Stalling {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            self.stalled.store(true, Relaxed);
            return Poll::Pending;
        }
        let count = buffer.remaining().min(self.left);
        buffer.put_slice(&vec![7; count]);
        self.left -= count;
        Poll::Ready(Ok(()))
    }
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|index| index.to_le_bytes()[0]).collect()
}

#[tokio::test]
async fn what_a_reader_yields_is_the_same_attachment_as_its_bytes() {
    let fixture = Fixture::new();
    for size in [0, 1, 128 << 10, 300_000] {
        let content = content(size);
        let (mut writer, reader) = duplex(1000);
        let stage = fixture.store.stage_reader("a", reader, Ttl::default());
        let write = async {
            writer.write_all(&content).await.unwrap();
            drop(writer);
        };
        let (staged, ()) = tokio::join!(stage, write);
        let staged = staged.unwrap();
        assert!(staged.is_leased());
        assert_eq!(std::fs::read(&staged.path).unwrap(), content);
        let bytes = fixture.store.stage_bytes("a", content, Ttl::default());
        assert_eq!(staged, bytes.await.unwrap());
    }
}

#[tokio::test]
async fn a_reader_that_fails_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let broken = tokio_test::io::Builder::new()
        .read(&content(1000))
        .read_error(io::Error::from(io::ErrorKind::ConnectionReset))
        .build();
    let reader = repeat(7).take(300_000).chain(broken);
    let error = fixture
        .store
        .stage_reader("upload", reader, Ttl::default())
        .await
        .unwrap_err();
    assert_eq!(error.classification().class, ErrorClass::Io);
    assert!(error.to_string().contains("upload"), "{error}");
    assert!(fixture.files().is_empty(), "{:?}", fixture.files());
}

#[tokio::test]
async fn a_reader_is_read_up_to_the_size_limit() {
    let outside = tempfile::tempdir().unwrap();
    let store = AttachmentStore::builder().max_size(300_000);
    let store = store.open(outside.path()).unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let reader = Endless(Arc::clone(&count));
    let error = store.stage_reader("a", reader, Ttl::default()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, AttachmentError::TooLarge { .. }), "{error}");
    assert!(count.load(Relaxed) <= 300_000 + (128 << 10));
    assert_eq!(names_in(outside.path()), [".lock"]);

    let exact = repeat(7).take(300_000);
    let staged = store.stage_reader("a", exact, Ttl::default()).await;
    assert_eq!(staged.unwrap().size, 300_000);
}

#[test]
fn a_stage_that_is_dropped_while_it_waits_for_its_reader_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.unwrap();
    let stalled = Arc::new(AtomicBool::new(false));
    // More than one buffer, so that a part is written.
    let reader = Stalling {
        left: 300_000,
        stalled: Arc::clone(&stalled),
    };
    runtime.block_on(async {
        let mut stage = pin!(fixture.store.stage_reader("a", reader, Ttl::default()));
        while !stalled.load(Relaxed) {
            let polled = stage.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
            tokio::task::yield_now().await;
        }
        assert!(fixture.files()[0].starts_with(".staging-"));
    });
    // Waits for the blocking thread.
    drop(runtime);
    assert!(fixture.files().is_empty(), "{:?}", fixture.files());
}

#[test]
fn a_stage_that_waits_for_its_reader_occupies_no_thread() {
    let fixture = Fixture::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .enable_time()
        .build();
    runtime.unwrap().block_on(async {
        let (mut writer, reader) = duplex(1000);
        let store = fixture.store.clone();
        let slow =
            tokio::spawn(async move { store.stage_reader("a", reader, Ttl::default()).await });
        writer.write_all(b"a").await.unwrap();
        while fixture.files().is_empty() {
            tokio::task::yield_now().await;
        }
        let other = fixture.stage("b", Ttl::default());
        tokio::time::timeout(DEADLINE, other).await.unwrap();
        drop(writer);
        assert_eq!(slow.await.unwrap().unwrap().size, 1);
    });
}

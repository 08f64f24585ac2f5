use std::{
    ffi::OsStr,
    fs,
    future::Future,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    pin::pin,
    task::{Context, Waker},
};

use codex_telemetry::{
    ErrorClass,
    attachment::{AttachmentError, AttachmentStore, Ttl},
};

use crate::support::{Fixture, names_in};

#[tokio::test]
async fn a_name_that_is_not_a_bare_file_name_is_invalid() {
    let fixture = Fixture::new();
    let too_long = "x".repeat(191);
    for bad in [
        "",
        ".",
        "..",
        "/",
        "a/b",
        "../a",
        "/etc/passwd",
        "a\\b",
        "..\\a",
        "a\0b",
        "a\nb",
        "\u{7f}",
        "a,b.png",
        &too_long,
    ] {
        let error = fixture.store.stage_bytes(bad, "x", Ttl::default()).await;
        let error = error.expect_err(bad);
        assert!(matches!(error, AttachmentError::InvalidName { .. }));
        assert_eq!(error.classification().class, ErrorClass::InvalidRequest);
        assert!(error.to_string().len() < 300, "a long name is truncated");
        let source = fixture.outside.path().join("source");
        fs::write(&source, "x").unwrap();
        let file = fixture.store.stage_file_as(source, bad, Ttl::default());
        assert!(file.await.is_err(), "{bad:?} was accepted");
    }
    assert!(fixture.files().is_empty());
}

#[tokio::test]
async fn any_other_name_is_kept_unchanged() {
    let fixture = Fixture::new();
    let longest = "x".repeat(190);
    for name in [
        "a", "..a", "a..", ".hidden", "-rf", "a b", "ä.png", "~", "$HOME", &longest,
    ] {
        let staged = fixture.stage(name, Ttl::default()).await;
        assert_eq!(staged.name, name);
        assert_eq!(fs::read_to_string(&staged.path).unwrap(), name);
        assert_eq!(staged.path.parent(), Some(&*fixture.root()));
    }
    assert_eq!(fixture.store.list().await.unwrap().len(), 10);
}

#[tokio::test]
async fn a_file_is_staged_under_the_last_component_of_its_path() {
    let fixture = Fixture::new();
    let path = fixture.outside.path().join("notes.txt");
    fs::write(&path, "abc").unwrap();
    let staged = fixture
        .store
        .stage_file(&path, Ttl::default())
        .await
        .unwrap();
    assert_eq!(staged.name, "notes.txt");
    assert_eq!(staged.size, 3);
    assert_eq!(
        staged.hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "the example in FIPS 180"
    );
    assert_eq!(fixture.files(), [format!("{}-notes.txt", staged.hash)]);
    assert_eq!(
        fs::read_to_string(path).unwrap(),
        "abc",
        "the source is unchanged"
    );
}

#[tokio::test]
async fn the_same_content_under_the_same_name_is_one_file() {
    let fixture = Fixture::new();
    let path = fixture.outside.path().join("a");
    fs::write(&path, "a").unwrap();
    let first = fixture.stage("a", Ttl::default()).await;
    assert_eq!(fixture.stage("a", Ttl::default()).await, first);
    let file = fixture.store.stage_file(path, Ttl::default()).await;
    assert_eq!(file.unwrap(), first);
    assert_eq!(fixture.files().len(), 1);

    let other = fixture.store.stage_bytes("b", "a", Ttl::default()).await;
    assert_eq!(other.unwrap().hash, first.hash);
    let other = fixture.store.stage_bytes("a", "b", Ttl::default()).await;
    assert_ne!(other.unwrap().hash, first.hash);
    assert_eq!(fixture.files().len(), 3);
}

#[tokio::test]
async fn only_the_owner_can_read_an_attachment() {
    let fixture = Fixture::new();
    let staged = fixture.stage("a", Ttl::default()).await;
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(staged.path), 0o400);
    assert_eq!(mode(fixture.root()), 0o700);
}

#[tokio::test]
async fn the_size_limit_is_the_largest_accepted_size() {
    let outside = tempfile::tempdir().unwrap();
    let root = outside.path().join("store");
    // More than one buffer, so that a part is written before the limit is exceeded.
    let limit = 300_000;
    let store = AttachmentStore::builder().max_size(limit).open(&root);
    let store = store.unwrap();
    let source = outside.path().join("source");
    for size in [limit + 1, 10 * limit] {
        let content = vec![7; usize::try_from(size).unwrap()];
        fs::write(&source, &content).unwrap();
        let bytes = store.stage_bytes("a", content, Ttl::default()).await;
        let file = store.stage_file(&source, Ttl::default()).await;
        for result in [bytes, file] {
            let error = result.unwrap_err();
            assert!(matches!(
                error,
                AttachmentError::TooLarge { limit: 300_000, .. }
            ));
            assert_eq!(error.classification().class, ErrorClass::InvalidRequest);
        }
        assert_eq!(names_in(&root), [".lock"], "files were left behind");
    }
    let content = vec![7; usize::try_from(limit).unwrap()];
    fs::write(&source, &content).unwrap();
    let bytes = store.stage_bytes("source", content.clone(), Ttl::default());
    let bytes = bytes.await.unwrap();
    let file = store.stage_file(&source, Ttl::default()).await.unwrap();
    assert_eq!(file.path, bytes.path);
    assert_eq!(file.size, limit);
    assert_eq!(fs::read(file.path).unwrap(), content);
}

#[tokio::test]
async fn a_source_that_is_not_a_regular_file_is_an_error_without_a_wait() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let fixture = Fixture::new();
    let pipe = fixture.outside.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
    for path in [&pipe, fixture.outside.path(), "/dev/null".as_ref()] {
        let error = fixture.store.stage_file(path, Ttl::default()).await;
        let error = error.unwrap_err();
        assert!(matches!(error, AttachmentError::NotAFile { .. }), "{error}");
    }
    let missing = fixture.outside.path().join("missing");
    let error = fixture.store.stage_file(missing, Ttl::default()).await;
    let error = error.unwrap_err();
    assert_eq!(error.classification().class, ErrorClass::Io);
    assert!(error.to_string().contains("missing"), "{error}");
    assert!(fixture.files().is_empty());
}

#[tokio::test]
async fn a_path_whose_file_name_is_not_utf_8_needs_an_explicit_name() {
    let fixture = Fixture::new();
    let path = fixture.outside.path().join(OsStr::from_bytes(b"\xff"));
    fs::write(&path, "content").unwrap();
    let error = fixture.store.stage_file(&path, Ttl::default()).await;
    assert!(matches!(error, Err(AttachmentError::InvalidName { .. })));
    let error = fixture.store.stage_file("/", Ttl::default()).await;
    assert!(matches!(error, Err(AttachmentError::InvalidName { .. })));
    let named = fixture.store.stage_file_as(&path, "a", Ttl::default());
    assert_eq!(named.await.unwrap().name, "a");
}

#[test]
fn a_dropped_stage_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.unwrap();
    // A sparse file takes no space and some time to copy.
    let source = fixture.outside.path().join("source");
    let file = fs::File::create(&source).unwrap();
    file.set_len(512 << 20).unwrap();
    {
        let _entered = runtime.enter();
        let mut stage = pin!(fixture.store.stage_file(source, Ttl::default()));
        let polled = stage.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        while fixture.files().is_empty() {
            std::thread::yield_now();
        }
        assert!(fixture.files()[0].starts_with(".staging-"));
    }
    // Waits for the blocking thread.
    drop(runtime);
    assert!(fixture.files().is_empty(), "{:?}", fixture.files());
}

#[tokio::test]
async fn the_path_of_an_attachment_is_absolute() {
    let here = std::env::current_dir().unwrap();
    let outside = tempfile::tempdir_in(&here).unwrap();
    let relative = outside.path().strip_prefix(&here).unwrap();
    let store = AttachmentStore::open(relative).unwrap();
    let staged = store.stage_bytes("a", "a", Ttl::default()).await.unwrap();
    assert!(staged.path.is_absolute() && staged.path.exists());
}

#[test]
fn a_directory_with_a_comma_in_its_path_is_refused() {
    let outside = tempfile::tempdir().unwrap();
    for directory in ["a,b", "a,b/store", "store,"] {
        let directory = outside.path().join(directory);
        let error = AttachmentStore::open(&directory).unwrap_err();
        assert_eq!(error.classification().class, ErrorClass::InvalidRequest);
        let text = error.to_string();
        assert!(text.contains(directory.to_str().unwrap()), "{text}");
        assert!(text.contains("comma"), "{text}");
    }
    assert!(names_in(outside.path()).is_empty(), "nothing is created");
}

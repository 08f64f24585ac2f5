//! What another crate can build and serialize, for instance for a fake store or cleanup service.

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use codex_telemetry::{
    CallContext, ErrorClass,
    attachment::{
        Attachment, AttachmentError, CleanupFailure, CleanupReport, CleanupRequest, Expiry,
    },
};
use serde_json::{json, to_value};
use tower::{ServiceExt, service_fn};

use crate::support::start;

#[test]
fn an_attachment_is_serialized_with_its_expiry_as_a_text() {
    let mut attachment = Attachment::new("/store/ab-a.txt", "a.txt", "ab", 3, Expiry::Infinite);
    attachment.expiry = Expiry::At(start());
    assert_eq!(
        to_value(&attachment).unwrap(),
        json!({
            "path": "/store/ab-a.txt",
            "name": "a.txt",
            "hash": "ab",
            "size": 3,
            "expiry": "2027-01-15T08:00:00Z",
        })
    );
    attachment.path = Path::new(OsStr::from_bytes(b"/\xff/a")).to_owned();
    assert_eq!(to_value(&attachment).unwrap()["path"], "/\u{fffd}/a");
}

#[test]
fn every_expiry_is_serialized() {
    let far = SystemTime::now() + Duration::from_secs(400_000_000_000);
    for (expiry, text) in [
        (Expiry::Infinite, "infinite"),
        (Expiry::Persistent, "persistent"),
        (
            Expiry::At(start() + Duration::from_nanos(5)),
            "2027-01-15T08:00:00.000000005Z",
        ),
        // RFC 3339 and humantime cannot express these.
        (
            Expiry::At(UNIX_EPOCH - Duration::from_secs(1)),
            "1970-01-01T00:00:00Z",
        ),
        (Expiry::At(far), "2200-01-01T00:00:00Z"),
    ] {
        assert_eq!(to_value(expiry).unwrap(), json!(text));
    }
}

#[test]
fn a_report_is_serialized_with_its_failures() {
    let mut report = CleanupReport::default();
    report.removed = 2;
    report.leftovers = 1;
    report.removed_bytes = 10;
    report.kept = 3;
    report.leased = 1;
    report.failed = 1;
    report.failures = vec![CleanupFailure::new("ab-a.txt", "permission denied")];
    assert_eq!(
        to_value(report).unwrap(),
        json!({
            "removed": 2,
            "leftovers": 1,
            "removed_bytes": 10,
            "kept": 3,
            "leased": 1,
            "failed": 1,
            "failures": [{ "file_name": "ab-a.txt", "error": "permission denied" }],
        })
    );
}

#[tokio::test]
async fn a_fake_cleanup_service_can_read_the_request_and_return_a_report() {
    let fake = service_fn(|request: CleanupRequest| async move {
        assert_eq!(request.context.thread_id(), Some("thread"));
        let mut report = CleanupReport::default();
        report.removed = u64::from(request.everything);
        report.kept = u64::from(request.now == Some(start()));
        Ok::<_, AttachmentError>(report)
    });
    let request = CleanupRequest::everything()
        .at(start())
        .with_context(CallContext::new().with_thread_id("thread"));
    let report = fake.oneshot(request).await.unwrap();
    assert_eq!((report.removed, report.kept), (1, 1));
}

#[test]
fn every_error_can_be_built_and_says_what_to_do() {
    let source = || io::Error::from(io::ErrorKind::PermissionDenied);
    let name = || "a.txt".to_owned();
    #[rustfmt::skip]
    let errors = [
        (AttachmentError::InvalidName { name: "a/b".into(), reason: "it contains a path separator" },
            r#"invalid attachment name "a/b": it contains a path separator; use a bare file name"#),
        (AttachmentError::InvalidDirectory { path: "/a,b".into(), reason: "the path has a comma" },
            "attachments in /a,b could not be used: the path has a comma; use another directory"),
        (AttachmentError::LockTimeout { path: "/a/.lock".into(), timeout: Duration::from_secs(30) },
            "the lock /a/.lock was held for 30s by another process: find it with `lslocks`, resume or end it, \
             and try again"),
        (AttachmentError::TooLarge { name: name(), limit: 5 },
            r#"attachment "a.txt" is larger than 5 bytes: stage less, or raise the store's `max_size`"#),
        (AttachmentError::NotFound { path: "/a/b".into() },
            "the attachment /a/b is gone: stage it again"),
        (AttachmentError::NotAFile { path: "/dev/null".into() },
            "/dev/null is not a regular file: read it and stage the bytes"),
        (AttachmentError::Io { action: "read", path: "/a".into(), source: source() },
            "cannot read /a: grant this process access"),
        (AttachmentError::Interrupted,
            "the tokio runtime shut down before the operation finished: repeat it on another one"),
    ];
    for (error, text) in errors {
        assert_eq!(error.to_string(), text);
    }
    let error = AttachmentError::Io {
        action: "sweep the attachments in",
        path: "/a".into(),
        source: source(),
    };
    assert_eq!(
        error.to_string(),
        "cannot sweep the attachments in /a: grant this process access"
    );
    let interrupted = AttachmentError::Interrupted.classification();
    assert_eq!(interrupted.class, ErrorClass::Interrupted);
}

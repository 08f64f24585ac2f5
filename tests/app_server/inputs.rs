//! What the server gets of a request's prompt.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

use codex_telemetry::turn::{TurnError, TurnRequest};
use serde_json::{Value, json};

use crate::support::Rig;

/// Keeps the request of the turn.
const KEEP: &str =
    r#"turn() { printf '%s' "$line" >$FAKE_DIRECTORY/asked; end completed; }; serve"#;

#[tokio::test]
async fn a_file_is_a_line_below_the_prompt_and_an_image_an_input_of_its_own() {
    let rig = Rig::new(KEEP);
    let (image, notes) = (
        rig.directory().join("plot.png"),
        rig.directory().join("the notes.txt"),
    );
    fs::write(&image, "png").unwrap();
    fs::write(&notes, "plum").unwrap();
    let request = TurnRequest::new("Sum it up")
        .with_file(&notes)
        .with_image(&image);
    rig.run(request).await.unwrap();
    let asked = fs::read(rig.directory().join("asked")).unwrap();
    let asked: Value = serde_json::from_slice(&asked).unwrap();
    let text = format!(
        "Sum it up\n\nFiles attached by the user:\n- the notes.txt: {}",
        notes.display()
    );
    assert_eq!(
        asked["params"]["input"],
        json!([
            {"type": "localImage", "path": image},
            {"type": "text", "text": text, "text_elements": []},
        ])
    );
}

#[tokio::test]
async fn a_file_that_the_prompt_cannot_name_is_named_in_the_error_and_starts_no_server() {
    let rig = Rig::new("serve");
    let file = |name: &[u8]| {
        let path = rig.directory().join(OsStr::from_bytes(name));
        fs::write(&path, "plum").unwrap();
        path
    };
    for (path, named) in [
        ("/no/such.txt".into(), "/no/such.txt is not a file"),
        (file(b"a\nb.txt"), r"/a\nb.txt has a control character"),
        (file(b"caf\xe9.txt"), "has a path that is not UTF-8"),
    ] {
        let request = TurnRequest::new("Sum it up").with_file(path);
        let error = rig.run(request).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, TurnError::InvalidRequest { .. }), "{text}");
        assert!(text.contains(named), "{text}");
    }
    assert!(rig.servers().is_empty());
}

//! The prompt that Codex gets, and the files that go with it.

use std::{
    borrow::Cow,
    path::{self, Path},
};

use super::TurnRequest;

/// Returns the MIME type of an image, by the extension of its name; `None` for any other file.
pub(crate) fn image_type(name: &Path) -> Option<&'static str> {
    let extension = name.extension()?.to_str()?.to_ascii_lowercase();
    match &*extension {
        "png" => Some("image/png"),
        "jpg" | "jpeg" => Some("image/jpeg"),
        "gif" => Some("image/gif"),
        "webp" => Some("image/webp"),
        _ => None,
    }
}

/// Returns the prompt that Codex gets: the one of the request, and a line for each of its files.
///
/// [`wrong_file`] says which files cannot have such a line.
pub(super) fn with_files(request: &TurnRequest) -> Cow<'_, str> {
    let mut files = request.files().peekable();
    if files.peek().is_none() {
        return request.prompt().into();
    }
    let mut prompt = format!("{}\n\nFiles attached by the user:", request.prompt());
    for (name, path) in files {
        // There is no absolute path of an empty one, which is no file.
        let path = path::absolute(path).unwrap_or_else(|_| path.to_owned());
        prompt.push_str(&format!("\n- {name}: {}", path.display()));
    }
    prompt.into()
}

/// Returns what is wrong with a file of a prompt, whose line would name another one or be more than a line.
pub(super) fn wrong_file(name: &str, path: &Path) -> Option<&'static str> {
    let path = path::absolute(path);
    let Some(path) = path.as_ref().map_or(Some(""), |path| path.to_str()) else {
        return Some("has a path that is not UTF-8, as the prompt is: rename it");
    };
    // The separators of lines and paragraphs are no control characters.
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if path.contains(breaks) || name.contains(breaks) {
        return Some(
            "has a control character or a line separator in its path or name, which would be text of the prompt: \
             rename it",
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_prompt_without_files_is_the_one_of_the_request() {
        let request = TurnRequest::new("Go").with_image("/a.png");
        assert!(matches!(with_files(&request), Cow::Borrowed("Go")));
    }

    #[test]
    fn a_prompt_with_files_has_a_line_for_each_with_its_absolute_path() {
        let request = TurnRequest::new("Go")
            .with_file("/a/notes.txt")
            .with_file("b/../c.md");
        let here = std::env::current_dir().unwrap();
        let expected = format!(
            "Go\n\nFiles attached by the user:\n- notes.txt: /a/notes.txt\n- c.md: {}/b/../c.md",
            here.display()
        );
        assert_eq!(with_files(&request), expected);
        assert_eq!(request.prompt(), "Go");
    }

    #[test]
    fn an_image_is_known_by_the_extension_of_its_name_in_any_case() {
        for (name, kind) in [
            ("a.png", Some("image/png")),
            ("a b.PNG", Some("image/png")),
            ("a.txt.Jpg", Some("image/jpeg")),
            ("a.jpeg", Some("image/jpeg")),
            ("a.gif", Some("image/gif")),
            ("a.webp", Some("image/webp")),
            ("a.png.txt", None),
            ("a.svg", None),
            (".png", None),
            ("png", None),
            ("", None),
        ] {
            assert_eq!(image_type(Path::new(name)), kind, "{name}");
        }
    }

    #[test]
    fn a_file_whose_line_would_break_or_name_another_one_is_wrong() {
        for (name, path) in [
            ("a\nb", "/a"),
            ("a", "/a\nb"),
            ("a", "/a\r/b"),
            ("a\u{1b}[2K", "/a"),
            ("a\u{85}b", "/a"),
            ("a", "/a\u{2028}b"),
            ("a\u{2029}b", "/a"),
        ] {
            let wrong = wrong_file(name, Path::new(path)).unwrap();
            assert!(wrong.contains("line separator"), "{name:?} {path:?}");
        }
        let bytes = Path::new(OsStr::from_bytes(b"/caf\xe9"));
        assert!(wrong_file("a", bytes).unwrap().contains("UTF-8"));
        assert_eq!(wrong_file("ä b: c", Path::new("/ä b/c, d")), None);
    }

    proptest! {
        #[test]
        fn a_file_that_is_not_wrong_is_one_line_that_ends_with_its_path(
            name in any::<String>(),
            path in "/\\PC{0,9}|[a-z/]{1,9}|/(?s:.){1,9}",
        ) {
            let path = PathBuf::from(path);
            prop_assume!(wrong_file(&name, &path).is_none());
            let request = TurnRequest::new("Go").with_named_file(&name, &path);
            let prompt = with_files(&request).into_owned();
            let mut lines = prompt.lines().skip(3);
            let absolute = path::absolute(&path).unwrap();
            let line = format!("- {name}: {}", absolute.to_str().unwrap());
            prop_assert_eq!(lines.next(), Some(&*line));
            prop_assert_eq!(lines.next(), None);
        }
    }
}

//! What the pages contain, without a browser.

use std::process::{Command, Stdio};

use crate::lines::{Call, every_kind, timeline};

/// A name that would end an attribute, an element, a style and a comment.
pub(crate) const NAME: &str =
    r#""'><script>alert(1)</script></style></svg><img src=x onerror=alert(2)>&amp;]]>--"#;

#[test]
fn a_name_is_text_in_both_pages() {
    let named = timeline(&[Call::new("codex.tool", 1).named(NAME).ok(5)]);
    for page in [named.to_svg(), named.to_html()] {
        assert!(
            !page.contains("<script") && !page.contains("<img"),
            "{page}"
        );
        assert!(page.contains("&lt;script&gt;"), "{page}");
        assert_eq!(page.matches("</style>").count(), 1, "{page}");
    }
}

#[test]
fn a_page_has_no_script_no_font_and_no_address_but_the_name_of_svg() {
    let timeline = timeline(&every_kind());
    for page in [timeline.to_svg(), timeline.to_html()] {
        let page = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for part in [
            "<script",
            "@font-face",
            "@import",
            "href",
            "src=",
            "://",
            "javascript:",
        ] {
            assert!(!page.contains(part), "{part} is in {page}");
        }
        // References to the fills in the page itself.
        assert!(
            page.split("url(")
                .skip(1)
                .all(|rest| rest.starts_with("#p-"))
        );
    }
    assert!(
        timeline
            .to_html()
            .contains("content=\"default-src 'none'; style-src 'unsafe-inline'\"")
    );
}

#[test]
fn the_svg_is_well_formed_xml() {
    let hostile = Call::new("codex.tool", 9).named(&format!("{NAME}\u{fffe}\u{0}"));
    let lines = [every_kind(), vec![hostile.ok(5)]].concat();
    let svg = timeline(&lines).to_svg();
    let parser = Command::new("python3")
        .args([
            "-c",
            "import sys, xml.etree.ElementTree as e; e.parse(sys.stdin)",
        ])
        .stdin(Stdio::piped())
        .spawn();
    let Ok(mut parser) = parser else {
        eprintln!("skipped: python3 is not on PATH");
        return;
    };
    std::io::Write::write_all(&mut parser.stdin.take().unwrap(), svg.as_bytes()).unwrap();
    assert!(parser.wait().unwrap().success(), "{svg}");
}

#[test]
fn an_empty_timeline_is_a_page_that_says_so() {
    let empty = timeline(&[]);
    assert!(empty.to_svg().contains(">(no events)<"));
    assert!(empty.to_html().contains(">(no events)<"));
}

//! The pages in a real browser: what it lays out, paints and loads.
//!
//! Without Chromium these tests pass without doing anything, and say so. `scripts/browser` requires it.

mod chromium;
mod page;

use std::{fs, path::Path};

use codex_telemetry::{Phase, Timeline};
use serde_json::Value;

use self::{
    chromium::Chromium,
    page::{Box, Page, Row},
};
use crate::{
    lines::{Call, TRACE, every_kind, timeline},
    pages::NAME,
};

const SCHEMES: [&str; 2] = ["light", "dark"];

/// What was drawn, which has a name that would be markup, in each kind of page and each scheme of colours.
fn pages(lines: &[Value]) -> Vec<(String, Page)> {
    let Some(mut chromium) = Chromium::start() else {
        return Vec::new();
    };
    let timeline = timeline(lines);
    let directory = tempfile::tempdir().unwrap();
    let mut pages = Vec::new();
    for (kind, text) in kinds(&timeline) {
        let path = directory.path().join(format!("timeline.{kind}"));
        fs::write(&path, text).unwrap();
        for scheme in SCHEMES {
            let page = chromium.open(&path, scheme);
            screenshot(&mut chromium, &format!("{kind}-{scheme}.png"));
            pages.push((format!("{kind}, {scheme}"), page));
        }
    }
    pages
}

fn kinds(timeline: &Timeline) -> [(&'static str, String); 2] {
    [("svg", timeline.to_svg()), ("html", timeline.to_html())]
}

/// Writes what the browser shows to the directory that a person has asked for.
fn screenshot(chromium: &mut Chromium, name: &str) {
    if let Some(directory) = std::env::var_os("CODEX_TELEMETRY_SCREENSHOTS") {
        fs::write(Path::new(&directory).join(name), chromium.screenshot()).unwrap();
    }
}

/// Every kind of call, a hostile name, and a second trace whose labels, results and legend are as long as they get.
fn many_kinds() -> Vec<Value> {
    let hostile = Call::new("codex.tool", 20).inside(1).named(NAME).at(400);
    let long_time = 100 * 86_400_000_u64;
    let phases: Vec<_> = Phase::ALL
        .iter()
        .map(|phase| (*phase, long_time as f64))
        .collect();
    let long = Call::new("codex.turn", 1)
        .in_trace(7)
        .named(&"検索w".repeat(40));
    let long = long
        .with("error_class", "approval_denied")
        .with_phases(&phases);
    let mut lines = every_kind();
    lines.push(hostile.ok(100));
    lines.push(long.failed("error", 7 * long_time));
    lines
}

fn row<'a>(page: &'a Page, label: &str) -> &'a Row {
    let mut rows = page.rows.iter();
    let found = rows.find(|row| row.title.starts_with(label));
    found.unwrap_or_else(|| panic!("{label} is missing in {:#?}", page.rows))
}

fn is_near(left: f64, right: f64) -> bool {
    (left - right).abs() < 0.01
}

#[test]
fn the_boxes_of_a_turn_are_adjacent_and_add_up_to_its_bar_in_the_proportions_of_its_phases() {
    let parts = [
        ("wait", 100.0),
        ("startup", 200.0),
        ("model", 250.5),
        ("retry", 99.5),
        ("model", 50.0),
        ("tools", 150.0),
        ("other", 50.0),
        ("approval", 100.0),
    ];
    for (page_name, page) in pages(&many_kinds()) {
        let boxes = &row(&page, "codex.turn reviewer").boxes;
        let fills: Vec<_> = boxes.iter().map(|it| it.fill.as_str()).collect();
        assert_eq!(fills, parts.map(|(fill, _)| fill), "{page_name}");
        for pair in boxes.windows(2) {
            assert!(
                is_near(pair[0].right(), pair[1].left),
                "{page_name}: {pair:?}"
            );
        }
        let (first, last) = (boxes.first().unwrap(), boxes.last().unwrap());
        let whole = last.right() - first.left;
        let sum: f64 = boxes.iter().map(|it| it.width).sum();
        assert!(is_near(sum, whole), "{page_name}: {sum} of {whole}");
        for (it, (_, millis)) in boxes.iter().zip(parts) {
            assert!(
                is_near(it.width, whole * millis / 1000.0),
                "{page_name}: {it:?}"
            );
        }
        // The bar of the call at the end of it ends where the turn does.
        let open = &row(&page, "codex.tool publish").boxes[0];
        assert!(is_near(open.right(), last.right()), "{page_name}: {open:?}");
    }
}

#[test]
fn everything_is_inside_the_view_and_no_text_is_on_a_bar_or_on_another() {
    for (page_name, page) in pages(&many_kinds()) {
        assert_eq!(page.rows.len(), 9, "{page_name}");
        for row in &page.rows {
            let mut parts: Vec<&Box> = row.texts.iter().chain(&row.boxes).collect();
            parts.sort_by(|one, other| one.left.total_cmp(&other.left));
            for pair in parts.windows(2) {
                assert!(
                    pair[0].right() < pair[1].left + 0.01,
                    "{page_name}: {pair:#?}"
                );
            }
        }
        for it in page
            .texts
            .iter()
            .chain(page.rows.iter().flat_map(|row| &row.boxes))
        {
            let is_inside = |view: &Box| {
                it.left >= view.left
                    && it.right() <= view.right()
                    && it.top >= view.top
                    && it.bottom() <= view.bottom()
            };
            assert!(
                page.views.iter().any(is_inside),
                "{page_name}: {it:?} in {:?}",
                page.views
            );
        }
    }
}

#[test]
fn nothing_is_loaded_or_run_and_the_browser_complains_of_nothing() {
    for (page_name, page) in pages(&many_kinds()) {
        assert_eq!(page.requests.len(), 1, "{page_name}: {:?}", page.requests);
        assert!(
            page.requests[0].starts_with("file://"),
            "{page_name}: {:?}",
            page.requests
        );
        assert_eq!(page.complaints, Vec::<String>::new(), "{page_name}");
        assert_eq!(page.foreign_elements, 0, "{page_name}");
    }
}

#[test]
fn a_tooltip_has_the_whole_name_as_text_and_the_times() {
    for (page_name, page) in pages(&many_kinds()) {
        let expected =
            format!("codex.tool {NAME}, 100.000 ms, ok, 400.000 ms after the start of the trace");
        assert_eq!(row(&page, "codex.tool \"'>").title, expected, "{page_name}");
        let boxes = &row(&page, "codex.turn reviewer").boxes;
        let expected = "startup: 200.000 ms, from 100.000 ms to 300.000 ms of the turn";
        assert_eq!(boxes[1].title, expected, "{page_name}");
    }
}

#[test]
fn each_scheme_has_its_colours_and_a_text_that_can_be_read() {
    for (page_name, page) in pages(&many_kinds()) {
        let background = page.background.expect("a colour");
        let is_dark = background.luminance() < 0.2;
        assert_eq!(
            is_dark,
            page_name.ends_with("dark"),
            "{page_name}: {background:?}"
        );
        for text in &page.texts {
            // What WCAG asks of a text.
            let contrast = text.color.expect("a colour").contrast(background);
            assert!(contrast >= 4.5, "{page_name}: {contrast} of {text:?}");
        }
    }
}

#[test]
fn each_phase_has_a_fill_that_exists_and_an_open_call_has_an_outline() {
    for (page_name, page) in pages(&many_kinds()) {
        for it in page.rows.iter().flat_map(|row| &row.boxes) {
            let is_phase = Phase::ALL.iter().any(|phase| phase.as_str() == it.fill);
            assert_eq!(it.has_pattern, is_phase, "{page_name}: {it:?}");
            assert_eq!(it.is_outlined, it.fill == "open", "{page_name}: {it:?}");
            assert!(it.width >= 0.99, "{page_name}: {it:?}");
        }
    }
}

#[test]
fn a_page_of_no_trace_says_so() {
    for (page_name, page) in pages(&[]) {
        assert!(page.rows.is_empty(), "{page_name}");
        assert!(
            page.content.contains("(no events)"),
            "{page_name}: {}",
            page.content
        );
    }
    // That of a trace has its id.
    for (page_name, page) in pages(&many_kinds()) {
        assert!(page.content.contains(TRACE), "{page_name}");
    }
}

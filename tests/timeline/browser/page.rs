//! What the browser has made of a page.

use serde_json::Value;

/// Collects the boxes of the layout, as JSON.
pub(super) const COLLECT: &str = r##"(() => {
    const box = (it) => {
        const {left, top, width, height} = it.getBoundingClientRect();
        const style = getComputedStyle(it);
        const title = it.querySelector(":scope > title");
        const pattern = /url\("?#([^")]+)"?\)/.exec(style.fill);
        return {
            left, top, width, height,
            fill: it.dataset.fill ?? "",
            title: title?.textContent ?? "",
            color: style.fill,
            has_pattern: pattern !== null && document.getElementById(pattern[1])?.localName === "pattern",
            is_outlined: style.strokeDasharray !== "none",
        };
    };
    const all = (root, selector) => [...root.querySelectorAll(selector)];
    const views = all(document, "svg").concat(document.documentElement.localName === "svg" ? [document.documentElement] : []);
    const painted = document.querySelector(".bg");
    return {
        rows: all(document, "g.row").map((row) => ({
            title: row.querySelector(":scope > title").textContent,
            boxes: all(row, "rect").map(box),
            texts: all(row, "text").map(box),
        })),
        texts: all(document, "text").map(box),
        views: views.map(box),
        background: painted ? getComputedStyle(painted).fill : getComputedStyle(document.body).backgroundColor,
        foreign_elements: all(document, "script, img, iframe, object, foreignObject, image, use, a").length,
        content: (document.body ?? document.documentElement).textContent,
    };
})()"##;

#[derive(Debug)]
pub(super) struct Page {
    pub(super) rows: Vec<Row>,
    /// All texts, also those of headings and legends.
    pub(super) texts: Vec<Box>,
    /// The pictures.
    pub(super) views: Vec<Box>,
    pub(super) background: Option<Color>,
    /// Elements that could load or run something.
    pub(super) foreign_elements: u64,
    pub(super) content: String,
    /// The addresses that the page has asked for.
    pub(super) requests: Vec<String>,
    /// Messages of the console, exceptions and dialogs.
    pub(super) complaints: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) title: String,
    pub(super) boxes: Vec<Box>,
    pub(super) texts: Vec<Box>,
}

/// An element of the layout, in pixels.
#[derive(Debug)]
pub(super) struct Box {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) fill: String,
    pub(super) title: String,
    pub(super) color: Option<Color>,
    pub(super) has_pattern: bool,
    pub(super) is_outlined: bool,
}

/// Red, green and blue, from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Color([f64; 3]);

// === impl Page ===

impl Page {
    pub(super) fn new(page: &Value, requests: Vec<String>, complaints: Vec<String>) -> Self {
        Self {
            rows: each(&page["rows"], Row::new),
            texts: each(&page["texts"], Box::new),
            views: each(&page["views"], Box::new),
            background: Color::parse(&text(&page["background"])),
            foreign_elements: page["foreign_elements"].as_u64().unwrap(),
            content: text(&page["content"]),
            requests,
            complaints,
        }
    }
}

// === impl Row ===

impl Row {
    fn new(row: &Value) -> Self {
        Self {
            title: text(&row["title"]),
            boxes: each(&row["boxes"], Box::new),
            texts: each(&row["texts"], Box::new),
        }
    }
}

// === impl Box ===

impl Box {
    fn new(it: &Value) -> Self {
        let number = |key: &str| it[key].as_f64().unwrap();
        Self {
            left: number("left"),
            top: number("top"),
            width: number("width"),
            height: number("height"),
            fill: text(&it["fill"]),
            title: text(&it["title"]),
            color: Color::parse(&text(&it["color"])),
            has_pattern: it["has_pattern"].as_bool().unwrap(),
            is_outlined: it["is_outlined"].as_bool().unwrap(),
        }
    }

    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

// === impl Color ===

impl Color {
    /// Returns the colour of `rgb(1, 2, 3)`, and `None` for a pattern.
    fn parse(text: &str) -> Option<Self> {
        let numbers = text.strip_prefix("rgb(")?.strip_suffix(')')?;
        let mut numbers = numbers.split(", ").map(|number| number.parse::<f64>());
        let mut next = || Some(numbers.next()?.ok()? / 255.0);
        Some(Self([next()?, next()?, next()?]))
    }

    /// Returns the relative luminance, as WCAG defines it.
    pub(super) fn luminance(self) -> f64 {
        let linear = |c: f64| {
            if c <= 0.04045 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        };
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// Returns the contrast ratio of two colours, as WCAG defines it.
    pub(super) fn contrast(self, other: Self) -> f64 {
        let (one, other) = (self.luminance() + 0.05, other.luminance() + 0.05);
        one.max(other) / one.min(other)
    }
}

fn each<T>(values: &Value, new: impl Fn(&Value) -> T) -> Vec<T> {
    values.as_array().unwrap().iter().map(new).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

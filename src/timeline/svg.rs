//! A trace as SVG. Lengths are in thousandths of a pixel, so that adjacent boxes share their edge exactly.

use std::{fmt::Write, time::Duration};

use super::{
    columns::{columns, shortened},
    fill::Fill,
    label::Style,
    legend::Legend,
    markup::escaped,
    row::{Row, Segment, millis_text},
    trace::Trace,
};

/// A pixel.
const PX: u64 = 1000;

/// More than a character of a monospaced font of 12 pixels takes.
const CHAR: u64 = 7 * PX + 300;

const MARGIN: u64 = 16 * PX;
const GAP: u64 = 14 * PX;
const LINE: u64 = 22 * PX;
const BAR_WIDTH: u64 = 520 * PX;
const BAR_HEIGHT: u64 = 14 * PX;
const SAMPLE: u64 = 14 * PX;

/// The baseline of a text in its line.
const BASELINE: u64 = 15 * PX;

/// The most columns of a label with its indentation, and of a result.
const MAX_LABEL: usize = 64;
const MAX_RESULT: usize = 40;

/// The colours, for a light and for a dark page, and the shapes of the fills.
pub(super) const STYLE: &str = "\
.t{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono',monospace;fill:#1f2328;white-space:pre}
.b{font-weight:700}.m{fill:#59636e}.bg{fill:#fff}
.h{fill:none;stroke:#000;stroke-opacity:.45}.d{fill:#000;fill-opacity:.5}
.f-wait{fill:#d0d7de}.f-startup{fill:#7cc4ef}.f-model{fill:#0072b2}.f-tools{fill:#00a37a}
.f-approval{fill:#f0b429}.f-retry{fill:#dd8bb8}.f-other{fill:#c4c4c4}
.f-ok{fill:#8094a8}.f-error{fill:#d1242f}.f-cancelled{fill:#9a6700}.f-panic{fill:#8250df}
.f-open{fill:#8094a8;fill-opacity:.15;stroke:#57606a;stroke-dasharray:3 2}
@media(prefers-color-scheme:dark){
.t{fill:#e6edf3}.m{fill:#9198a1}.bg{fill:#0d1117}
.f-wait{fill:#656c76}.f-model{fill:#3d9be0}.f-tools{fill:#1fb78d}.f-other{fill:#8b8b8b}
.f-ok{fill:#8094a8}.f-error{fill:#f85149}.f-cancelled{fill:#d29922}.f-panic{fill:#a371f7}
.f-open{stroke:#9198a1}}";

/// The fills of the phases. A model's is the only one without a shape in it.
pub(super) const PATTERNS: &str = "\
<pattern id=\"p-wait\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><rect class=\"f-wait\" width=\"6\" height=\"6\"/><circle class=\"d\" cx=\"3\" cy=\"3\" r=\"1\"/></pattern>
<pattern id=\"p-startup\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><rect class=\"f-startup\" width=\"6\" height=\"6\"/><path class=\"h\" d=\"M-1 7 7-1M-1 1 1-1M5 7 7 5\"/></pattern>
<pattern id=\"p-model\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><rect class=\"f-model\" width=\"6\" height=\"6\"/></pattern>
<pattern id=\"p-tools\" width=\"4\" height=\"6\" patternUnits=\"userSpaceOnUse\"><rect class=\"f-tools\" width=\"4\" height=\"6\"/><path class=\"h\" d=\"M2 0V6\"/></pattern>
<pattern id=\"p-approval\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><rect class=\"f-approval\" width=\"6\" height=\"6\"/><path class=\"h\" d=\"M0 0 6 6M6 0 0 6\"/></pattern>
<pattern id=\"p-retry\" width=\"8\" height=\"7\" patternUnits=\"userSpaceOnUse\"><rect class=\"f-retry\" width=\"8\" height=\"7\"/><path class=\"h\" d=\"M0 5 4 1 8 5\"/></pattern>
<pattern id=\"p-other\" width=\"6\" height=\"5\" patternUnits=\"userSpaceOnUse\"><rect class=\"f-other\" width=\"6\" height=\"5\"/><path class=\"h\" d=\"M0 2.5H6\"/></pattern>";

/// Where the parts of a line are.
struct Columns {
    label: usize,
    bar: u64,
    /// The right edge.
    duration: u64,
    result: u64,
    width: u64,
}

/// The picture of one trace.
pub(super) struct Picture {
    pub(super) width: u64,
    pub(super) height: u64,
    pub(super) content: String,
}

// === impl Picture ===

impl Picture {
    pub(super) fn new(trace: &Trace) -> Self {
        let columns = Columns::new(trace.rows());
        let mut picture = Self {
            width: columns.width,
            height: MARGIN / 2,
            content: String::new(),
        };
        let heading = format!("trace {}  {}", trace.id(), millis_text(trace.duration()));
        picture.text(MARGIN, "b", &heading);
        picture.width = picture.width.max(2 * MARGIN + text_width(&heading));
        picture.height += LINE;
        for row in trace.rows() {
            picture.row(row, trace.duration(), &columns);
            picture.height += LINE;
            if let Some(legend) = &row.legend {
                let left = MARGIN + CHAR * (2 + row.label.indent().min(MAX_LABEL / 2)) as u64;
                picture.legend(legend, left);
            }
        }
        picture.height += MARGIN / 2;
        picture
    }

    /// Returns a picture of no trace.
    fn empty() -> Self {
        let mut picture = Self {
            width: 320 * PX,
            height: MARGIN / 2,
            content: String::new(),
        };
        picture.text(MARGIN, "m", "(no events)");
        picture.height += LINE + MARGIN / 2;
        picture
    }

    /// Adds a text in the current line.
    fn text(&mut self, x: u64, class: &str, text: &str) {
        let (x, y) = (px(x), px(self.height + BASELINE));
        let text = escaped(text);
        self.add(format_args!(
            "<text class=\"t {class}\" x=\"{x}\" y=\"{y}\">{text}</text>\n"
        ));
    }

    fn row(&mut self, row: &Row, trace: Duration, columns: &Columns) {
        let duration = row.duration_text();
        let after = format!("{} after the start of the trace", millis_text(row.start));
        let title = [&row.label.full(), &duration, &row.result, &after];
        let title = title.map(String::as_str);
        let title = title.into_iter().filter(|part| !part.is_empty());
        let title = escaped(&title.collect::<Vec<_>>().join(", "));
        self.add(format_args!("<g class=\"row\"><title>{title}</title>\n"));

        let label = row.label.indented(columns.label, Style::Full);
        let x = MARGIN + CHAR * (label.len() - label.trim_start().len()) as u64;
        self.text(x, "", label.trim_start());
        self.bar(row, trace, columns.bar);
        if row.duration.is_some() {
            let (x, y) = (px(columns.duration), px(self.height + BASELINE));
            self.add(format_args!(
                "<text class=\"t m\" text-anchor=\"end\" x=\"{x}\" y=\"{y}\">{duration}</text>\n"
            ));
        }
        let class = match row.fill {
            Fill::Ended(crate::event::Outcome::Ok) | Fill::Open => "m".to_owned(),
            fill => format!("b f-{}", fill.name()),
        };
        self.text(columns.result, &class, &shortened(&row.result, MAX_RESULT));
        self.add(format_args!("</g>\n"));
    }

    /// Adds the bar of a row: a box for each stretch of a turn, and one box for another call.
    fn bar(&mut self, row: &Row, trace: Duration, left: u64) {
        let edge = |time: Duration| left + scaled(time, trace);
        // A pixel at least, so that every call is visible.
        let start = edge(row.start).min(left + BAR_WIDTH - PX);
        let end = match row.duration {
            Some(_) => edge(row.end).max(start + PX),
            None => left + BAR_WIDTH,
        };
        if edge(row.end).saturating_sub(edge(row.start)) < PX || row.segments.is_empty() {
            let longest = row.segments.iter().max_by_key(|it| it.end - it.start);
            let fill = longest.map_or(row.fill, |it| Fill::Phase(it.phase));
            self.rect("bar", fill, start, end, None);
            return;
        }
        for segment in &row.segments {
            let (start, end) = (edge(segment.start), edge(segment.end));
            if start < end {
                let title = segment_title(segment, row.start);
                let fill = Fill::Phase(segment.phase);
                self.rect("phase", fill, start, end, Some(&title));
            }
        }
    }

    /// Adds the lines of a legend, each item in one of them.
    fn legend(&mut self, legend: &Legend, left: u64) {
        let mut x = left;
        let mut is_first = true;
        for (phase, number) in &legend.parts {
            let text = format!("{phase} {number}");
            let plus = if is_first { 0 } else { 2 * CHAR };
            let end = x + plus + SAMPLE + CHAR + text_width(&text);
            if !is_first && end + MARGIN > self.width {
                self.height += LINE;
                x = left;
            }
            if !is_first {
                self.text(x, "m", "+");
                x += 2 * CHAR;
            }
            self.rect("sample", Fill::Phase(*phase), x, x + SAMPLE, None);
            x += SAMPLE + CHAR;
            self.text(x, "m", &text);
            x += text_width(&text) + CHAR;
            is_first = false;
        }
        let text = format!("= {}", legend.total);
        if x + text_width(&text) + MARGIN > self.width {
            self.height += LINE;
            x = left;
        }
        self.text(x, "m", &text);
        self.height += LINE;
    }

    /// Adds a box in the current line.
    fn rect(&mut self, class: &str, fill: Fill, start: u64, end: u64, title: Option<&str>) {
        let name = fill.name();
        let fill = match fill {
            Fill::Phase(_) => format!("fill=\"url(#p-{name})\""),
            _ => String::new(),
        };
        let class = if fill.is_empty() {
            format!("{class} f-{name}")
        } else {
            class.to_owned()
        };
        let (x, y) = (px(start), px(self.height + (LINE - BAR_HEIGHT) / 2));
        let (width, height) = (px(end - start), px(BAR_HEIGHT));
        self.add(format_args!(
            "<rect class=\"{class}\" data-fill=\"{name}\" {fill} x=\"{x}\" y=\"{y}\" \
             width=\"{width}\" height=\"{height}\""
        ));
        match title {
            Some(title) => self.add(format_args!("><title>{}</title></rect>\n", escaped(title))),
            None => self.add(format_args!("/>\n")),
        }
    }

    fn add(&mut self, markup: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.content.write_fmt(markup);
    }
}

// === impl Columns ===

impl Columns {
    fn new(rows: &[Row]) -> Self {
        let widest = |of: &dyn Fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or_default();
        let label = widest(&|row| row.label.columns(Style::Full)).min(MAX_LABEL);
        let duration = widest(&|row| columns(&row.duration_text()));
        let result = widest(&|row| columns(&row.result)).min(MAX_RESULT);
        let bar = MARGIN + CHAR * label as u64 + GAP;
        let duration = bar + BAR_WIDTH + GAP + CHAR * duration as u64;
        Self {
            label,
            bar,
            duration,
            result: duration + GAP,
            width: duration + GAP + CHAR * result as u64 + MARGIN,
        }
    }
}

/// Returns one SVG file with the pictures of all traces, one below the other.
pub(super) fn file(traces: &[Trace]) -> String {
    let mut pictures: Vec<_> = traces.iter().map(Picture::new).collect();
    if pictures.is_empty() {
        pictures.push(Picture::empty());
    }
    let width = pictures.iter().map(|it| it.width).max().unwrap_or_default();
    let height: u64 = pictures.iter().map(|it| it.height).sum();
    let mut content = String::new();
    let mut top = 0;
    for picture in &pictures {
        content += &format!(
            "<g class=\"trace\" transform=\"translate(0 {})\">\n{}</g>\n",
            px(top),
            picture.content
        );
        top += picture.height;
    }
    let (width, height) = (px(width), px(height));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>Timeline</title>\n\
         <style>\n{STYLE}\n</style>\n<defs>\n{PATTERNS}\n</defs>\n\
         <rect class=\"bg\" width=\"100%\" height=\"100%\"/>\n{content}</svg>\n"
    )
}

/// Returns the time of a stretch of a turn, and when it was in the turn.
fn segment_title(segment: &Segment, turn: Duration) -> String {
    let took = millis_text(segment.end.saturating_sub(segment.start));
    let from = millis_text(segment.start.saturating_sub(turn));
    let to = millis_text(segment.end.saturating_sub(turn));
    format!("{}: {took}, from {from} to {to} of the turn", segment.phase)
}

/// Returns the width of a text, or a little more.
fn text_width(text: &str) -> u64 {
    CHAR * columns(text) as u64
}

/// Returns the length of `time` on the bar of a trace.
fn scaled(time: Duration, trace: Duration) -> u64 {
    let scaled = time.as_nanos().saturating_mul(u128::from(BAR_WIDTH));
    let scaled = scaled.checked_div(trace.as_nanos()).unwrap_or_default();
    u64::try_from(scaled).map_or(BAR_WIDTH, |length| length.min(BAR_WIDTH))
}

/// Returns a length in pixels.
pub(super) fn px(thousandths: u64) -> String {
    let (whole, rest) = (thousandths / PX, thousandths % PX);
    if rest == 0 {
        whole.to_string()
    } else {
        format!("{whole}.{rest:03}")
    }
}

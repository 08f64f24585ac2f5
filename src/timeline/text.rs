//! A trace as text.

use super::{
    bar::Bar,
    color::Color,
    columns::{columns, padded, shortened},
    fill::Fill,
    label::Style,
    legend::Legend,
    row::{Row, millis_text},
    trace::Trace,
};

/// The number of columns of a bar that spans the whole trace, unless a width is asked for.
const BAR: usize = 32;

/// The number of columns of a line of a legend, unless a width is asked for.
const LEGEND: usize = 100;

/// The smallest width that can be asked for.
pub(super) const MIN_WIDTH: usize = 60;

/// What a label, a bar and a result keep, whatever the width is.
const MIN_LABEL: usize = 12;
const MIN_BAR: usize = 10;
const MIN_RESULT: usize = 4;

/// Labels are shortened before the bar gets smaller than this.
const GOOD_BAR: usize = 24;

/// The columns between the parts of a line: the margin, and two before the bar, the duration and the result.
const SPACES: usize = 2 + 2 + 2 + 2;

/// The number of columns of each part of a line.
struct Widths {
    label: usize,
    style: Style,
    bar: usize,
    duration: usize,
    result: usize,
    legend: usize,
}

/// Returns the lines of a trace, of at most `width` columns.
pub(super) fn render(trace: &Trace, width: Option<usize>, color: Color) -> String {
    let widths = Widths::new(trace.rows(), width);
    let heading = color.heading(&format!("trace {}", trace.id()));
    let mut text = format!("{heading}  {}\n", millis_text(trace.duration()));
    for row in trace.rows() {
        let bar = Bar::new(row, trace.duration(), widths.bar);
        let parts = bar.parts.iter();
        let drawn: String = parts.map(|(fill, part)| color.fill(*fill, part)).collect();
        text += &format!(
            "  {}  {}{drawn}{}  {:>duration$}  {}\n",
            padded(
                &row.label.indented(widths.label, widths.style),
                widths.label
            ),
            " ".repeat(bar.offset),
            " ".repeat(bar.after),
            row.duration_text(),
            color.fill(row.fill, &shortened(&row.result, widths.result)),
            duration = widths.duration,
        );
        if let Some(legend) = &row.legend {
            let indent = 4 + row.label.indent().min(widths.label / 2);
            text += &lines(legend, indent, widths.legend, color);
        }
    }
    text
}

/// Returns the legend of a turn: the character and the time of each phase, and the sum.
fn lines(legend: &Legend, indent: usize, width: usize, color: Color) -> String {
    let mut text = " ".repeat(indent);
    let mut column = indent;
    let mut add = |plain: &str, colored: &str, is_first: bool| {
        if !is_first && column + 1 + columns(plain) > width {
            text += &format!("\n{}", " ".repeat(indent));
            column = indent;
        } else if !is_first {
            text.push(' ');
            column += 1;
        }
        text += colored;
        column += columns(plain);
    };
    for (index, (phase, number)) in legend.parts.iter().enumerate() {
        let fill = Fill::Phase(*phase);
        let plus = if index == 0 { "" } else { "+ " };
        let sample = fill.character().to_string();
        let after = format!("{phase} {number}");
        let plain = format!("{plus}{sample} {after}");
        let colored = format!("{plus}{} {after}", color.fill(fill, &sample));
        add(&plain, &colored, index == 0);
    }
    let total = format!("= {}", legend.total);
    add(&total, &total, false);
    text + "\n"
}

// === impl Widths ===

impl Widths {
    fn new(rows: &[Row], width: Option<usize>) -> Self {
        let widest = |of: &dyn Fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or_default();
        let label = |style| widest(&|row| row.label.columns(style));
        let duration = widest(&|row| columns(&row.duration_text()));
        let result = widest(&|row| columns(&row.result));
        let Some(width) = width else {
            return Self {
                label: label(Style::Full),
                style: Style::Full,
                bar: BAR,
                duration,
                result,
                legend: LEGEND,
            };
        };
        // What is too long gives way in this order: labels, the bar, results.
        let width = width.max(MIN_WIDTH);
        let left = width.saturating_sub(SPACES + duration);
        let result = result.min(left.saturating_sub(MIN_LABEL + MIN_BAR).max(MIN_RESULT));
        let left = left.saturating_sub(result);
        let room = left.saturating_sub(GOOD_BAR).max(MIN_LABEL);
        let (style, label) = match label(Style::Full) {
            full if full <= room => (Style::Full, full),
            // The name tells more than the operation.
            _ => (Style::Brief, label(Style::Brief).min(room)),
        };
        Self {
            label,
            style,
            bar: left.saturating_sub(label).max(MIN_BAR),
            duration,
            result,
            legend: width,
        }
    }
}

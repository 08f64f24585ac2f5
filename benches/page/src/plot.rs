use crate::{figures::Figures, number::text, tables::added};

const WIDTH: f64 = 860.0;
const NAMES: f64 = 390.0;
const VALUES: f64 = 70.0;
const TOP: f64 = 64.0;
const ROW: f64 = 30.0;
const BAR: f64 = 18.0;

/// Supports light and dark pages. A viewer without support for dark pages uses the light style.
const STYLE: &str = "
    text { font: 14px system-ui, sans-serif; fill: #1f2328; }
    .title { font-size: 17px; font-weight: 600; }
    .note { fill: #59636e; font-size: 13px; }
    .page { fill: #ffffff; }
    .ours { fill: #0b6bcb; }
    .peer { fill: #9aa4ae; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .note { fill: #9198a1; }
      .page { fill: #0d1117; }
      .ours { fill: #4aa3ff; }
      .peer { fill: #6e7781; }
    }
";

/// Renders a bar for the time that each peer adds to a call, smallest first.
pub(crate) fn bars(figures: &Figures) -> String {
    let added: Vec<_> = added(figures)
        .into_iter()
        .map(|(name, adds)| (name, adds.median()))
        .collect();
    let max = added.iter().map(|(_, adds)| *adds).fold(1.0, f64::max);
    let scale = (WIDTH - NAMES - VALUES) / max;
    let height = TOP + ROW * added.len() as f64 + 12.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-labelledby=\"title\">\n\
         <title id=\"title\">What middleware adds to a call</title>\n\
         <style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
         <text class=\"title\" x=\"16\" y=\"28\">What middleware adds to a call</text>\n\
         <text class=\"note\" x=\"16\" y=\"49\">nanoseconds on the caller’s thread, compared to the \
         bare service; less is better</text>\n"
    );
    for (row, (name, adds)) in added.iter().enumerate() {
        let middle = TOP + ROW * (row as f64 + 0.5);
        let (top, baseline) = (middle - BAR / 2.0, middle + 5.0);
        // So that every bar is visible.
        let length = (adds * scale).max(1.0);
        let class = if name.starts_with("ours") {
            "ours"
        } else {
            "peer"
        };
        svg += &format!(
            "<text x=\"{}\" y=\"{baseline}\" text-anchor=\"end\">{}</text>\n\
             <rect class=\"{class}\" x=\"{NAMES}\" y=\"{top}\" width=\"{length:.1}\" \
             height=\"{BAR}\" rx=\"2\"/>\n\
             <text x=\"{:.1}\" y=\"{baseline}\">{}</text>\n",
            NAMES - 10.0,
            escaped(name),
            NAMES + length + 8.0,
            text(*adds),
        );
    }
    svg + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

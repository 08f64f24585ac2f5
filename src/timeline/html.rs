//! Traces as a page.

use super::{
    markup::escaped,
    svg::{PATTERNS, Picture, STYLE, px},
    trace::Trace,
};

/// Returns a page with a picture of each trace.
///
/// Its policy forbids the browser everything that is not in the page: there is nothing to load, and nothing that a name
/// could smuggle in is run.
pub(super) fn page(traces: &[Trace]) -> String {
    let mut content = String::new();
    if traces.is_empty() {
        content += "<p>(no events)</p>\n";
    }
    for trace in traces {
        let picture = Picture::new(trace);
        let (width, height) = (px(picture.width), px(picture.height));
        content += &format!(
            "<figure><svg class=\"trace\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\n{}</svg></figure>\n",
            escaped(&format!("trace {}", trace.id())),
            picture.content
        );
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Timeline</title>\n<style>\n\
         body{{margin:8px;background:#fff;color:#1f2328;font:12px monospace}}\n\
         figure{{margin:0 0 8px;overflow-x:auto}}\nsvg{{display:block}}\n{STYLE}\n\
         @media(prefers-color-scheme:dark){{body{{background:#0d1117;color:#e6edf3}}}}\n\
         </style>\n</head>\n<body>\n<svg width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>\n\
         {PATTERNS}\n</defs></svg>\n{content}</body>\n</html>\n"
    )
}

use crate::error::Error;

const START: &str = "<!-- generated: ";
const END: &str = "<!-- end -->";

/// Fills the template with the result of `generate` after each marker.
///
/// # Errors
///
/// Fails if a report has no marker, because it would be missing on the page.
pub(crate) fn fill(
    template: &str,
    reports: &[&str],
    mut generate: impl FnMut(&str) -> Result<String, Error>,
) -> Result<String, Error> {
    let mut page = String::new();
    let mut placed = Vec::new();
    for line in template.lines() {
        page += line;
        page.push('\n');
        let marker = line.strip_prefix(START);
        if let Some(marker) = marker.and_then(|rest| rest.strip_suffix(" -->")) {
            page += &format!("\n{}\n\n{END}\n", generate(marker)?.trim_end());
            placed.push(marker);
        }
    }
    for report in reports {
        let marker = format!("report {report}");
        if !placed.contains(&marker.as_str()) {
            return Err(Error::new(format!(
                "template.md has no line {START}{marker} -->"
            )));
        }
    }
    Ok(page)
}

/// Returns the template of a page: without the generated parts, but with their markers.
pub(crate) fn without_generated(page: &str) -> String {
    let mut template = String::new();
    let mut generated = false;
    for line in page.lines() {
        if !generated {
            template += line;
            template.push('\n');
        }
        generated = (generated || line.starts_with(START)) && line != END;
    }
    template
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_text_is_between_markers() {
        let template = "a\n<!-- generated: report x -->\nb\n";
        let page = fill(template, &["x"], |marker| Ok(format!("[{marker}]"))).unwrap();
        assert_eq!(
            page,
            "a\n<!-- generated: report x -->\n\n[report x]\n\n<!-- end -->\nb\n"
        );
    }

    #[test]
    fn a_filled_page_is_a_template_again() {
        let template = "a\n<!-- generated: x -->\nb\n";
        let page = fill(template, &[], |_| Ok("old".to_owned())).unwrap();
        assert_eq!(without_generated(&page), template);
    }

    #[test]
    fn a_report_without_a_marker_is_an_error() {
        let error = fill("a\n", &["memory"], |_| Ok(String::new())).unwrap_err();
        assert!(error.to_string().contains("report memory"), "{error}");
    }
}

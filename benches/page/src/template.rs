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

/// Replaces what is between one marker of a page and its end. What other programs generate stays.
///
/// # Errors
///
/// Fails if the page has no such marker, or no end after it.
pub(crate) fn replace(page: &str, marker: &str, generated: &str) -> Result<String, Error> {
    let marker = format!("{START}{marker} -->\n");
    let missing = |what: &str| Error::new(format!("a page has no line {}", what.trim_end()));
    let (before, after) = page.split_once(&marker).ok_or_else(|| missing(&marker))?;
    let (_, after) = after.split_once(END).ok_or_else(|| missing(END))?;
    Ok(format!(
        "{before}{marker}\n{}\n\n{END}{after}",
        generated.trim_end()
    ))
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
    fn what_others_generate_in_a_page_stays() {
        let page = "<!-- generated: turn -->\n\na turn\n\n<!-- end -->\n\
                    b\n<!-- generated: x -->\n\nold\n\n<!-- end -->\nc\n";
        let replaced = replace(page, "x", "new\n").unwrap();
        assert_eq!(replaced, page.replace("old", "new"));
    }

    #[test]
    fn a_page_without_the_marker_is_an_error() {
        assert!(replace("a\n", "x", "new").is_err());
        assert!(replace("<!-- generated: x -->\nold\n", "x", "new").is_err());
    }

    #[test]
    fn a_report_without_a_marker_is_an_error() {
        let error = fill("a\n", &["memory"], |_| Ok(String::new())).unwrap_err();
        assert!(error.to_string().contains("report memory"), "{error}");
    }
}

//! What is on the page.

/// RUNBOOK.md.
pub(crate) const PAGE: &str = include_str!("../../RUNBOOK.md");

/// A fenced block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    pub(crate) language: Language,
    /// The heading that it stands under.
    pub(crate) section: String,
    /// The number of its first line.
    pub(crate) line: usize,
    pub(crate) text: String,
    /// What it prints.
    pub(crate) result: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Language {
    Shell,
    /// Commands that go on until they are interrupted.
    LiveShell,
    /// Queries of Prometheus, with an empty line between them.
    PromQl,
    /// Queries of Tempo.
    TraceQl,
}

/// The blocks of a page, in their order, each together with its result.
///
/// # Errors
///
/// If a block is of no language that would be tried, or is the result of nothing.
pub(crate) fn blocks(page: &str) -> Result<Vec<Block>, String> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut has_result = true;
    let mut section = String::new();
    let mut lines = page.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        if let Some(heading) = line.strip_prefix('#') {
            section = heading.trim_start_matches('#').trim().to_owned();
        }
        let Some(info) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        if line.starts_with(' ') {
            return Err(format!("line {number}: a block that is indented"));
        }
        let mut text = String::new();
        loop {
            match lines.next() {
                Some(("```", _)) => break,
                Some((line, _)) => text.extend([line, "\n"]),
                None => return Err(format!("line {number}: a block without an end")),
            }
        }
        let language = match info {
            "sh" => Language::Shell,
            "sh live" => Language::LiveShell,
            "promql" => Language::PromQl,
            "traceql" => Language::TraceQl,
            "text" => {
                match blocks.last_mut() {
                    Some(block) if !has_result => block.result = text,
                    _ => return Err(format!("line {number}: no commands print this")),
                }
                has_result = true;
                continue;
            }
            other => return Err(format!("line {number}: nothing tries a block of {other:?}")),
        };
        has_result = !matches!(language, Language::Shell | Language::LiveShell);
        blocks.push(Block {
            language,
            section: section.clone(),
            line: number + 1,
            text,
            result: String::new(),
        });
    }
    Ok(blocks)
}

/// The cells of each row of the table under a heading, without its head.
pub(crate) fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = PAGE
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("there is no {heading}"));
    let rows = section.split("\n#").next().unwrap().lines();
    let rows = rows.filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.skip(1)
        .map(|row| row.split(" | ").map(str::trim).collect())
        .collect()
}

//! Parses the page: its fenced blocks and its tables.

/// RUNBOOK.md.
pub(crate) const PAGE: &str = include_str!("../../RUNBOOK.md");

/// The most lines of the page: somebody who was just woken up has to find their way.
const MAX_LINES: usize = 700;

/// A fenced block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    pub(crate) language: Language,
    /// The last heading before the block.
    pub(crate) section: String,
    /// The number of its first line.
    pub(crate) line: usize,
    pub(crate) text: String,
    /// The pattern of its output.
    pub(crate) output: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Language {
    Shell,
    /// Commands that run until they are interrupted.
    LiveShell,
    /// Prometheus queries, separated by an empty line.
    PromQl,
    /// Tempo queries, separated by an empty line.
    TraceQl,
}

/// Returns the blocks of a page in their order, each with its output.
///
/// # Errors
///
/// If no test covers the language of a block, or a block of output follows no commands.
pub(crate) fn blocks(page: &str) -> Result<Vec<Block>, String> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut expects_output = false;
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
            return Err(format!("line {number}: the block is indented"));
        }
        let mut text = String::new();
        loop {
            match lines.next() {
                Some(("```", _)) => break,
                Some((line, _)) => text.extend([line, "\n"]),
                None => return Err(format!("line {number}: the block is not closed")),
            }
        }
        let language = match info {
            "sh" => Language::Shell,
            "sh live" => Language::LiveShell,
            "promql" => Language::PromQl,
            "traceql" => Language::TraceQl,
            "text" => {
                match blocks.last_mut() {
                    Some(block) if expects_output => block.output = text,
                    _ => return Err(format!("line {number}: no commands print this output")),
                }
                expects_output = false;
                continue;
            }
            other => {
                return Err(format!(
                    "line {number}: no test covers the language {other:?}"
                ));
            }
        };
        expects_output = matches!(language, Language::Shell | Language::LiveShell);
        blocks.push(Block {
            language,
            section: section.clone(),
            line: number + 1,
            text,
            output: String::new(),
        });
    }
    Ok(blocks)
}

/// Returns the cells of each row of the table under a heading, without the table's head.
pub(crate) fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = PAGE
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("RUNBOOK.md has no heading {heading:?}"));
    let rows = section.split("\n#").next().unwrap().lines();
    let rows = rows.filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.skip(1)
        .map(|row| row.split(" | ").map(str::trim).collect())
        .collect()
}

#[test]
fn the_page_has_at_most_700_lines() {
    let lines = PAGE.lines().count();
    assert!(lines <= MAX_LINES, "RUNBOOK.md has {lines} lines");
}

#[test]
fn a_block_that_no_test_would_run_is_an_error() {
    for (page, error) in [
        ("```text\ntail -F file\n```\n", "no commands print this"),
        (
            "```sh\nls\n```\n```text\na\n```\n```text\nb\n```\n",
            "no commands print this",
        ),
        ("```\nls\n```\n", "no test covers"),
        ("```python\n```\n", "no test covers"),
        ("- so:\n  ```sh\n  ls\n  ```\n", "indented"),
        ("```sh\nls\n", "not closed"),
    ] {
        let found = blocks(page).unwrap_err();
        assert!(found.contains(error), "{page}: {found}");
    }
}

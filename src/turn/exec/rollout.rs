//! The usage of a thread, from the file that Codex keeps of it (its "rollout").
//!
//! Codex reports the running total of a resumed thread, so the share of one turn is the difference to the
//! total before. Only the file has that total: it includes turns that failed or were interrupted, which
//! report no usage.
//!
//! The format of the file is not documented and may change. A file that is missing or has another format
//! means that the total is unknown; it is never an error.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use super::decode;
use crate::turn::{Usage, wire::Fields};

/// The size of a read, in bytes.
const BLOCK: u64 = 256 * 1024;

/// How much of the end of the file is searched, in bytes.
const SEARCH_LIMIT: u64 = 64 * 1024 * 1024;

/// Returns what a thread has used, by the last total in its file.
pub(super) fn thread_usage(codex_home: &Path, thread_id: &str) -> Option<Usage> {
    let file = find(&codex_home.join("sessions"), thread_id, 3)?;
    last_total(&file, SEARCH_LIMIT).ok()?
}

/// Finds the file of a thread, `sessions/YYYY/MM/DD/rollout-TIME-THREAD.jsonl`.
fn find(directory: &Path, thread_id: &str, depth: u32) -> Option<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(directory)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    // The newest first: most threads are resumed soon.
    entries.sort_unstable_by(|a, b| b.cmp(a));
    if depth > 0 {
        return entries
            .iter()
            .find_map(|below| find(below, thread_id, depth - 1));
    }
    let ending = format!("-{thread_id}.jsonl");
    entries.into_iter().find(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("rollout-") && name.ends_with(&ending))
    })
}

/// Reads the file from its end, block by block, up to the last line with a total. It reads `limit` bytes,
/// rounded up to whole blocks.
fn last_total(path: &Path, limit: u64) -> io::Result<Option<Usage>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut start = length;
    // The end of a line that begins in an earlier block.
    let mut rest = Vec::new();
    while start > length.saturating_sub(limit) {
        let end = start;
        start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        Read::by_ref(&mut file)
            .take(end - start)
            .read_to_end(&mut block)?;
        block.append(&mut rest);
        let mut lines = block.split(|byte| *byte == b'\n');
        if start > 0 {
            rest = lines.next().unwrap_or_default().to_vec();
        }
        if let Some(total) = lines.rev().find_map(total) {
            return Ok(Some(total));
        }
    }
    Ok(None)
}

fn total(line: &[u8]) -> Option<Usage> {
    // Most lines are long and have no total, so they are not parsed.
    memchr::memmem::find(line, b"\"token_count\"")?;
    let event = Fields::from_line(line).ok()?;
    let payload = event.object("payload")?;
    let is_count = event.text("type")? == "event_msg" && payload.text("type")? == "token_count";
    let total = payload.object("info")?.object("total_token_usage")?;
    is_count.then(|| decode::usage(&total)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREAD: &str = "01a2021f-12be-7782-b2de-86dee0c040e2";

    fn line(tokens: u64) -> String {
        format!(
            r#"{{"type":"event_msg","payload":{{"type":"token_count","info":{{"total_token_usage":{{"input_tokens":{tokens},"output_tokens":1}}}}}}}}"#
        )
    }

    /// Writes a thread's file below a new `CODEX_HOME`.
    fn home_with(content: &str) -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let day = home.path().join("sessions/2026/11/22");
        fs::create_dir_all(&day).unwrap();
        let path = day.join(format!("rollout-2026-11-22T07-00-00-{THREAD}.jsonl"));
        fs::write(&path, content).unwrap();
        (home, path)
    }

    fn input_tokens(content: &str) -> Option<u64> {
        let (home, _) = home_with(content);
        thread_usage(home.path(), THREAD).map(|usage| usage.input_tokens)
    }

    #[test]
    fn the_last_total_counts_whatever_follows_it() {
        let filler = format!("{{\"type\":\"x\",\"text\":\"{}\"}}\n", "y".repeat(1000));
        for after in [0, 1, 255, 256, 300, 600] {
            let content = format!("{}\n{}\n{}", line(1), line(2), filler.repeat(after));
            assert_eq!(input_tokens(&content), Some(2), "{after} lines after it");
        }
    }

    #[test]
    fn a_total_before_the_search_limit_is_unknown() {
        let filler = "x".repeat(usize::try_from(BLOCK).unwrap());
        let (_home, path) = home_with(&format!("{}\n{filler}", line(1)));
        let found = |limit| last_total(&path, limit).unwrap().is_some();
        assert!(!found(BLOCK));
        assert!(found(BLOCK + 1));
    }

    #[test]
    fn a_missing_or_invalid_total_is_unknown() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(thread_usage(empty.path(), THREAD), None);
        assert_eq!(input_tokens(""), None);
        assert_eq!(input_tokens("\u{0}garbage \"token_count\" {"), None);
        let null = r#"{"type":"event_msg","payload":{"type":"token_count","info":null}}"#;
        assert_eq!(input_tokens(null), None);
        assert_eq!(input_tokens(&format!("{}\n{null}\n", line(7))), Some(7));
    }
}

//! What Codex wrote down about a thread: how many tokens it has used so far.
//!
//! On a resumed thread Codex tells the running total, so the turn's own share is the difference to
//! the total before it, which only the thread's file (its "rollout") knows: a turn that failed or was
//! interrupted in between has been counted there and was told nowhere.
//!
//! The file is Codex's own affair and may change. Whatever does not look as expected means that the
//! earlier total is not known, never an error.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::decode;
use crate::turn::Usage;

/// How much is read at a time, from the end.
const BLOCK: u64 = 256 * 1024;

/// How far back from the end the total is looked for.
const FARTHEST: u64 = 64 * 1024 * 1024;

/// The tokens that a thread had used, by the newest total in its file.
pub(super) fn used(codex_home: &Path, thread_id: &str) -> Option<Usage> {
    let file = find(&codex_home.join("sessions"), thread_id, 3)?;
    last_total(&file).ok()?
}

/// The thread's file, at `sessions/YYYY/MM/DD/rollout-TIME-THREAD.jsonl`.
fn find(directory: &Path, thread_id: &str, depth: u32) -> Option<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(directory)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    // The newest first: threads are gone on with soon rather than late.
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

/// Reads the file from its end, block by block, up to the newest line that tells a total.
fn last_total(path: &Path) -> io::Result<Option<Usage>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut start = length;
    // The beginning of a line whose rest is in the block before.
    let mut rest = Vec::new();
    while start > length.saturating_sub(FARTHEST) {
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
    // Most lines are long and something else: look before parsing.
    memchr::memmem::find(line, b"\"token_count\"")?;
    let event: Value = serde_json::from_slice(line).ok()?;
    let payload = event.get("payload")?;
    let tells = event.get("type")? == "event_msg" && payload.get("type")? == "token_count";
    let total = payload.get("info")?.get("total_token_usage")?;
    tells.then(|| decode::usage(total)).flatten()
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

    fn used_by(content: &str) -> Option<u64> {
        let home = tempfile::tempdir().unwrap();
        let day = home.path().join("sessions/2026/11/22");
        fs::create_dir_all(&day).unwrap();
        let name = format!("rollout-2026-11-22T07-00-00-{THREAD}.jsonl");
        fs::write(day.join(name), content).unwrap();
        used(home.path(), THREAD).map(|usage| usage.input_tokens)
    }

    #[test]
    fn the_newest_total_counts_wherever_blocks_are_cut() {
        let filler = format!("{{\"type\":\"x\",\"text\":\"{}\"}}\n", "y".repeat(1000));
        for behind in [0, 1, 255, 256, 300, 600] {
            let content = format!("{}\n{}\n{}", line(1), line(2), filler.repeat(behind));
            assert_eq!(used_by(&content), Some(2), "{behind} lines behind it");
        }
    }

    #[test]
    fn what_is_not_there_or_not_understood_is_not_known() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(used(empty.path(), THREAD), None);
        assert_eq!(used_by(""), None);
        assert_eq!(used_by("\u{0}garbage \"token_count\" {"), None);
        let null = r#"{"type":"event_msg","payload":{"type":"token_count","info":null}}"#;
        assert_eq!(used_by(null), None);
        assert_eq!(used_by(&format!("{}\n{null}\n", line(7))), Some(7));
    }
}

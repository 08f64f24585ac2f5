//! What the page says of a file of JSON lines that is rotated.

use std::{
    fs::{self, File},
    path::Path,
    sync::Arc,
};

use codex_telemetry::{Call, JsonLinesSink, Operation, TimingLayer};
use tempfile::TempDir;
use tower::{Layer as _, ServiceExt as _, service_fn};

async fn call(sink: &Arc<JsonLinesSink<File>>) {
    let service = service_fn(|_: Call<()>| std::future::ready(Ok::<_, ()>(())));
    let service = TimingLayer::new(Arc::clone(sink)).layer(service);
    let call = Call::new(Operation::Turn, ());
    service.oneshot(call).await.unwrap();
}

/// How many lines there are, all of which are whole.
fn lines(path: &Path) -> usize {
    let text = fs::read_to_string(path).unwrap();
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    text.lines().count()
}

fn appended(path: &Path) -> Arc<JsonLinesSink<File>> {
    let file = File::options().create(true).append(true).open(path);
    JsonLinesSink::new(file.unwrap()).into()
}

#[tokio::test]
async fn a_file_that_is_copied_and_emptied_goes_on_at_its_beginning() {
    let home = TempDir::new().unwrap();
    let (file, old) = (home.path().join("events.jsonl"), home.path().join("old"));
    let sink = appended(&file);
    call(&sink).await;
    fs::copy(&file, &old).unwrap();
    File::create(&file).unwrap();
    call(&sink).await;
    assert_eq!((lines(&old), lines(&file), sink.failed()), (2, 2, 0));
}

#[tokio::test]
async fn a_file_that_is_moved_away_gets_all_further_lines() {
    let home = TempDir::new().unwrap();
    let (file, old) = (home.path().join("events.jsonl"), home.path().join("old"));
    let sink = appended(&file);
    call(&sink).await;
    fs::rename(&file, &old).unwrap();
    call(&sink).await;
    assert_eq!((lines(&old), file.exists(), sink.failed()), (4, false, 0));
}

#[tokio::test]
async fn without_appending_a_gap_of_zeros_stands_before_the_next_line() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("events.jsonl");
    let sink = Arc::new(JsonLinesSink::new(File::create(&file).unwrap()));
    call(&sink).await;
    let cut_off = fs::metadata(&file).unwrap().len();
    File::create(&file).unwrap();
    call(&sink).await;
    let bytes = fs::read(&file).unwrap();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    assert_eq!(zeros, usize::try_from(cut_off).unwrap());
}

//! What the page says about rotating a file of JSON lines.

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

/// Returns the number of lines, each of which must be valid JSON.
fn lines(path: &Path) -> usize {
    let text = fs::read_to_string(path).unwrap();
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    text.lines().count()
}

fn appending_sink(path: &Path) -> Arc<JsonLinesSink<File>> {
    let file = File::options().create(true).append(true).open(path);
    JsonLinesSink::new(file.unwrap()).into()
}

#[tokio::test]
async fn after_copying_and_truncating_the_sink_writes_at_the_beginning_of_the_file() {
    let home = TempDir::new().unwrap();
    let (file, old) = (home.path().join("events.jsonl"), home.path().join("old"));
    let sink = appending_sink(&file);
    call(&sink).await;
    fs::copy(&file, &old).unwrap();
    File::create(&file).unwrap();
    call(&sink).await;
    assert_eq!((lines(&old), lines(&file), sink.failed()), (2, 2, 0));
}

#[tokio::test]
async fn a_moved_file_gets_all_further_lines() {
    let home = TempDir::new().unwrap();
    let (file, old) = (home.path().join("events.jsonl"), home.path().join("old"));
    let sink = appending_sink(&file);
    call(&sink).await;
    fs::rename(&file, &old).unwrap();
    call(&sink).await;
    assert_eq!((lines(&old), file.exists(), sink.failed()), (4, false, 0));
}

#[tokio::test]
async fn a_file_not_opened_for_appending_gets_zeros_in_place_of_the_truncated_part() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("events.jsonl");
    let sink = Arc::new(JsonLinesSink::new(File::create(&file).unwrap()));
    call(&sink).await;
    let truncated = fs::metadata(&file).unwrap().len();
    File::create(&file).unwrap();
    call(&sink).await;
    let bytes = fs::read(&file).unwrap();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    assert_eq!(zeros, usize::try_from(truncated).unwrap());
}

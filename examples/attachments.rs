//! Stages attachments with different times to live, gives two to a turn, lets a day pass on a manual clock, and
//! sweeps.
//!
//! ```sh
//! cargo run --example attachments
//! ```

// An example may print.
#![allow(clippy::print_stdout)]

use std::{path::Path, time::Duration};

use codex_telemetry::{
    Clock, ErrorClassLayer, MemorySink, Originator, OriginatorLayer, TimingLayer,
    attachment::{
        AttachmentError, AttachmentStore, CleanupRequest, CleanupService, Expiry, StageRequest,
        StageService, Sweeper, Ttl,
    },
    turn::{Turn, TurnError, TurnRequest},
};
use tower::{ServiceBuilder, ServiceExt, service_fn};

const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    // A manual clock lets the time pass. A real program calls `AttachmentStore::open`.
    let (clock, manual) = Clock::manual(std::time::SystemTime::now());
    let store = AttachmentStore::builder()
        .clock(clock)
        .max_size(1 << 20)
        .open(directory.path())?;

    let sink = MemorySink::new();
    let layers = ServiceBuilder::new()
        .layer(OriginatorLayer::new(Originator::Sdk))
        .layer(TimingLayer::new(sink.clone()))
        .layer(ErrorClassLayer::new(AttachmentError::classification));
    let staging = layers.clone().service(StageService::new(store.clone()));
    let cleanup = layers.service(CleanupService::new(store.clone()));

    for (name, ttl) in [
        ("prompt.txt", Ttl::For(HOUR)),
        ("diff.patch", Ttl::default()),
        ("style-guide.md", Ttl::Infinite),
        ("licence.txt", Ttl::Persistent),
    ] {
        let request = StageRequest::bytes(name, format!("the content of {name}"), ttl);
        staging.clone().oneshot(request).await?;
    }
    let invalid = StageRequest::bytes("../escape", "…", Ttl::default());
    let invalid = staging.clone().oneshot(invalid).await;
    println!(
        "error: {}\n",
        invalid.expect_err("it leads out of the directory")
    );
    show("staged", &store).await?;

    // A request keeps its attachments until the end of the turn, however long it waits.
    let plot = StageRequest::bytes("plot.png", "not a real image", Ttl::For(HOUR));
    let plot = staging.clone().oneshot(plot).await?;
    let table = StageRequest::bytes("plot.csv", "1,2,3", Ttl::For(HOUR));
    let table = staging.oneshot(table).await?;
    let request = TurnRequest::new("Does the plot show the table?")
        .with_attachment(&plot)
        .with_attachment(&table);
    drop((plot, table));

    manual.advance(2 * HOUR);
    let report = cleanup.clone().oneshot(CleanupRequest::expired()).await?;
    println!(
        "two hours later: {report}; a turn keeps {} of them",
        report.leased
    );
    // A real program has a `CodexExec` here: the model sees an image, and reads another file by its path.
    let turns = service_fn(|request: TurnRequest| async move {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let image = read(&request.images()[0]);
        let mut answer = format!("It shows {image}.");
        for (name, path) in request.files() {
            answer += &format!(" {name} has {}.", read(path));
        }
        Ok::<_, TurnError>(Turn::new().with_final_message(answer))
    });
    let turn = turns.oneshot(request).await?;
    println!("the turn: {}", turn.final_message.unwrap_or_default());
    let report = cleanup.clone().oneshot(CleanupRequest::expired()).await?;
    println!("after the turn: {report}\n");

    // Staging it again extends its expiry to a day from now.
    store
        .stage_bytes("diff.patch", "the content of diff.patch", Ttl::default())
        .await?;
    manual.advance(23 * HOUR);
    let events = sink.events().len();
    let sweeper = Sweeper::spawn(cleanup.clone(), HOUR);
    sink.wait_for(events + 2, Duration::from_secs(10)).await?;
    sweeper.stop().await;
    show("a day later, after a sweep by the sweeper", &store).await?;

    let report = cleanup.oneshot(CleanupRequest::everything()).await?;
    println!("cleanup of everything: {report}");
    show("left", &store).await?;

    println!("events:");
    for event in sink
        .events()
        .iter()
        .filter(|event| event.kind().is_terminal())
    {
        print!("  {}", event.name());
        for attribute in event.attributes() {
            print!(" {}={}", attribute.key, attribute.value);
        }
        println!();
    }
    Ok(())
}

async fn show(title: &str, store: &AttachmentStore) -> Result<(), Box<dyn std::error::Error>> {
    println!("{title}:");
    for attachment in store.list().await? {
        let expiry = match attachment.expiry {
            Expiry::At(time) => humantime::format_rfc3339_seconds(time).to_string(),
            other => format!("{other:?}").to_lowercase(),
        };
        let hash = &attachment.hash[..12];
        println!(
            "  {hash}… {:<15} {:>3} bytes, until {expiry}",
            attachment.name, attachment.size
        );
    }
    println!();
    Ok(())
}

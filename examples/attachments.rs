//! Stages attachments with different times to live, lets a day pass on a manual clock, and sweeps.
//!
//! ```sh
//! cargo run --example attachments
//! ```

// An example may print.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use codex_telemetry::{
    Clock, ErrorClassLayer, MemorySink, Originator, OriginatorLayer, TimingLayer,
    attachment::{
        AttachmentError, AttachmentStore, CleanupRequest, CleanupService, Expiry, Sweeper, Ttl,
    },
};
use tower::{ServiceBuilder, ServiceExt};

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

    for (name, ttl) in [
        ("prompt.txt", Ttl::For(HOUR)),
        ("diff.patch", Ttl::default()),
        ("style-guide.md", Ttl::Infinite),
        ("licence.txt", Ttl::Persistent),
    ] {
        store
            .stage_bytes(name, format!("the content of {name}"), ttl)
            .await?;
    }
    let invalid = store.stage_bytes("../escape", "…", Ttl::default()).await;
    println!(
        "error: {}\n",
        invalid.expect_err("it leads out of the directory")
    );
    show("staged", &store).await?;

    let sink = MemorySink::new();
    let service = ServiceBuilder::new()
        .layer(OriginatorLayer::new(Originator::Sdk))
        .layer(TimingLayer::new(sink.clone()))
        .layer(ErrorClassLayer::new(AttachmentError::classification))
        .service(CleanupService::new(store.clone()));

    manual.advance(2 * HOUR);
    let report = service.clone().oneshot(CleanupRequest::expired()).await?;
    println!("two hours later: {report}");

    // Staging it again extends its expiry to a day from now.
    store
        .stage_bytes("diff.patch", "the content of diff.patch", Ttl::default())
        .await?;
    manual.advance(23 * HOUR);
    let sweeper = Sweeper::spawn(service.clone(), HOUR);
    sink.wait_for(4, Duration::from_secs(10)).await?;
    sweeper.stop().await;
    show("a day later, after a sweep by the sweeper", &store).await?;

    let report = service.oneshot(CleanupRequest::everything()).await?;
    println!("cleanup of everything: {report}");
    show("left", &store).await?;

    println!("events of the three sweeps:");
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

//! A sink of one's own: it counts calls by operation and how they ended.
//!
//! Run with `cargo run --example custom_sink`.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use codex_telemetry::{Call, Event, Operation, Sink, TimingLayer};
use tower::{Layer, Service, ServiceExt, service_fn};

/// Counts the terminal events; each is counted by the thread on which its call ends.
#[derive(Debug, Default)]
struct Tally(Mutex<BTreeMap<(&'static str, &'static str), u64>>);

impl Sink for Tally {
    fn emit(&self, event: Event) {
        // A start has no outcome yet.
        if let Some(outcome) = event.outcome() {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *counts
                .entry((event.operation().as_str(), outcome.as_str()))
                .or_default() += 1;
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let tally = Arc::new(Tally::default());
    let halve = service_fn(|call: Call<u32>| async move {
        match call.request % 2 {
            0 => Ok(call.request / 2),
            _ => Err("odd"),
        }
    });
    let halve = TimingLayer::new(Arc::clone(&tally)).layer(halve);

    for number in 0..5 {
        let call = Call::new(Operation::Custom("halve"), number);
        // The layer passes answers and errors on as they are.
        let answer: Result<u32, &str> = halve.clone().oneshot(call).await;
        println!("half of {number}: {answer:?}");
    }
    // A call that is given up is one that was cancelled.
    let mut halve = halve;
    if let Ok(halve) = halve.ready().await {
        drop(halve.call(Call::new(Operation::Custom("halve"), 6)));
    }

    // A closure is a sink as well, and `()` is the one that turns everything off.
    let print = TimingLayer::new(|event: Event| println!("{event:?}"));
    let echo = service_fn(|call: Call<u32>| async move { Ok::<_, Infallible>(call.request) });
    let Ok(_) = print
        .layer(echo)
        .oneshot(Call::new(Operation::Custom("echo"), 7))
        .await;

    let counts = tally.0.lock().unwrap_or_else(PoisonError::into_inner);
    for ((operation, outcome), count) in counts.iter() {
        println!("{operation} {outcome}: {count}");
    }
}

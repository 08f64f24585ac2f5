//! A custom sink that counts calls by operation and outcome.
//!
//! Run with `cargo run --example custom_sink`.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use codex_telemetry::{Call, Event, Interest, Operation, Sink, TimingLayer};
use tower::{Layer, Service, ServiceExt, service_fn};

/// Counts terminal events, on the thread on which the call ends.
#[derive(Debug, Default)]
struct CallCounter(Mutex<BTreeMap<(&'static str, &'static str), u64>>);

impl Sink for CallCounter {
    /// Start events are not made for this sink.
    fn interest(&self) -> Interest {
        Interest::ENDS
    }

    fn emit(&self, event: Event) {
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
    let counter = Arc::new(CallCounter::default());
    let halve = service_fn(|call: Call<u32>| async move {
        match call.request % 2 {
            0 => Ok(call.request / 2),
            _ => Err("odd"),
        }
    });
    let halve = TimingLayer::new(Arc::clone(&counter)).layer(halve);

    for number in 0..5 {
        let call = Call::new(Operation::Custom("halve"), number);
        // The layer does not change responses and errors.
        let response: Result<u32, &str> = halve.clone().oneshot(call).await;
        println!("half of {number}: {response:?}");
    }
    // A call whose future is dropped is cancelled.
    let mut halve = halve;
    if let Ok(halve) = halve.ready().await {
        drop(halve.call(Call::new(Operation::Custom("halve"), 6)));
    }

    // A closure is a sink as well.
    let print = TimingLayer::new(|event: Event| println!("{event:?}"));
    let echo = service_fn(|call: Call<u32>| async move { Ok::<_, Infallible>(call.request) });
    let Ok(_) = print
        .layer(echo)
        .oneshot(Call::new(Operation::Custom("echo"), 7))
        .await;

    let counts = counter.0.lock().unwrap_or_else(PoisonError::into_inner);
    for ((operation, outcome), count) in counts.iter() {
        println!("{operation} {outcome}: {count}");
    }
}

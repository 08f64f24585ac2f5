//! What many turns leave behind.

use codex_telemetry::{
    CodexClassifier, Event, Originator, ServiceBuilderExt,
    turn::{CodexAppServer, TurnRequest},
};
use tower::{ServiceBuilder, ServiceExt};

use crate::support::fake_codex;

/// The turns before the counted ones, for buffers to grow.
const WARM_UP: u32 = 500;
const TURNS: u32 = 10_000;

/// How much memory may be left, in bytes: less than 8 bytes of each turn.
const BOUND: i64 = 64 * 1024;

/// Runs turns one after the other, and checks the memory that is left on this thread, which has all tasks.
fn run(turns: &CodexAppServer, request: impl Fn() -> TurnRequest) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let run = |count| {
        runtime.block_on(async {
            for _ in 0..count {
                let layered = ServiceBuilder::new()
                    .originator(Originator::Sdk)
                    .timing(|_: Event| ())
                    .error_class(CodexClassifier)
                    .service(turns.clone());
                layered.oneshot(request()).await.unwrap();
            }
            turns.drain().await;
        });
    };
    run(WARM_UP);
    let counted = allocation_counter::measure(|| run(TURNS));
    assert!(counted.bytes_current < BOUND, "{counted:?}");
    assert_eq!(turns.active(), 0);
    assert_eq!(runtime.metrics().num_alive_tasks(), 0);
}

#[test]
fn ten_thousand_turns_in_new_threads_leave_no_memory_and_no_task_behind() {
    let turns = CodexAppServer::builder()
        .codex(fake_codex())
        .env("FAKE_CODEX", "serve");
    run(&turns.ephemeral(true).build(), || {
        TurnRequest::new("a prompt")
    });
}

#[test]
fn ten_thousand_turns_in_one_thread_leave_no_memory_and_no_task_behind() {
    let turns = CodexAppServer::builder()
        .codex(fake_codex())
        .env("FAKE_CODEX", "serve");
    let id = "01a2021f-12be-7782-b2de-86dee0c040e2";
    run(&turns.build(), || {
        TurnRequest::new("a prompt").with_resume(id)
    });
}

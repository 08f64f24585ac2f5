//! Turns that Codex or the service rejects before they start.

use std::fs;

use codex_telemetry::{ErrorClass as C, Outcome, turn::TurnError};

use crate::{
    bench::{Bench, until},
    reply::{Ending, Reply},
};

#[tokio::test]
async fn an_unknown_thread_is_an_invalid_request() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let unknown = "01a2021f-12be-7782-b2de-86dee0c040e2";
    let request = bench.request("On").with_resume(unknown);
    let error = bench.run(request).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("no rollout found") && text.contains(unknown),
        "{text}"
    );
    bench.assert_rejected("an unknown thread", C::InvalidRequest, &error);
}

#[tokio::test]
async fn an_invalid_thread_id_is_rejected_before_codex_starts() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let request = bench.request("On").with_resume("my-thread");
    let error = bench.run(request).await.unwrap_err();
    assert!(
        matches!(error, TurnError::InvalidRequest { .. }),
        "{error:?}"
    );
    bench.assert_rejected("an invalid thread id", C::InvalidRequest, &error);
}

#[tokio::test]
async fn a_directory_outside_of_git_is_refused_unless_the_check_is_skipped() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let checking = bench.turns().skip_git_repo_check(false).build();
    let error = bench.run_by(checking, bench.request("Go")).await;
    let error = error.unwrap_err();
    assert!(error.to_string().contains("trusted directory"), "{error}");
    bench.assert_rejected("a directory that is not trusted", C::Config, &error);

    let skipping = bench.turns().skip_git_repo_check(true).build();
    let turn = bench.run_by(skipping, bench.request("Go")).await.unwrap();
    assert_eq!(turn.final_message.as_deref(), Some("done"));
    bench.calls(2);
}

#[tokio::test]
async fn a_broken_configuration_is_an_error_unless_it_is_ignored() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    std::fs::write(bench.home.path().join("config.toml"), "= broken").unwrap();
    let error = bench.run(bench.request("Go")).await.unwrap_err();
    bench.assert_rejected("config.toml of the user is broken", C::Config, &error);

    let ignoring = bench.turns().ignore_user_config(true).build();
    bench.run_by(ignoring, bench.request("Go")).await.unwrap();
    bench.calls(2);
}

#[tokio::test]
async fn a_missing_key_is_unauthorized() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let request = bench.request("Go").without_env("MOCK_KEY");
    let error = bench.run(request).await.unwrap_err();
    assert!(error.to_string().contains("codex login"), "{error}");
    bench.assert_rejected("the key is missing", C::Unauthorized, &error);
}

#[tokio::test]
async fn a_thread_in_use_is_an_invalid_request() {
    let script = [Reply::done(), Reply::unfinished(Ending::Silence)];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let first = bench.run(bench.request("Go")).await.unwrap();
    let resume = || {
        bench
            .request("On")
            .with_resume(first.thread_id.clone().unwrap())
    };
    let error = tokio::select! {
        result = bench.run(resume()) => panic!("the turn ended by itself: {result:?}"),
        error = async {
            until("the model was asked", || bench.model.asked().len() == 2).await;
            bench.run(resume()).await.unwrap_err()
        } => error,
    };
    let calls = bench.calls(3);
    assert_eq!(calls.turns[1].outcome(), Some(Outcome::Cancelled));
    assert_eq!(
        calls.turns[2].error_class(),
        Some(C::InvalidRequest),
        "{error}"
    );
}

#[tokio::test]
async fn a_thread_with_a_corrupt_file_is_an_invalid_request() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let turn = bench.run(bench.request("Go")).await.unwrap();
    let mut file = bench.home.path().join("sessions");
    // Below directories of the year, the month and the day.
    for _ in 0..4 {
        let mut entries = fs::read_dir(&file).unwrap();
        file = entries.next().unwrap().unwrap().path();
    }
    fs::write(&file, "garbage\n").unwrap();
    let request = bench.request("On").with_resume(turn.thread_id.unwrap());
    let error = bench.run(request).await.unwrap_err();
    assert!(
        error.to_string().contains("thread/resume failed"),
        "{error}"
    );
    let event = bench.calls(2).turns.pop().unwrap();
    assert_eq!(event.error_class(), Some(C::InvalidRequest), "{error}");
}

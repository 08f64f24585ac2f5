//! Turns that Codex or the service rejects before they start.

use std::fs;

use codex_telemetry::{ErrorClass as C, Outcome, turn::TurnError};

use crate::{
    app_server::Transport,
    bench::{Bench, until},
    reply::{Ending, Reply},
};

#[tokio::test]
async fn an_unknown_thread_is_an_invalid_request() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([Reply::done()]) else {
            return;
        };
        let unknown = "01a2021f-12be-7782-b2de-86dee0c040e2";
        let request = bench.request("On").with_resume(unknown);
        let error = bench.run_on(transport, request).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("no rollout found") && text.contains(unknown),
            "{text}"
        );
        bench.assert_rejected("an unknown thread", C::InvalidRequest, &error);
    }
}

#[tokio::test]
async fn an_invalid_thread_id_is_rejected_before_codex_starts() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([Reply::done()]) else {
            return;
        };
        let request = bench.request("On").with_resume("my-thread");
        let error = bench.run_on(transport, request).await.unwrap_err();
        assert!(
            matches!(error, TurnError::InvalidRequest { .. }),
            "{error:?}"
        );
        bench.assert_rejected("an invalid thread id", C::InvalidRequest, &error);
    }
}

#[tokio::test]
async fn a_directory_outside_of_git_is_refused_unless_the_check_is_skipped() {
    let Some(bench) = Bench::start([Reply::done(), Reply::done()]) else {
        return;
    };
    let cause = "a directory that is not trusted";
    let checking = bench.turns().skip_git_repo_check(false).build();
    let error = bench.run_by(checking, bench.request("Go")).await;
    let error = error.unwrap_err();
    assert!(error.to_string().contains("trusted directory"), "{error}");
    bench.assert_rejected(cause, C::Config, &error);

    let skipping = bench.turns().skip_git_repo_check(true).build();
    let turn = bench.run_by(skipping, bench.request("Go")).await.unwrap();
    assert_eq!(turn.final_message.as_deref(), Some("done"));
    assert!(Transport::AppServer.is_harmless(cause));
    let turn = bench.run_on(Transport::AppServer, bench.request("Go"));
    assert_eq!(turn.await.unwrap().final_message.as_deref(), Some("done"));
    bench.calls(3);
}

#[tokio::test]
async fn a_broken_configuration_is_an_error_unless_it_is_ignored() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([Reply::done()]) else {
            return;
        };
        std::fs::write(bench.home.path().join("config.toml"), "= broken").unwrap();
        let error = bench.run_on(transport, bench.request("Go")).await;
        let error = error.unwrap_err();
        bench.assert_rejected("config.toml of the user is broken", C::Config, &error);
        if transport == Transport::Exec {
            let ignoring = bench.turns().ignore_user_config(true).build();
            bench.run_by(ignoring, bench.request("Go")).await.unwrap();
            bench.calls(2);
        }
    }
}

#[tokio::test]
async fn a_missing_key_is_unauthorized() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([Reply::done()]) else {
            return;
        };
        let request = bench.request("Go").without_env("MOCK_KEY");
        let error = bench.run_on(transport, request).await.unwrap_err();
        assert!(error.to_string().contains("codex login"), "{error}");
        let calls = bench.calls(1);
        assert_eq!(calls.turn().error_class(), Some(C::Unauthorized), "{error}");
        assert!(bench.model.asked().is_empty(), "the model was asked");
    }
}

#[tokio::test]
async fn a_thread_in_use_is_an_invalid_request() {
    for transport in Transport::ALL {
        let script = [Reply::done(), Reply::unfinished(Ending::Silence)];
        let Some(bench) = Bench::start(script) else {
            return;
        };
        let first = bench.run_on(transport, bench.request("Go")).await.unwrap();
        let resume = || {
            bench
                .request("On")
                .with_resume(first.thread_id.clone().unwrap())
        };
        // Two processes, also by app-server.
        let (server, of_server) = bench.app_server_of(&resume());
        let holding = async {
            match transport {
                Transport::Exec => bench.run(resume()).await,
                Transport::AppServer => server.run(of_server).await,
            }
        };
        let other = bench.app_server_of(&resume());
        let error = tokio::select! {
            result = holding => panic!("the turn ended by itself: {result:?}"),
            error = async {
                until("the model was asked", || bench.model.asked().len() == 2).await;
                match transport {
                    Transport::Exec => bench.run(resume()).await.unwrap_err(),
                    Transport::AppServer => other.0.run(other.1.clone()).await.unwrap_err(),
                }
            } => error,
        };
        // A dropped `codex exec` ends by itself.
        #[cfg(target_os = "linux")]
        if transport == Transport::Exec {
            bench.assert_gone("no command", None).await;
        }
        server.end_with(other.0).await;
        let calls = bench.calls(3);
        assert_eq!(calls.turns[1].outcome(), Some(Outcome::Cancelled));
        assert_eq!(
            calls.turns[2].error_class(),
            Some(C::InvalidRequest),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_thread_with_a_corrupt_file_is_an_invalid_request() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([Reply::done()]) else {
            return;
        };
        let turn = bench.run_on(transport, bench.request("Go")).await.unwrap();
        let mut file = bench.home.path().join("sessions");
        // Below directories of the year, the month and the day.
        for _ in 0..4 {
            let mut entries = fs::read_dir(&file).unwrap();
            file = entries.next().unwrap().unwrap().path();
        }
        fs::write(&file, "garbage\n").unwrap();
        let request = bench.request("On").with_resume(turn.thread_id.unwrap());
        let error = bench.run_on(transport, request).await.unwrap_err();
        let (cause, text) = ("a thread with a corrupt file", "thread/resume failed");
        let (text, class) = transport.expects(cause, text, C::InvalidRequest);
        assert!(error.to_string().contains(text), "{error}");
        let event = bench.calls(2).turns.pop().unwrap();
        assert_eq!(event.error_class(), Some(class), "{error}");
    }
}

//! Codex dies during a turn: by a signal, by itself, or at a limit of the system.
#![cfg(target_os = "linux")]

use std::time::Duration;

use codex_telemetry::{BoxError, CodexClassifier, ErrorClass as C, event::names, turn::TurnError};
use rustix::process::{Pid, Signal, kill_process};
use tower::{ServiceBuilder, ServiceExt};

use crate::{
    bench::{Bench, in_time, until},
    calls::number,
    reply::{Ending, Reply},
    signals::is_ignored,
    table::each,
};

#[tokio::test]
async fn a_codex_that_dies_by_a_signal_has_the_class_of_the_signal() {
    let rows = [
        ("SIGHUP to Codex", "(SIGHUP)", C::Interrupted, Signal::HUP),
        (
            "SIGINT to Codex, which catches it",
            "exit status: 1",
            C::Other,
            Signal::INT,
        ),
        (
            "SIGQUIT to Codex",
            "(SIGQUIT)",
            C::Interrupted,
            Signal::QUIT,
        ),
        (
            "SIGTERM to Codex",
            "(SIGTERM)",
            C::Interrupted,
            Signal::TERM,
        ),
        (
            "SIGUSR1 to Codex",
            "(SIGUSR1)",
            C::Interrupted,
            Signal::USR1,
        ),
        (
            "SIGUSR2 to Codex",
            "(SIGUSR2)",
            C::Interrupted,
            Signal::USR2,
        ),
        (
            "SIGALRM to Codex",
            "(SIGALRM)",
            C::Interrupted,
            Signal::ALARM,
        ),
        (
            "SIGXCPU to Codex",
            "(SIGXCPU)",
            C::Interrupted,
            Signal::XCPU,
        ),
        (
            "SIGKILL to Codex, as by the OOM killer",
            "(SIGKILL)",
            C::Transport,
            Signal::KILL,
        ),
        ("SIGABRT of Codex", "(SIGABRT)", C::Transport, Signal::ABORT),
        ("SIGILL of Codex", "(SIGILL)", C::Transport, Signal::ILL),
        ("SIGFPE of Codex", "(SIGFPE)", C::Transport, Signal::FPE),
        ("SIGXFSZ of Codex", "(SIGXFSZ)", C::Io, Signal::XFSZ),
    ];
    let rows = rows.into_iter().filter(|row| !is_ignored(row.3));
    each(rows, |(cause, text, class, signal)| async move {
        let Some(bench) = Bench::start([Reply::unfinished(Ending::Silence)]) else {
            return;
        };
        let kill = async {
            until("the model was asked", || bench.model.asked().len() == 1).await;
            let pid = bench.codex().unwrap().try_into().unwrap();
            kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
        };
        let (result, ()) = tokio::join!(bench.run(bench.request("Go")), kill);
        let error = result.unwrap_err();
        assert!(
            matches!(error, TurnError::Exited { .. }),
            "{cause}: {error:?}"
        );
        assert!(error.to_string().contains(text), "{cause}: {error}");
        let calls = bench.calls(1);
        let event = calls.turn();
        assert_eq!(event.error_class(), Some(class), "{cause}: {error}");
        let expected = (signal != Signal::INT).then(|| signal.as_raw().into());
        assert_eq!(number(event, names::EXIT_SIGNAL), expected, "{cause}");
    })
    .await;
}

#[tokio::test]
async fn a_limit_of_the_system_has_its_class() {
    let rows = [
        (
            "the file size limit is 0",
            "(SIGXFSZ)",
            C::Io,
            "ulimit -f 0",
        ),
        (
            "Codex's output is on a full disk",
            "(os error 28)",
            C::Io,
            "exec >/dev/full",
        ),
        (
            "the CPU time limit is 0",
            "(SIGKILL)",
            C::Transport,
            "ulimit -t 0",
        ),
    ];
    each(rows, |(cause, text, class, limit)| async move {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let turns = bench.turns_after(limit).build();
        let error = bench.run_by(turns, bench.request("Go")).await.unwrap_err();
        assert!(error.to_string().contains(text), "{cause}: {error}");
        bench.assert_rejected(cause, class, &error);
    })
    .await;
}

#[tokio::test]
async fn a_wrapper_without_a_turn_has_the_class_of_its_end() {
    let rows = [
        (
            "a wrapper prints to Codex's output",
            "invalid line 1 in Codex's output",
            C::Protocol,
            "echo Welcome",
        ),
        (
            "a wrapper exits with 0 and without a turn",
            "exit status: 0",
            C::Incomplete,
            "exit 0",
        ),
        (
            "a wrapper exits with another code",
            "exit status: 77",
            C::Other,
            "exit 77",
        ),
    ];
    each(rows, |(cause, text, class, before)| async move {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let turns = bench.turns_after(before).build();
        let error = bench.run_by(turns, bench.request("Go")).await.unwrap_err();
        assert!(error.to_string().contains(text), "{cause}: {error}");
        let calls = bench.calls(1);
        assert_eq!(calls.turn().error_class(), Some(class), "{cause}: {error}");
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_the_caller_drops_is_cancelled() {
    let Some(bench) = Bench::start([Reply::unfinished(Ending::Silence)]) else {
        return;
    };
    let asked = || !bench.model.asked().is_empty();
    bench
        .drop_when("the model was asked", bench.request("Go"), asked)
        .await;
    assert_eq!(bench.calls(1).turn().error_class(), Some(C::Cancelled));
}

#[tokio::test]
async fn a_deadline_ends_a_stopped_codex() {
    let Some(bench) = Bench::start([Reply::unfinished(Ending::Silence)]) else {
        return;
    };
    let turns = ServiceBuilder::new()
        .timeout(Duration::from_secs(3))
        .service(bench.turns().build());
    let classify = |error: &BoxError| CodexClassifier.of(&**error);
    let turn = bench
        .classified(turns, classify)
        .oneshot(bench.request("Go"));
    let stop = async {
        until("Codex runs", || bench.codex().is_some()).await;
        let pid = bench.codex().unwrap().try_into().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::STOP).unwrap();
    };
    let (result, ()) = tokio::join!(in_time(turn), stop);
    result.unwrap_err();
    assert_eq!(bench.calls(1).turn().error_class(), Some(C::Timeout));
    bench.assert_gone("no command", None).await;
}

#[tokio::test]
async fn a_codex_that_closes_its_output_and_hangs_is_a_transport_error() {
    let Some(bench) = Bench::start([]) else {
        return;
    };
    let turns = bench.turns_after("exec >&-; exec sleep 60");
    let turns = turns.exit_grace(Duration::from_millis(300)).build();
    let error = bench.run_by(turns, bench.request("Go")).await.unwrap_err();
    assert!(error.to_string().contains("was killed"), "{error}");
    bench.assert_rejected("Codex closes its output and hangs", C::Transport, &error);
    bench.assert_gone("no command", None).await;
}

#[tokio::test]
async fn a_turn_over_the_output_limit_is_a_protocol_error() {
    let long = "head -c 300000 /dev/zero | tr '\\0' x";
    let Some(bench) = Bench::start([Reply::shell(long), Reply::done()]) else {
        return;
    };
    let turns = bench.turns().output_limit(100_000).build();
    let error = bench.run_by(turns, bench.request("Go")).await.unwrap_err();
    assert!(
        error.to_string().contains("raise the output limit"),
        "{error}"
    );
    assert_eq!(bench.calls(1).turn().error_class(), Some(C::Protocol));
}

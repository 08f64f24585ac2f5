//! Turns whose Codex dies on the way: by a signal, of itself, or at a limit of the system.
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
            C::Interrupted,
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
    each(rows, |(cause, says, class, signal)| async move {
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
        assert!(error.to_string().contains(says), "{cause}: {error}");
        let calls = bench.calls(1);
        let event = calls.turn();
        assert_eq!(event.error_class(), Some(class), "{cause}: {error}");
        let expected = (signal != Signal::INT).then(|| signal.as_raw().into());
        assert_eq!(number(event, names::EXIT_SIGNAL), expected, "{cause}");
    })
    .await;
}

#[tokio::test]
async fn a_codex_that_the_system_does_not_let_work_is_told() {
    let rows = [
        ("no file may grow", "(SIGXFSZ)", C::Io, "ulimit -f 0"),
        (
            "Codex's output is on a full disk",
            "(os error 28)",
            C::Io,
            "exec >/dev/full",
        ),
        (
            "no processor time is left",
            "(SIGKILL)",
            C::Transport,
            "ulimit -t 0",
        ),
    ];
    each(rows, |(cause, says, class, limit)| async move {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let turns = bench.turns_after(limit).build();
        let error = bench.run_by(turns, bench.request("Go")).await.unwrap_err();
        assert!(error.to_string().contains(says), "{cause}: {error}");
        bench.assert_refused(cause, class, &error);
    })
    .await;
}

#[tokio::test]
async fn a_codex_that_writes_no_json_is_a_failure_of_the_protocol() {
    let rows = [
        (
            "a wrapper prints to Codex's output",
            "line 1 of Codex's output",
            C::Protocol,
            "echo Welcome",
        ),
        (
            "a wrapper ends well without a turn",
            "exit status: 0",
            C::Incomplete,
            "exit 0",
        ),
        (
            "a wrapper ends with a code of its own",
            "exit status: 77",
            C::Other,
            "exit 77",
        ),
    ];
    each(rows, |(cause, says, class, before)| async move {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let turns = bench.turns_after(before).build();
        let error = bench.run_by(turns, bench.request("Go")).await.unwrap_err();
        assert!(error.to_string().contains(says), "{cause}: {error}");
        let calls = bench.calls(1);
        assert_eq!(calls.turn().error_class(), Some(class), "{cause}: {error}");
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_its_caller_drops_is_cancelled() {
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
async fn a_codex_that_is_stopped_is_ended_by_a_deadline() {
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
    bench.assert_gone("no command ran", None).await;
}

#[tokio::test]
async fn a_codex_that_closes_its_output_and_stays_is_a_failure_of_transport() {
    let Some(bench) = Bench::start([]) else {
        return;
    };
    let turns = bench.turns_after("exec >&-; exec sleep 60");
    let turns = turns.exit_grace(Duration::from_millis(300)).build();
    let error = bench.run_by(turns, bench.request("Go")).await.unwrap_err();
    assert!(error.to_string().contains("was killed"), "{error}");
    bench.assert_refused("Codex closes its output and stays", C::Transport, &error);
    bench.assert_gone("no command ran", None).await;
}

#[tokio::test]
async fn a_turn_that_writes_too_much_is_a_failure_of_the_protocol() {
    let long = "head -c 300000 /dev/zero | tr '\\0' x";
    let Some(bench) = Bench::start([Reply::shell(long), Reply::done()]) else {
        return;
    };
    let turns = bench.turns().output_limit(100_000).build();
    let error = bench.run_by(turns, bench.request("Go")).await.unwrap_err();
    assert!(error.to_string().contains("allow it more"), "{error}");
    assert_eq!(bench.calls(1).turn().error_class(), Some(C::Protocol));
}

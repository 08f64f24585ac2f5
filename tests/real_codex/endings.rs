//! Codex dies during a turn: by a signal, by itself, or at a limit of the system.
#![cfg(target_os = "linux")]

use std::time::Duration;

use codex_telemetry::{ErrorClass as C, event::names, turn::TurnError};
use rustix::process::{Pid, Signal, kill_process};
use tower::timeout::error::Elapsed;

use crate::{
    app_server::Transport,
    bench::{Bench, until},
    calls::number,
    reply::{Ending, Reply},
    signals::is_ignored,
    table::each_by_both,
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
    each_by_both(rows, |transport, (cause, text, class, signal)| async move {
        let Some(bench) = Bench::start([Reply::unfinished(Ending::Silence)]) else {
            return;
        };
        let kill = async {
            until("the model was asked", || bench.model.asked().len() == 1).await;
            let pid = bench.codex().unwrap().try_into().unwrap();
            kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
        };
        let turn = bench.run_on(transport, bench.request("Go"));
        let (result, ()) = tokio::join!(turn, kill);
        let error = result.unwrap_err();
        let (is_expected, is_caught) = match transport {
            Transport::Exec => (
                matches!(error, TurnError::Exited { .. }),
                signal == Signal::INT,
            ),
            Transport::AppServer => (
                matches!(error, TurnError::ServerExited { .. }),
                signal == Signal::TERM,
            ),
        };
        assert!(is_expected, "{transport:?}: {cause}: {error:?}");
        let (text, class) = transport.expects(cause, text, class);
        assert!(
            error.to_string().contains(text),
            "{transport:?}: {cause}: {error}"
        );
        let calls = bench.calls(1);
        let event = calls.turn();
        assert_eq!(event.error_class(), Some(class), "{cause}: {error}");
        let expected = (!is_caught).then(|| signal.as_raw().into());
        assert_eq!(number(event, names::EXIT_SIGNAL), expected, "{cause}");
    })
    .await;
}

/// Keeps this program's pipe open until Codex has said that it cannot write: the service ends a server whose output
/// is closed, and such a server does not always say it.
const FULL_DISK: &str = r#"
    mkfifo "$0.stderr"
    (
        exec 3>&1 >/dev/null
        while read -r line; do
            echo "$line" >&2
            case $line in *"os error 28"*) exec 3>&- ;; esac
        done <"$0.stderr"
    ) &
    exec >/dev/full 2>"$0.stderr"
"#;

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
    each_by_both(rows, |transport, (cause, text, class, limit)| async move {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let limit = match (transport, limit) {
            (Transport::AppServer, "exec >/dev/full") => FULL_DISK,
            (_, limit) => limit,
        };
        let codex = bench.codex_after(limit);
        let result = bench.run_binary(transport, &codex, bench.request("Go"));
        let error = result.await.unwrap_err();
        let (text, class) = transport.expects(cause, text, class);
        assert!(
            error.to_string().contains(text),
            "{transport:?}: {cause}: {error}"
        );
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
    each_by_both(rows, |transport, (cause, text, class, before)| async move {
        let is_harmless = transport.is_harmless(cause);
        let Some(bench) = Bench::start(is_harmless.then(Reply::done)) else {
            return;
        };
        let codex = bench.codex_after(before);
        let result = bench.run_binary(transport, &codex, bench.request("Go"));
        let result = result.await;
        if is_harmless {
            assert!(result.is_ok(), "{cause}: {result:?}");
            return;
        }
        let error = result.unwrap_err();
        let (text, class) = transport.expects(cause, text, class);
        assert!(
            error.to_string().contains(text),
            "{transport:?}: {cause}: {error}"
        );
        let calls = bench.calls(1);
        assert_eq!(calls.turn().error_class(), Some(class), "{cause}: {error}");
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_the_caller_drops_is_cancelled() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([Reply::unfinished(Ending::Silence)]) else {
            return;
        };
        let (what, request) = ("the model was asked", bench.request("Go"));
        let asked = || !bench.model.asked().is_empty();
        match transport {
            Transport::Exec => bench.drop_when(what, request, asked).await,
            Transport::AppServer => {
                let (server, request) = bench.app_server_of(&request);
                server.drop_once(what, request, asked).await;
                server.end().await;
            }
        }
        assert_eq!(bench.calls(1).turn().error_class(), Some(C::Cancelled));
    }
}

#[tokio::test]
async fn a_deadline_ends_a_stopped_codex() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([Reply::unfinished(Ending::Silence)]) else {
            return;
        };
        let stop = async {
            until("Codex runs", || bench.codex().is_some()).await;
            let pid = bench.codex().unwrap().try_into().unwrap();
            kill_process(Pid::from_raw(pid).unwrap(), Signal::STOP).unwrap();
        };
        let deadline = Duration::from_secs(3);
        let turn = bench.run_until(transport, deadline, bench.request("Go"));
        let (error, ()) = tokio::join!(turn, stop);
        assert!(error.is::<Elapsed>(), "{error}");
        assert_eq!(bench.calls(1).turn().error_class(), Some(C::Timeout));
        bench.assert_gone("no command", None).await;
    }
}

#[tokio::test]
async fn a_codex_that_closes_its_output_and_hangs_is_a_transport_error() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let codex = bench.codex_after("exec >&-; exec sleep 60");
        let grace = Duration::from_millis(300);
        let result = bench.run_as(
            transport,
            bench.request("Go"),
            |exec| exec.codex(&codex).exit_grace(grace),
            |server| server.codex(&codex).exit_grace(grace),
        );
        let error = result.await.unwrap_err();
        assert!(
            error.to_string().contains("was killed"),
            "{transport:?}: {error}"
        );
        bench.assert_rejected("Codex closes its output and hangs", C::Transport, &error);
        bench.assert_gone("no command", None).await;
    }
}

#[tokio::test]
async fn a_turn_over_the_output_limit_is_a_protocol_error() {
    for transport in Transport::ALL {
        let long = "head -c 300000 /dev/zero | tr '\\0' x";
        let Some(bench) = Bench::start([Reply::shell(long), Reply::done()]) else {
            return;
        };
        let limit = 100_000;
        let result = bench.run_as(
            transport,
            bench.request("Go"),
            |exec| exec.output_limit(limit),
            |server| server.output_limit(limit),
        );
        let error = result.await.unwrap_err();
        assert!(
            error.to_string().contains("raise the output limit"),
            "{error}"
        );
        assert_eq!(bench.calls(1).turn().error_class(), Some(C::Protocol));
    }
}

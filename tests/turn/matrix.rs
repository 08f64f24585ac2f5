//! Every kind of process that a turn can have, in every way that a turn can end: nothing is left.
#![cfg(target_os = "linux")]

use std::{fs, path::Path, time::Duration};

use codex_telemetry::{CodexClassifier, ErrorClass, Outcome, ServiceBuilderExt, turn::TurnRequest};
use futures_util::future::join;
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tower::{ServiceBuilder, ServiceExt};

use crate::{
    signals::is_ignored,
    support::{DEADLINE, Stack, comes_true, fake_codex, request},
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Success,
    Failure,
    /// By a signal, which has a class.
    Death(ErrorClass),
    Drop,
    Timeout,
    PanicOfTheCaller,
    Shutdown,
}

#[derive(Clone, Copy)]
enum Flavor {
    CurrentThread,
    MultiThread,
}

/// What a process does beside its turn: first, and when it has told what it has to tell.
#[derive(Clone, Copy)]
struct Kind<'a> {
    first: &'a str,
    then: &'a str,
}

/// One turn of a kind of process.
struct Case {
    stack: Stack,
    request: TurnRequest,
    directory: TempDir,
}

impl Ending {
    /// Those that any process can have.
    const ALL: [Self; 6] = [
        Self::Success,
        Self::Failure,
        Self::Drop,
        Self::Timeout,
        Self::PanicOfTheCaller,
        Self::Shutdown,
    ];

    /// What the process tells for the turn to end so.
    const fn told(self) -> &'static str {
        match self {
            Self::Success => r#"echo '{"type":"turn.completed"}'; code=0"#,
            Self::Failure => {
                r#"echo '{"type":"turn.failed","error":{"message":"rate limit exceeded"}}'; code=1"#
            }
            _ => "code=",
        }
    }

    const fn expected(self) -> (Outcome, Option<ErrorClass>) {
        match self {
            Self::Success => (Outcome::Ok, None),
            Self::Failure => (Outcome::Error, Some(ErrorClass::RateLimit)),
            Self::Death(class) => (Outcome::Error, Some(class)),
            Self::Timeout => (Outcome::Error, Some(ErrorClass::Timeout)),
            _ => (Outcome::Cancelled, Some(ErrorClass::Cancelled)),
        }
    }
}

impl Flavor {
    fn runtime(self) -> Runtime {
        let mut builder = match self {
            Self::CurrentThread => Builder::new_current_thread(),
            Self::MultiThread => Builder::new_multi_thread(),
        };
        builder.worker_threads(1).enable_all().build().unwrap()
    }
}

impl Case {
    fn new(kind: Kind<'_>, ending: Ending) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // `started` is there once everything that the process starts first is.
        let script = format!(
            r#"
            echo $$ >"$CASE/pid"
            for argument; do
                case $argument in --output-schema=*)
                    echo "${{argument#*=}}" >"$CASE/schema-path"
                    cat "${{argument#*=}}" >"$CASE/schema" ;;
                esac
            done
            {}
            touch "$CASE/started"
            {}
            {}
            if [ "$code" ]; then exit $code; else sleep 303; fi
            "#,
            kind.first,
            ending.told(),
            kind.then,
        );
        Self {
            stack: Stack::new(fake_codex().exit_grace(match ending {
                // The turn's own ending is not what is to be seen.
                Ending::Success | Ending::Failure => Duration::from_millis(100),
                _ => DEADLINE,
            })),
            request: request(&script)
                .with_env("CASE", directory.path())
                .with_output_schema(json!({"type": "object"})),
            directory,
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    async fn started(&self) {
        let started = self.path("started");
        assert!(comes_true(|| started.exists()).await, "it does not start");
    }

    fn run(&self, ending: Ending, flavor: Flavor) {
        let runtime = flavor.runtime();
        let turn = self.stack.service().oneshot(self.request.clone());
        match ending {
            Ending::Success | Ending::Failure | Ending::Death(_) => {
                let ended = runtime.block_on(async { tokio::time::timeout(DEADLINE, turn).await });
                let _ = ended.expect("the turn hangs");
            }
            Ending::Drop => runtime.block_on(async {
                tokio::select! {
                    result = turn => panic!("the turn ended by itself: {result:?}"),
                    () = self.started() => {}
                }
            }),
            Ending::Timeout => {
                let timed = ServiceBuilder::new()
                    .timing(self.stack.sink.clone())
                    .error_class(CodexClassifier)
                    .timeout(Duration::from_millis(500))
                    .service(self.stack.bare());
                let turn = timed.oneshot(self.request.clone());
                runtime.block_on(turn).unwrap_err();
            }
            Ending::PanicOfTheCaller => {
                // Spawned, so that the runtime catches it, as it does for a caller.
                let started = self.path("started");
                let caller = runtime.spawn(join(turn, async move {
                    assert!(comes_true(|| started.exists()).await);
                    panic!("the caller's own");
                }));
                let end = runtime.block_on(caller);
                assert!(end.is_err_and(|error| error.is_panic()));
            }
            Ending::Shutdown => {
                runtime.spawn(turn);
                runtime.block_on(self.started());
            }
        }
    }

    fn assert_nothing_is_left(&self, ending: Ending) {
        let event = self.stack.turn_event();
        assert_eq!(
            (event.outcome().unwrap(), event.error_class()),
            ending.expected()
        );

        let runtime = Flavor::CurrentThread.runtime();
        let gone = runtime.block_on(comes_true(|| of_case(self.directory.path()).is_empty()));
        assert!(gone, "left: {:#?}", of_case(self.directory.path()));
        // A zombie has no environment to be found by. (A timeout may come before the first word.)
        match fs::read_to_string(self.path("pid")) {
            Ok(pid) => {
                let process = Path::new("/proc").join(pid.trim());
                assert!(
                    runtime.block_on(comes_true(|| !process.exists())),
                    "a zombie"
                );
            }
            Err(_) => assert_eq!(ending, Ending::Timeout),
        }
        if let Ok(path) = fs::read_to_string(self.path("schema-path")) {
            let schema = fs::read_to_string(self.path("schema")).unwrap();
            assert_eq!(schema, r#"{"type":"object"}"#);
            assert!(!Path::new(path.trim()).exists(), "left: {path}");
        } else {
            assert_eq!(ending, Ending::Timeout);
        }
    }
}

/// The processes of a case, by their environment, with their command lines.
fn of_case(directory: &Path) -> Vec<String> {
    let mark = format!("CASE={}", directory.display());
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let paths = processes.map(|process| process.path());
    let read = |path: &Path, name| fs::read(path.join(name)).unwrap_or_default();
    let bears = |path: &Path| {
        let environment = read(path, "environ");
        let mut variables = environment.split(|byte| *byte == 0);
        variables.any(|variable| variable == mark.as_bytes())
    };
    let command_line = |path: &Path| {
        let line = String::from_utf8_lossy(&read(path, "cmdline")).replace('\0', " ");
        format!("{} {line}", path.display())
    };
    paths
        .filter(|path| bears(path))
        .map(|path| command_line(&path))
        .collect()
}

fn nothing_is_left_of(kind: Kind<'_>) {
    for ending in Ending::ALL {
        nothing_is_left_at(kind, ending);
    }
}

fn nothing_is_left_at(kind: Kind<'_>, ending: Ending) {
    for flavor in [Flavor::CurrentThread, Flavor::MultiThread] {
        let case = Case::new(kind, ending);
        case.run(ending, flavor);
        case.assert_nothing_is_left(ending);
    }
}

#[test]
fn nothing_is_left_of_a_plain_process() {
    nothing_is_left_of(Kind {
        first: "",
        then: "",
    });
}

#[test]
fn nothing_is_left_of_a_process_that_forks() {
    nothing_is_left_of(Kind {
        first: "sleep 303 & (sleep 303 & sleep 303) &",
        then: "",
    });
}

#[test]
fn nothing_is_left_of_a_process_with_children_in_sessions_of_their_own() {
    nothing_is_left_of(Kind {
        first: "setsid sh -c 'sleep 303 & setsid sleep 303 & touch \"$CASE/there\"; wait' &
                until [ -e \"$CASE/there\" ]; do :; done",
        then: "",
    });
}

#[test]
fn nothing_is_left_of_a_process_that_ignores_signals() {
    nothing_is_left_of(Kind {
        first: "trap '' HUP INT QUIT TERM; sleep 303 & setsid sleep 303 &",
        then: "",
    });
}

#[test]
fn nothing_is_left_of_a_process_that_closes_its_pipes() {
    nothing_is_left_of(Kind {
        first: "sleep 303 &",
        then: "exec <&- >&- 2>&-; sleep 303",
    });
}

#[test]
fn nothing_is_left_of_a_process_that_writes_forever() {
    nothing_is_left_of(Kind {
        first: "",
        then: r#"while :; do echo '{"type":"turn.started"}'; done"#,
    });
}

#[test]
fn nothing_is_left_of_a_process_that_floods_standard_error() {
    nothing_is_left_of(Kind {
        first: "yes noise >&2 &",
        then: "yes noise >&2",
    });
}

#[test]
fn nothing_is_left_of_a_process_that_writes_one_endless_line() {
    nothing_is_left_of(Kind {
        first: "",
        then: "while :; do printf xxxxxxxx; done",
    });
}

#[test]
fn nothing_is_left_of_a_process_that_stops_itself() {
    nothing_is_left_of(Kind {
        first: "setsid sleep 303 &",
        then: "kill -STOP $$; sleep 303",
    });
}

#[test]
fn nothing_is_left_of_a_process_that_dies_by_a_signal() {
    use ErrorClass::{Interrupted, Transport};
    for (name, signal, class) in [
        ("HUP", Signal::HUP, Interrupted),
        ("INT", Signal::INT, Interrupted),
        ("QUIT", Signal::QUIT, Interrupted),
        ("ILL", Signal::ILL, Transport),
        ("ABRT", Signal::ABORT, Transport),
        ("BUS", Signal::BUS, Transport),
        ("FPE", Signal::FPE, Transport),
        ("KILL", Signal::KILL, Transport),
        ("SEGV", Signal::SEGV, Transport),
        ("PIPE", Signal::PIPE, Transport),
        ("ALRM", Signal::ALARM, Interrupted),
        ("TERM", Signal::TERM, Interrupted),
    ] {
        if is_ignored(signal) {
            continue;
        }
        let kind = Kind {
            first: "ulimit -c 0; sleep 303 & setsid sleep 303 &",
            then: &format!("kill -{name} $$"),
        };
        nothing_is_left_at(kind, Ending::Death(class));
    }
}

//! Every kind of process, with every ending of a turn, leaves no process and no file.
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
    /// By a signal, with the class of that signal.
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

/// What a process does before and after the output that ends the turn.
#[derive(Clone, Copy)]
struct Kind<'a> {
    before: &'a str,
    after: &'a str,
}

/// One turn of a kind of process.
struct Case {
    stack: Stack,
    request: TurnRequest,
    directory: TempDir,
}

impl Ending {
    /// The endings that any process can have.
    const ALL: [Self; 6] = [
        Self::Success,
        Self::Failure,
        Self::Drop,
        Self::Timeout,
        Self::PanicOfTheCaller,
        Self::Shutdown,
    ];

    /// The output for this ending, and the exit code, if the process exits.
    const fn output(self) -> &'static str {
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
        // `started` exists once the process has done what it does before its output.
        let script = format!(
            r#"
            echo $$ >"$CASE/pid"
            for argument; do
                case $argument in --output-schema=*)
                    cat "${{argument#*=}}" >"$CASE/schema"
                    echo "${{argument#*=}}" >"$CASE/schema-path" ;;
                esac
            done
            {}
            touch "$CASE/started"
            {}
            {}
            if [ "$code" ]; then exit $code; else sleep 303; fi
            "#,
            kind.before,
            ending.output(),
            kind.after,
        );
        Self {
            stack: Stack::new(fake_codex().exit_grace(match ending {
                // Short, so that the turn ends while the process still runs.
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

    /// Returns the line that the process has written to a file. A timeout may come before it has.
    fn line(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.path(name)).ok()?;
        text.strip_suffix('\n').map(str::to_owned)
    }

    async fn started(&self) {
        let started = self.path("started");
        assert!(
            comes_true(|| started.exists()).await,
            "the process does not start"
        );
    }

    fn run(&self, ending: Ending, flavor: Flavor) {
        let runtime = flavor.runtime();
        let turn = self.stack.service().oneshot(self.request.clone());
        match ending {
            Ending::Success | Ending::Failure | Ending::Death(_) => {
                let result = runtime.block_on(async { tokio::time::timeout(DEADLINE, turn).await });
                let _ = result.expect("the turn hangs");
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
                // Spawned, so that the runtime catches the panic.
                let started = self.path("started");
                let caller = runtime.spawn(join(turn, async move {
                    assert!(comes_true(|| started.exists()).await);
                    panic!("of the caller");
                }));
                let result = runtime.block_on(caller);
                assert!(result.is_err_and(|error| error.is_panic()));
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
        // A zombie has no environment.
        match self.line("pid") {
            Some(pid) => {
                let process = Path::new("/proc").join(pid);
                assert!(
                    runtime.block_on(comes_true(|| !process.exists())),
                    "a zombie"
                );
            }
            None => assert_eq!(ending, Ending::Timeout),
        }
        if let Some(path) = self.line("schema-path") {
            let schema = fs::read_to_string(self.path("schema")).unwrap();
            assert_eq!(schema, r#"{"type":"object"}"#);
            assert!(!Path::new(&path).exists(), "left: {path}");
        } else {
            assert_eq!(ending, Ending::Timeout);
        }
    }
}

/// Returns the command lines of the processes of a case, found by their environment.
fn of_case(directory: &Path) -> Vec<String> {
    let tag = format!("CASE={}", directory.display());
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let paths = processes.map(|process| process.path());
    let read = |path: &Path, name| fs::read(path.join(name)).unwrap_or_default();
    let has_tag = |path: &Path| {
        let environment = read(path, "environ");
        let mut variables = environment.split(|byte| *byte == 0);
        variables.any(|variable| variable == tag.as_bytes())
    };
    let command_line = |path: &Path| {
        let line = String::from_utf8_lossy(&read(path, "cmdline")).replace('\0', " ");
        format!("{} {line}", path.display())
    };
    paths
        .filter(|path| has_tag(path))
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
        before: "",
        after: "",
    });
}

#[test]
fn nothing_is_left_of_a_process_that_forks() {
    nothing_is_left_of(Kind {
        before: "sleep 303 & (sleep 303 & sleep 303) &",
        after: "",
    });
}

#[test]
fn nothing_is_left_of_a_process_with_children_in_their_own_sessions() {
    nothing_is_left_of(Kind {
        before: "setsid sh -c 'sleep 303 & setsid sleep 303 & touch \"$CASE/there\"; wait' &
                until [ -e \"$CASE/there\" ]; do :; done",
        after: "",
    });
}

#[test]
fn nothing_is_left_of_a_process_that_ignores_signals() {
    nothing_is_left_of(Kind {
        before: "trap '' HUP INT QUIT TERM; sleep 303 & setsid sleep 303 &",
        after: "",
    });
}

#[test]
fn nothing_is_left_of_a_process_that_closes_its_pipes() {
    nothing_is_left_of(Kind {
        before: "sleep 303 &",
        after: "exec <&- >&- 2>&-; sleep 303",
    });
}

#[test]
fn nothing_is_left_of_a_process_that_writes_forever() {
    nothing_is_left_of(Kind {
        before: "",
        after: r#"while :; do echo '{"type":"turn.started"}'; done"#,
    });
}

#[test]
fn nothing_is_left_of_a_process_that_floods_standard_error() {
    nothing_is_left_of(Kind {
        before: "yes noise >&2 &",
        after: "yes noise >&2",
    });
}

#[test]
fn nothing_is_left_of_a_process_that_writes_one_endless_line() {
    nothing_is_left_of(Kind {
        before: "",
        after: "while :; do printf xxxxxxxx; done",
    });
}

#[test]
fn nothing_is_left_of_a_process_that_stops_itself() {
    nothing_is_left_of(Kind {
        before: "setsid sleep 303 &",
        after: "kill -STOP $$; sleep 303",
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
            before: "ulimit -c 0; sleep 303 & setsid sleep 303 &",
            after: &format!("kill -{name} $$"),
        };
        nothing_is_left_at(kind, Ending::Death(class));
    }
}

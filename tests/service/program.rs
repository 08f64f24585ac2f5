use std::{
    collections::BTreeSet,
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};

use crate::{
    client::Client,
    receiver::{Receiver, Span},
    state::State,
};

/// A time that is never reached, not even on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The callers and their tokens.
const TOKENS: &str = "ann=the-token-of-ann-0,bob=the-token-of-bob-0";

/// A program that runs. Dropping it kills and reaps it.
pub(crate) struct Program {
    child: Child,
    address: String,
    receiver: Receiver,
    /// How many events there were before.
    events_before: usize,
}

impl Program {
    /// Starts the program with some options.
    pub(crate) async fn start(state: &State, options: &[&str]) -> Self {
        Self::run(state, command(state, options)).await
    }

    /// Starts a command that runs the program.
    pub(crate) async fn run(state: &State, mut command: Command) -> Self {
        let receiver = Receiver::http();
        let events_before = state.events().len();
        let log = File::options().create(true).append(true).open(state.log());
        let mut child = command
            .env("CODEX_OTLP_ENDPOINT", receiver.endpoint())
            .stdout(Stdio::piped())
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap();
        let log = || fs::read_to_string(state.log()).unwrap();
        let line = line.unwrap_or_else(|| panic!("it has not begun: {}", log()));
        let address = line.strip_prefix("listening on ").unwrap().to_owned();
        Self {
            child,
            address,
            receiver,
            events_before,
        }
    }

    /// Returns a client of one of the callers.
    pub(crate) fn client(&self, caller: &str) -> Client {
        let mut tokens = TOKENS.split(',').filter_map(|pair| pair.split_once('='));
        let (_, token) = tokens.find(|(name, _)| *name == caller).unwrap();
        self.client_with(Some(token))
    }

    pub(crate) fn client_with(&self, token: Option<&str>) -> Client {
        Client::new(&self.address, token)
    }

    /// Returns a bare connection.
    pub(crate) async fn connect(&self) -> TcpStream {
        let address = self.address.strip_prefix("http://").unwrap();
        TcpStream::connect(address).await.unwrap()
    }

    pub(crate) fn id(&self) -> Pid {
        Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.id(), signal).unwrap();
    }

    /// Waits for the exit, and returns its code.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        let exit = timeout(DEADLINE, self.child.wait()).await;
        exit.expect("the program does not end").unwrap().code()
    }

    /// Has the program end, when no turn runs any more, and checks what is left. Returns the spans.
    pub(crate) async fn ends(self, state: &State) -> Vec<Span> {
        self.signal(Signal::TERM);
        self.ends_with(state, 0).await
    }

    /// Waits for the exit with a code, and checks what is left: no process, and in the file and at the receiver one start
    /// and one end of every call. Returns the spans.
    pub(crate) async fn ends_with(mut self, state: &State, code: i32) -> Vec<Span> {
        let log = || fs::read_to_string(state.log()).unwrap();
        assert_eq!(self.exit_code().await, Some(code), "{}", log());
        state.no_process_is_left().await;
        let events = state.events().after(self.events_before);
        events.check();
        let text = |id: &serde_json::Value| id.as_str().unwrap().to_owned();
        let ended: BTreeSet<_> = events.ends().map(|event| text(&event["span_id"])).collect();
        let spans = self.receiver.spans();
        let exported: BTreeSet<_> = spans.iter().map(|span| span.span_id.clone()).collect();
        assert_eq!(exported.len(), spans.len(), "a span came twice");
        assert_eq!(exported, ended, "{}", log());
        spans
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.child.start_kill();
        while matches!(self.child.try_wait(), Ok(None)) {
            std::thread::yield_now();
        }
    }
}

/// Returns a command that runs the program with some options, and with nothing of this process's environment.
pub(crate) fn command(state: &State, options: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .env_clear()
        .envs(env::var_os("PATH").map(|path| ("PATH", path)))
        .env("SERVICE_TOKENS", TOKENS)
        .args(["--listen", "127.0.0.1:0", "--state"])
        .arg(state.path())
        .args(options);
    command
}

fn binary() -> PathBuf {
    let test = env::current_exe().unwrap();
    // From target/PROFILE/deps/service-HASH to target/PROFILE/examples/service.
    let profile = test.ancestors().nth(2).map(Path::to_owned).unwrap();
    let path = profile.join("examples/service");
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --examples` first",
        path.display()
    );
    path
}

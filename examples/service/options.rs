//! The command line, and the callers of the environment.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use tracing_subscriber::filter::Targets;

pub(crate) const USAGE: &str = "\
usage: service [OPTION]...

  --listen ADDR           where to listen (default: 127.0.0.1:8080; port 0 is any free one)
  --state DIR             where all files are (default: target/service)
  --codex PATH            the real Codex CLI (default: a stand-in, which this program is itself)
  --accept COMMAND        accept this command without asking anybody; may be repeated
  --approval-timeout S    decline after this time, in seconds (default: 60)
  --turn-timeout S        cancel an attempt after this time, in seconds (default: 600)
  --max-turns N           how many turns run at once (default: 8)
  --queue N               how many turns may wait for that (default: 16; at least --max-turns)
  --max-body BYTES        the largest body of a request (default: 1 MiB)
  --max-upload BYTES      the largest upload (default: 16 MiB)
  --max-uploads N         how many uploads a caller may have (default: 100)
  --grace S               how long turns may go on after SIGTERM, in seconds (default: 10)
  --log FILTER            what to log on standard error (default: warnings, without events)

The environment: SERVICE_TOKENS=name=token,... has the callers and their tokens. Without it there is one
caller, `local`, whose token is in the file `token` of the state directory. CODEX_OTLP_ENDPOINT exports.
";

/// The default filter: warnings of the crate, for example of an exporter that cannot start.
const LOG: &str = "warn,codex_telemetry::events=off";

pub(crate) struct Options {
    pub(crate) listen: SocketAddr,
    pub(crate) state: PathBuf,
    pub(crate) codex: Option<PathBuf>,
    /// The commands that the policy accepts.
    pub(crate) accept: Vec<String>,
    pub(crate) approval_timeout: Duration,
    pub(crate) turn_timeout: Duration,
    pub(crate) max_turns: usize,
    pub(crate) queue: usize,
    pub(crate) max_body: usize,
    pub(crate) max_upload: u64,
    pub(crate) max_uploads: usize,
    pub(crate) grace: Duration,
    pub(crate) log: Targets,
}

impl Options {
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;

        let mut options = Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            state: PathBuf::from("target/service"),
            codex: None,
            accept: Vec::new(),
            approval_timeout: Duration::from_secs(60),
            turn_timeout: Duration::from_secs(600),
            max_turns: 8,
            queue: 16,
            max_body: 1 << 20,
            max_upload: 16 << 20,
            max_uploads: 100,
            grace: Duration::from_secs(10),
            log: LOG.parse().map_err(|_| "the default filter is invalid")?,
        };
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("listen") => options.listen = parser.value()?.parse()?,
                Long("state") => options.state = parser.value()?.into(),
                Long("codex") => options.codex = Some(parser.value()?.into()),
                Long("accept") => options.accept.push(parser.value()?.string()?),
                Long("approval-timeout") => options.approval_timeout = seconds(&mut parser)?,
                Long("turn-timeout") => options.turn_timeout = seconds(&mut parser)?,
                Long("max-turns") => options.max_turns = at_least_one(&mut parser)?,
                Long("queue") => options.queue = at_least_one(&mut parser)?,
                Long("max-body") => options.max_body = parser.value()?.parse()?,
                Long("max-upload") => options.max_upload = parser.value()?.parse()?,
                Long("max-uploads") => options.max_uploads = parser.value()?.parse()?,
                Long("grace") => options.grace = seconds(&mut parser)?,
                Long("log") => options.log = parser.value()?.parse()?,
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }
}

fn seconds(parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    use lexopt::ValueExt;

    let seconds: f64 = parser.value()?.parse()?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "a time is a number of seconds, from 0".into())
}

fn at_least_one(parser: &mut lexopt::Parser) -> Result<usize, lexopt::Error> {
    use lexopt::ValueExt;

    match parser.value()?.parse()? {
        0 => Err("a limit is at least 1".into()),
        limit => Ok(limit),
    }
}

//! The cost of a sweep of 100,000 expired attachments, compared to an unlink loop and `find … -delete`.
//!
//! Run with `cargo bench --bench sweep`. Each round fills and syncs a directory for each of the three
//! methods, and measures them one after the other, so compare results of the same round. By default,
//! the directories are in the temp directory and in `/dev/shm` if it exists. Arguments set others:
//!
//! ```sh
//! cargo bench --bench sweep -- --files 100000 --rounds 7 /var/tmp
//! ```
//!
//! `--seconds` bounds the time for each directory: no round begins that would probably end later.
//!
//! The benchmark prints the medians and writes them to `target/overhead/sweep.json`. With `--test`, it
//! runs one round with a few files and writes nothing.

#[path = "support/report.rs"]
mod report;

use std::{
    error::Error,
    ffi::OsStr,
    fs::{self, File},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use codex_telemetry::attachment::{AttachmentStore, CleanupRequest, CleanupService};
use lexopt::{Arg, ValueExt};
use report::Report;
use tower::ServiceExt;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The size of a short text or a patch.
const CONTENT: [u8; 1024] = [b'x'; 1024];

struct Options {
    files: usize,
    rounds: usize,
    /// The time for each parent directory, in which there is at least one round.
    time: Duration,
    parents: Vec<PathBuf>,
}

/// Removes all files in a directory.
type Method = fn(&Path) -> Result<()>;

const METHODS: [(&str, Method); 3] = [
    ("unlink loop", unlink_loop),
    ("`find … -delete`", find_delete),
    ("sweep", sweep),
];

fn main() -> Result<()> {
    let options = Options::parse()?;
    let mut report = Report::new("sweep", "A sweep of expired files");
    for parent in &options.parents {
        measure(parent, &options, &mut report)?;
    }
    report.write();
    Ok(())
}

fn measure(parent: &Path, options: &Options, report: &mut Report) -> Result<()> {
    let file_system = file_system(parent)?;
    let mut times = METHODS.map(|_| Vec::new());
    let mut longest = Duration::ZERO;
    let first = Instant::now();
    for round in 0..options.rounds {
        if first.elapsed() + longest > options.time {
            break;
        }
        let began = Instant::now();
        // Progress, because filling a directory takes much longer than emptying it.
        println!("sweep: {}, round {}", parent.display(), round + 1);
        for position in 0..METHODS.len() {
            // Each method takes each position equally often.
            let method = (round + position) % METHODS.len();
            let directory = tempfile::tempdir_in(parent)?;
            fill(directory.path(), options.files)?;
            let start = Instant::now();
            METHODS[method].1(directory.path())?;
            times[method].push(start.elapsed());
            check(directory.path())?;
        }
        longest = longest.max(began.elapsed());
    }
    let ratio = |method: usize, baseline: usize| {
        let pairs = times[method].iter().zip(&times[baseline]);
        median(pairs.map(|(time, baseline)| time.as_secs_f64() / baseline.as_secs_f64()))
    };
    let (over_loop, over_find) = (ratio(2, 0), ratio(2, 1));
    let medians = [0, 1, 2].map(|method| median(times[method].iter().map(Duration::as_secs_f64)));
    println!(
        "{} files in {} ({file_system}), medians of {} rounds:",
        options.files,
        parent.display(),
        times[0].len()
    );
    for ((name, _), seconds) in METHODS.iter().zip(medians) {
        report.cell(name, &file_system, seconds * 1e3, "ms");
    }
    report.cell("sweep over unlink loop", &file_system, over_loop, "×");
    report.cell("sweep over find", &file_system, over_find, "×");
    Ok(())
}

/// Creates files with the names of attachments. They are expired, because their time is not in the future.
fn fill(directory: &Path, files: usize) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(7);
    for index in 0..files {
        let hash = format!("{:032x}{:032x}", random.u128(..), random.u128(..));
        fs::write(directory.join(format!("{hash}-notes-{index}.txt")), CONTENT)?;
    }
    // Removing files that were never written to the disk is cheaper.
    rustix::fs::syncfs(File::open(directory)?)?;
    Ok(())
}

/// Checks that the directory is empty, except for the lock of the store.
fn check(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if name != ".lock" {
            return Err(format!("{} is not removed", name.display()).into());
        }
    }
    Ok(())
}

fn unlink_loop(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

fn find_delete(directory: &Path) -> Result<()> {
    let mut find = Command::new("find");
    find.arg(directory).args(["-type", "f", "-delete"]);
    match find.status()?.success() {
        true => Ok(()),
        false => Err("find failed".into()),
    }
}

fn sweep(directory: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let store = AttachmentStore::open(directory)?;
    let swept = CleanupService::new(store).oneshot(CleanupRequest::expired());
    let report = runtime.block_on(swept)?;
    match report.failed {
        0 => Ok(()),
        _ => Err(report.to_string().into()),
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

/// Returns the type of the file system of a directory, by its deepest mount point.
fn file_system(directory: &Path) -> Result<String> {
    let directory = directory.canonicalize()?;
    let mounts = fs::read("/proc/mounts").unwrap_or_default();
    let above = mounts.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ').skip(1);
        let point = Path::new(OsStr::from_bytes(fields.next()?));
        directory
            .starts_with(point)
            .then_some((point, fields.next()?))
    });
    let deepest = above.max_by_key(|(point, _)| point.components().count());
    Ok(deepest.map_or_else(
        || "unknown".to_owned(),
        |(_, kind)| String::from_utf8_lossy(kind).into_owned(),
    ))
}

// === impl Options ===

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self {
            files: 100_000,
            rounds: 3,
            time: Duration::MAX,
            parents: Vec::new(),
        };
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("files") => options.files = arguments.value()?.parse()?,
                Arg::Long("rounds") => options.rounds = arguments.value()?.parse()?,
                Arg::Long("seconds") => {
                    options.time = Duration::from_secs(arguments.value()?.parse()?);
                }
                // `report` reads these; cargo passes `--bench`.
                Arg::Long("test" | "bench") => {}
                Arg::Value(parent) => options.parents.push(parent.into()),
                other => return Err(other.unexpected().into()),
            }
        }
        if report::is_smoke() {
            (options.files, options.rounds) = (1000, 1);
        }
        if options.parents.is_empty() {
            let memory = Path::new("/dev/shm");
            options.parents.push(std::env::temp_dir());
            options
                .parents
                .extend(memory.is_dir().then(|| memory.into()));
        }
        Ok(options)
    }
}

//! Renders `docs/overhead.md`, `docs/overhead.svg` and the table in `README.md` from the results of the
//! benchmarks.
//!
//! `scripts/overhead` runs it after the benchmarks:
//!
//! ```sh
//! cargo run --manifest-path benches/page/Cargo.toml -- target/overhead
//! ```
//!
//! The prose of the page is in `template.md`. This program writes what is between the markers there and in
//! the README.

mod error;
mod figures;
mod machine;
mod number;
mod plot;
mod series;
mod tables;
mod targets;
mod template;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{error::Error, figures::Figures};

const TEMPLATE: &str = include_str!("../template.md");

fn main() -> ExitCode {
    let Some(from) = env::args_os().nth(1) else {
        eprintln!("usage: codex-telemetry-overhead-page target/overhead");
        return ExitCode::FAILURE;
    };
    match render(&PathBuf::from(from)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn render(from: &Path) -> Result<(), Error> {
    let figures = Figures::read(from)?;
    let generate = |marker: &str| {
        Ok(match marker.split_once(' ') {
            Some(("report", name)) => tables::report(&figures, name),
            _ => match marker {
                "machine" => machine::table()?,
                "targets" => targets::table(&figures),
                "ladder" => tables::ladder(&figures),
                "peers" => tables::peers(&figures),
                unknown => return Err(Error::new(format!("unknown marker: {unknown}"))),
            },
        })
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = root.join("README.md");
    let readme = fs::read_to_string(&readme).map_err(|error| Error::at(&readme, error))?;
    let page = template::fill(TEMPLATE, &figures.reports(), generate)?;
    let in_short = tables::peers_in_short(&figures);
    let readme = template::replace(&readme, "peers in short", &in_short)?;
    for (name, text) in [
        ("docs/overhead.md", page),
        ("docs/overhead.svg", plot::bars(&figures)),
        ("README.md", readme),
    ] {
        let file = root.join(name);
        fs::write(&file, text).map_err(|error| Error::at(&file, error))?;
        println!("{name}");
    }
    targets::summary(&figures);
    Ok(())
}

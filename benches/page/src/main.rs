//! Renders `docs/overhead.md` and `docs/overhead.svg` from what the benchmarks wrote.
//!
//! `scripts/overhead` calls it, after the benchmarks:
//!
//! ```sh
//! cargo run --manifest-path benches/page/Cargo.toml -- target/overhead
//! ```
//!
//! The prose is in `template.md`; what stands between its markers is written here.

mod error;
mod figures;
mod machine;
mod number;
mod plot;
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
        eprintln!("name the directory that the benchmarks wrote to: target/overhead");
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
    let page = template::fill(TEMPLATE, &figures.reports(), |marker| {
        Ok(match marker.split_once(' ') {
            Some(("report", name)) => tables::report(&figures, name),
            _ => match marker {
                "machine" => machine::table()?,
                "targets" => targets::table(&figures),
                "ladder" => tables::ladder(&figures),
                "peers" => tables::peers(&figures),
                unknown => return Err(Error::new(format!("template.md: what is {unknown}?"))),
            },
        })
    })?;
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    for (name, text) in [
        ("overhead.md", page),
        ("overhead.svg", plot::bars(&figures)),
    ] {
        let file = docs.join(name);
        fs::write(&file, text).map_err(|error| Error::at(&file, error))?;
        println!("docs/{name}");
    }
    targets::summary(&figures);
    Ok(())
}

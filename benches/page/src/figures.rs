use std::{collections::BTreeMap, fs, io, path::Path, time::SystemTime};

use serde_json::Value;

use crate::{error::Error, series::Series};

/// All results of the benchmarks.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// The results of criterion, of each run.
    pub(crate) runs: Vec<Run>,
    /// The tables of the other benchmarks, by file name.
    pub(crate) tables: BTreeMap<String, Table>,
}

/// The results of criterion in one run, in the order in which they were measured.
#[derive(Debug, Default)]
pub(crate) struct Run(pub(crate) Vec<Rung>);

/// The result of one criterion function, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Rung {
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) median: f64,
}

/// A table that `benches/support/report.rs` wrote.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) cells: Vec<Cell>,
}

#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) name: String,
    pub(crate) column: Option<String>,
    pub(crate) value: f64,
    pub(crate) unit: String,
}

// === impl Figures ===

impl Figures {
    pub(crate) fn read(from: &Path) -> Result<Self, Error> {
        let mut figures = Self::default();
        for entry in fs::read_dir(from).map_err(|error| Error::at(from, error))? {
            let path = entry.map_err(|error| Error::at(from, error))?.path();
            if let (Some("json"), Some(name)) = (
                path.extension().and_then(|extension| extension.to_str()),
                path.file_stem().and_then(|stem| stem.to_str()),
            ) {
                let table = Table::of(&json(&path)?)
                    .ok_or_else(|| Error::at(&path, "not a table of benches/support/report.rs"))?;
                figures.tables.insert(name.to_owned(), table);
            }
        }
        let criterion = from.join("criterion");
        if criterion.is_dir() {
            let entries = fs::read_dir(&criterion).map_err(|error| Error::at(&criterion, error))?;
            for entry in entries {
                let run = entry.map_err(|error| Error::at(&criterion, error))?.path();
                figures.runs.push(Run::read(&run)?);
            }
        }
        Ok(figures)
    }

    pub(crate) fn reports(&self) -> Vec<&str> {
        self.tables.keys().map(String::as_str).collect()
    }

    /// Returns the names of the functions of a group, in the order in which they were measured.
    pub(crate) fn names<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a str> {
        let rungs = self.runs.first().into_iter().flat_map(|run| &run.0);
        let rungs = rungs.filter(move |rung| rung.group == group);
        rungs.map(|rung| rung.name.as_str())
    }

    /// Returns a value of each run. `None` if no run has measured what it needs.
    pub(crate) fn series(&self, value: impl Fn(&Run) -> Option<f64>) -> Option<Series> {
        Series::new(self.runs.iter().filter_map(value).collect())
    }

    /// Returns the cells of one line of a table.
    pub(crate) fn line(&self, table: &str, name: &str) -> Vec<&Cell> {
        let cells = self.tables.get(table).map(|table| table.cells.iter());
        let cells = cells.into_iter().flatten();
        cells.filter(|cell| cell.name == name).collect()
    }
}

impl Run {
    fn read(from: &Path) -> Result<Self, Error> {
        let mut rungs = Vec::new();
        find_rungs(from, &mut rungs)?;
        rungs.sort_by_key(|(written, _)| *written);
        Ok(Self(rungs.into_iter().map(|(_, rung)| rung).collect()))
    }

    /// Returns the median of one criterion function, in nanoseconds.
    pub(crate) fn median(&self, group: &str, name: &str) -> Option<f64> {
        let mut rungs = self.0.iter();
        let rung = rungs.find(|rung| rung.group == group && rung.name == name);
        Some(rung?.median)
    }
}

impl Table {
    fn of(value: &Value) -> Option<Self> {
        let cells = value["rows"].as_array()?.iter().map(|row| {
            Some(Cell {
                name: row["name"].as_str()?.to_owned(),
                column: row["column"].as_str().map(str::to_owned),
                value: row["value"].as_f64()?,
                unit: row["unit"].as_str()?.to_owned(),
            })
        });
        Some(Self {
            title: value["title"].as_str()?.to_owned(),
            cells: cells.collect::<Option<_>>()?,
        })
    }
}

impl Rung {
    /// Reads what criterion stores about the latest measurement of a function.
    fn of(benchmark: &Value, estimates: &Value) -> Option<Self> {
        Some(Self {
            group: benchmark["group_id"].as_str()?.to_owned(),
            name: benchmark["function_id"].as_str()?.to_owned(),
            median: estimates["median"]["point_estimate"].as_f64()?,
        })
    }
}

/// Finds the directories `new`, which criterion creates for each function, at different depths.
fn find_rungs(directory: &Path, rungs: &mut Vec<(SystemTime, Rung)>) -> Result<(), Error> {
    let estimates = directory.join("new/estimates.json");
    if estimates.is_file() {
        let benchmark = json(&directory.join("new/benchmark.json"))?;
        let rung = Rung::of(&benchmark, &json(&estimates)?)
            .ok_or_else(|| Error::at(&estimates, "not a result of criterion"))?;
        let written = fs::metadata(&estimates).and_then(|metadata| metadata.modified());
        rungs.push((written.map_err(|error| Error::at(&estimates, error))?, rung));
        return Ok(());
    }
    for entry in fs::read_dir(directory).map_err(|error| Error::at(directory, error))? {
        let path = entry.map_err(|error| Error::at(directory, error))?.path();
        if path.is_dir() {
            find_rungs(&path, rungs)?;
        }
    }
    Ok(())
}

fn json(path: &Path) -> Result<Value, Error> {
    let text = fs::read(path);
    text.and_then(|text| serde_json::from_slice(&text).map_err(io::Error::from))
        .map_err(|error| Error::at(path, error))
}

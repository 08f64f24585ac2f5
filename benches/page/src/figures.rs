use std::{collections::BTreeMap, fs, io, path::Path, time::SystemTime};

use serde_json::Value;

use crate::error::Error;

/// All results of the benchmarks.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// The results of criterion, in the order in which they were measured.
    pub(crate) rungs: Vec<Rung>,
    /// The tables of the other benchmarks, by file name.
    pub(crate) tables: BTreeMap<String, Table>,
}

/// The result of one criterion function, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Rung {
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) median: f64,
    /// The 95 % confidence interval of the median.
    pub(crate) interval: [f64; 2],
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
        let mut rungs = Vec::new();
        let criterion = from.join("criterion");
        if criterion.is_dir() {
            find_rungs(&criterion, &mut rungs)?;
        }
        rungs.sort_by_key(|(written, _)| *written);
        figures.rungs = rungs.into_iter().map(|(_, rung)| rung).collect();
        Ok(figures)
    }

    pub(crate) fn reports(&self) -> Vec<&str> {
        self.tables.keys().map(String::as_str).collect()
    }

    pub(crate) fn group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Rung> {
        self.rungs.iter().filter(move |rung| rung.group == group)
    }

    /// Returns the median of one criterion function, in nanoseconds.
    pub(crate) fn rung(&self, group: &str, name: &str) -> Option<f64> {
        let mut group = self.group(group);
        Some(group.find(|rung| rung.name == name)?.median)
    }

    /// Returns the cells of one line of a table.
    pub(crate) fn line(&self, table: &str, name: &str) -> Vec<&Cell> {
        let cells = self.tables.get(table).map(|table| table.cells.iter());
        let cells = cells.into_iter().flatten();
        cells.filter(|cell| cell.name == name).collect()
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
    /// Reads what criterion stores about the latest run of a function.
    fn of(benchmark: &Value, estimates: &Value) -> Option<Self> {
        let median = &estimates["median"];
        let interval = &median["confidence_interval"];
        Some(Self {
            group: benchmark["group_id"].as_str()?.to_owned(),
            name: benchmark["function_id"].as_str()?.to_owned(),
            median: median["point_estimate"].as_f64()?,
            interval: [
                interval["lower_bound"].as_f64()?,
                interval["upper_bound"].as_f64()?,
            ],
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

use std::{collections::BTreeMap, fs, io, path::Path, time::SystemTime};

use serde_json::Value;

use crate::error::Error;

/// All that the benchmarks wrote.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Criterion's, in the order in which they were measured.
    pub(crate) rungs: Vec<Rung>,
    /// The tables of the other benchmarks, by the names of their files.
    pub(crate) tables: BTreeMap<String, Table>,
}

/// What criterion measured of one function, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Rung {
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) median: f64,
    /// The interval that holds the median with a confidence of 95 %.
    pub(crate) interval: [f64; 2],
}

/// What a benchmark handed on by `benches/support/report.rs`.
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
                    .ok_or_else(|| Error::at(&path, "not what benches/support/report.rs writes"))?;
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

    /// The median of one of criterion's functions, in nanoseconds.
    pub(crate) fn rung(&self, group: &str, name: &str) -> Option<f64> {
        let mut group = self.group(group);
        Some(group.find(|rung| rung.name == name)?.median)
    }

    /// The cells of one line of a table.
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
    /// What criterion keeps of its newest run of a function.
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

/// Criterion has a directory `new` for each function, at different depths.
fn find_rungs(directory: &Path, rungs: &mut Vec<(SystemTime, Rung)>) -> Result<(), Error> {
    let estimates = directory.join("new/estimates.json");
    if estimates.is_file() {
        let benchmark = json(&directory.join("new/benchmark.json"))?;
        let rung = Rung::of(&benchmark, &json(&estimates)?)
            .ok_or_else(|| Error::at(&estimates, "not what criterion writes"))?;
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

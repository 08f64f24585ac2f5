//! The results of a benchmark that does not use criterion, as a table in `target/overhead/NAME.json`.
//! `scripts/overhead` puts it on the page.
//!
//! ```json
//! {"title": "Memory", "rows": [{"name": "one call in flight", "column": "layers", "value": 312, "unit": "bytes"}]}
//! ```
//!
//! A column is optional. Rows of the same name are one line of the table, with a cell for each column.
//! Each benchmark is its own crate, so it includes this file by its path:
//!
//! ```ignore
//! #[path = "support/report.rs"]
//! mod report;
//! ```
#![allow(dead_code, reason = "no benchmark uses all of it")]

use std::{env, fs, path::Path};

use serde_json::{Value, json};

/// A table of results.
pub(crate) struct Report {
    name: &'static str,
    title: &'static str,
    rows: Vec<Value>,
}

/// Returns whether to run the smallest possible load, only to show that the benchmark works.
///
/// As with criterion, `-- --test` asks for it.
pub(crate) fn is_smoke() -> bool {
    env::args().any(|argument| argument == "--test")
        || !env::args().any(|argument| argument == "--bench")
}

/// Returns the lower quartile, the median and the upper quartile.
pub(crate) fn quartiles(values: &mut [f64]) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| {
        let quarters = quarter * (values.len() - 1);
        let (index, rest) = (quarters / 4, quarters % 4);
        let next = values[(index + 1).min(values.len() - 1)];
        values[index] + (next - values[index]) * rest as f64 / 4.0
    })
}

// === impl Report ===

impl Report {
    /// Returns an empty table, which [`write`](Self::write) writes to `target/overhead/NAME.json`.
    pub(crate) fn new(name: &'static str, title: &'static str) -> Self {
        Self {
            name,
            title,
            rows: Vec::new(),
        }
    }

    /// Adds and prints a line with one value.
    pub(crate) fn row(&mut self, name: &str, value: f64, unit: &str) {
        println!("{}: {name}: {value:.2} {unit}", self.name);
        self.rows
            .push(json!({"name": name, "value": value, "unit": unit}));
    }

    /// Adds and prints a value of the line `name`.
    pub(crate) fn cell(&mut self, name: &str, column: &str, value: f64, unit: &str) {
        println!("{}: {name}, {column}: {value:.2} {unit}", self.name);
        self.rows
            .push(json!({"name": name, "column": column, "value": value, "unit": unit}));
    }

    /// Writes the table, unless this is a smoke run, whose values mean nothing.
    pub(crate) fn write(self) {
        if is_smoke() {
            return;
        }
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("overhead");
        let table = json!({"title": self.title, "rows": self.rows});
        let file = directory.join(self.name).with_extension("json");
        fs::create_dir_all(&directory)
            .and_then(|()| fs::write(&file, format!("{table:#}\n")))
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

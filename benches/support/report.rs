//! What a benchmark hands to `scripts/overhead` beside criterion's own files: a table of figures, as
//! `target/overhead/NAME.json`.
//!
//! ```json
//! {"title": "Memory", "rows": [{"name": "one call in flight", "column": "layers", "value": 312, "unit": "bytes"}]}
//! ```
//!
//! A column is optional: rows of the same name are one line of the table, with a cell for each column.
//! Benchmarks include this file by its path, since each is a crate of its own:
//!
//! ```ignore
//! #[path = "support/report.rs"]
//! mod report;
//! ```
#![allow(dead_code, reason = "no benchmark uses all of it")]

use std::{env, fs, path::Path};

use serde_json::{Value, json};

/// A table of figures, under way.
pub(crate) struct Report {
    name: &'static str,
    title: &'static str,
    rows: Vec<Value>,
}

/// Whether the benchmark is only to show that it works, with as little as does; `-- --test` asks for it,
/// as it does of criterion.
pub(crate) fn is_smoke() -> bool {
    env::args().any(|argument| argument == "--test")
        || !env::args().any(|argument| argument == "--bench")
}

/// The lower quartile, the median and the upper quartile of what was measured.
pub(crate) fn quartiles(values: &mut [f64]) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| {
        let quarters = quarter * (values.len() - 1);
        let (at, rest) = (quarters / 4, quarters % 4);
        let above = values[(at + 1).min(values.len() - 1)];
        values[at] + (above - values[at]) * rest as f64 / 4.0
    })
}

// === impl Report ===

impl Report {
    /// A table that is written to `target/overhead/NAME.json`.
    pub(crate) fn new(name: &'static str, title: &'static str) -> Self {
        Self {
            name,
            title,
            rows: Vec::new(),
        }
    }

    /// Adds a line of one figure, and prints it.
    pub(crate) fn row(&mut self, name: &str, value: f64, unit: &str) {
        println!("{}: {name}: {value:.2} {unit}", self.name);
        self.rows
            .push(json!({"name": name, "value": value, "unit": unit}));
    }

    /// Adds a figure to the line `name`, and prints it.
    pub(crate) fn cell(&mut self, name: &str, column: &str, value: f64, unit: &str) {
        println!("{}: {name}, {column}: {value:.2} {unit}", self.name);
        self.rows
            .push(json!({"name": name, "column": column, "value": value, "unit": unit}));
    }

    /// Writes the table, unless the run was a smoke: its figures say nothing.
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

use crate::report::Report;

/// What became of everything that the rungs made.
pub(crate) struct Books {
    report: Report,
    lost: Vec<String>,
}

impl Default for Books {
    fn default() -> Self {
        Self {
            report: Report::new("peers", "What was made, exported and dropped"),
            lost: Vec::new(),
        }
    }
}

impl Books {
    /// Books what a rung made of one signal, and what its exporter got.
    pub(crate) fn book(&mut self, rung: &str, signal: &str, made: u64, exported: u64) {
        let line = format!("{rung}: {signal}");
        let dropped = made.saturating_sub(exported);
        for (column, count) in [("made", made), ("exported", exported), ("dropped", dropped)] {
            self.report.cell(&line, column, count as f64, "");
        }
        if made != exported {
            self.lost.push(line);
        }
    }

    /// Writes the books.
    ///
    /// # Panics
    ///
    /// When a rung did not export what it made: its time is not that of the work then.
    pub(crate) fn close(self) {
        self.report.write();
        assert!(
            self.lost.is_empty(),
            "not all was exported: {:?}",
            self.lost
        );
    }
}

use crate::report::Report;

/// The numbers of records that each rung made, exported and dropped.
pub(crate) struct RecordCounts {
    report: Report,
    incomplete: Vec<String>,
}

impl Default for RecordCounts {
    fn default() -> Self {
        Self {
            report: Report::new("peers", "What was made, exported and dropped"),
            incomplete: Vec::new(),
        }
    }
}

impl RecordCounts {
    /// Adds the records of one signal that a rung made and that its exporter received.
    pub(crate) fn add(&mut self, rung: &str, signal: &str, made: u64, exported: u64) {
        let line = format!("{rung}: {signal}");
        let dropped = made.saturating_sub(exported);
        for (column, count) in [("made", made), ("exported", exported), ("dropped", dropped)] {
            self.report.cell(&line, column, count as f64, "");
        }
        if made != exported {
            self.incomplete.push(line);
        }
    }

    /// Writes the table.
    ///
    /// # Panics
    ///
    /// Panics if a rung did not export all that it made, because its time is not comparable then.
    pub(crate) fn finish(self) {
        self.report.write();
        assert!(
            self.incomplete.is_empty(),
            "not all records were exported: {:?}",
            self.incomplete
        );
    }
}

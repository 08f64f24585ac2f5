//! The performance targets of the project, and whether the last run met them.

use crate::{
    figures::{Figures, Run},
    number::with_unit,
    tables::{NOT_MEASURED, OURS, added, adds, over_bare, over_reads},
};

struct Target {
    what: &'static str,
    bound: Bound,
    unit: &'static str,
    /// `None` if it was not measured.
    measured: fn(&Figures) -> Option<Measured>,
}

enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// A value that a bound is compared with, and the worst one if there are several runs.
struct Measured {
    value: f64,
    worst: Option<f64>,
}

use Bound::{AtLeast, AtMost};

const DISCARDING: &str = "three layers, discarding sink";
const THREE_ATTRIBUTES: &str = "three layers, discarding sink, three attributes";
const MEMORY: &str = "three layers, memory sink";
const OTLP: &str = "three layers, OTLP";
const JSON_LINES: &str = "three layers, JSON lines to a null writer";

const TARGETS: &[Target] = &[
    Target {
        what: "three layers, sink off, over bare",
        bound: AtMost(12.0),
        unit: "ns",
        measured: |f| runs(f, |run| over_bare(run, "three layers, sink off")),
    },
    Target {
        what: "three layers, discarding sink, over two clock reads",
        bound: AtMost(1.5),
        unit: "×",
        measured: |f| runs(f, |run| over_reads(run, DISCARDING)),
    },
    Target {
        what: "three layers, memory sink, over two clock reads",
        bound: AtMost(1.7),
        unit: "×",
        measured: |f| runs(f, |run| over_reads(run, MEMORY)),
    },
    Target {
        what: "three layers, OTLP with all signals, exporting meanwhile, over two clock reads",
        bound: AtMost(2.0),
        unit: "×",
        measured: |f| runs(f, |run| over_reads(run, OTLP)),
    },
    Target {
        what: "the worst run of the memory sink over the median of the runs",
        bound: AtMost(1.3),
        unit: "×",
        measured: |f| worst_over_median(f, MEMORY),
    },
    Target {
        what: "the worst run of OTLP over the median of the runs",
        bound: AtMost(1.3),
        unit: "×",
        measured: |f| worst_over_median(f, OTLP),
    },
    Target {
        what: "three layers, discarding sink, three attributes, over two clock reads",
        bound: AtMost(3.0),
        unit: "×",
        measured: |f| runs(f, |run| over_reads(run, THREE_ATTRIBUTES)),
    },
    Target {
        what: "three layers, JSON lines to a null writer, over two clock reads",
        bound: AtMost(3.5),
        unit: "×",
        measured: |f| runs(f, |run| over_reads(run, JSON_LINES)),
    },
    Target {
        what: "OTLP, sustained, nothing dropped, to a null exporter",
        bound: AtLeast(1_500_000.0),
        unit: "calls/s",
        measured: |f| {
            let cells = f.line("scaling", "OTLP sink, sustained");
            let slowest = cells.iter().map(|cell| cell.value).reduce(f64::min);
            slowest.map(Measured::from)
        },
    },
    Target {
        what: "OTLP over the cheapest middleware that makes span and metric",
        bound: AtMost(0.07),
        unit: "×",
        measured: |f| {
            let added = added(f);
            let mut both = added.iter();
            let (cheapest, _) = both.find(|(name, _)| name.ends_with(": span, metrics"))?;
            runs(f, |run| Some(adds(run, OURS)? / adds(run, cheapest)?))
        },
    },
    Target {
        what: "OTLP over the span and histogram written by hand",
        bound: AtMost(0.18),
        unit: "×",
        measured: |f| {
            let by_hand = "span and histogram by hand";
            runs(f, |run| Some(adds(run, OURS)? / adds(run, by_hand)?))
        },
    },
    Target {
        what: "reading `exec`'s lines, speed over that of the plain loop into `Value`",
        bound: AtLeast(1.5),
        unit: "×",
        measured: |f| first(f, "jsonl", "`CodexExec` over the loop"),
    },
    Target {
        what: "one call in flight, with the sink that needs most memory",
        bound: AtMost(256.0),
        unit: "bytes",
        measured: |f| {
            let cells = f.line("memory", "one call in flight");
            let most = cells.iter().map(|cell| cell.value).reduce(f64::max);
            most.map(Measured::from)
        },
    },
    Target {
        what: "two threads over one, OTLP sink",
        bound: AtLeast(1.8),
        unit: "×",
        measured: |f| first(f, "scaling", "OTLP sink, two threads over one"),
    },
    Target {
        what: "a real turn with three layers and OTLP, over plain `codex exec`",
        bound: AtMost(1.02),
        unit: "×",
        measured: |f| column(f, "real_turn", "ratio of each pair", "median"),
    },
    Target {
        what: "a later turn by app-server with three layers and OTLP, over bare JSON-RPC",
        bound: AtMost(1.03),
        unit: "×",
        measured: |f| column(f, "server_turn", "ratio of each pair", "median"),
    },
    Target {
        what: "a later turn by app-server over a turn by `codex exec`, without a command",
        bound: AtMost(0.33),
        unit: "×",
        measured: |f| {
            let name = "over a turn by `codex exec`, without a command";
            column(f, "server_turn", name, "median")
        },
    },
    Target {
        what: "100 turns of a server at once, over the slowest single one",
        bound: AtMost(3.0),
        unit: "×",
        measured: |f| {
            let name = "100 turns at once over the slowest single one, three layers and OTLP";
            column(f, "server_turn", name, "median")
        },
    },
    Target {
        what: "the end of a turn over Codex's own exit, beside 2,000 processes",
        bound: AtMost(1.0),
        unit: "ms",
        measured: |f| {
            column(
                f,
                "turn_end",
                "what a turn adds, 2000 other processes",
                "median",
            )
        },
    },
    Target {
        what: "sweep of 100,000 expired files, over a bare unlink loop, on the slower file system",
        bound: AtMost(1.5),
        unit: "×",
        measured: |f| {
            let cells = f.line("sweep", "sweep over unlink loop");
            let slower = cells.iter().map(|cell| cell.value).reduce(f64::max);
            slower.map(Measured::from)
        },
    },
];

/// Renders each target, the measured value, the worst of the runs, and whether the target is met.
pub(crate) fn table(figures: &Figures) -> String {
    let mut table = "| | target | measured | worst | |\n|---|--:|--:|--:|---|\n".to_owned();
    for target in TARGETS {
        let Row {
            bound,
            measured,
            worst,
            result,
        } = target.evaluate(figures);
        let what = target.what;
        table += &format!("| {what} | {bound} | {measured} | {worst} | {result} |\n");
    }
    table
}

/// Prints the same as plain text.
pub(crate) fn summary(figures: &Figures) {
    for target in TARGETS {
        let row = target.evaluate(figures);
        let (what, bound, measured) = (target.what, row.bound, row.measured);
        println!("{:<12} {what}: {measured} ({bound})", row.result);
    }
}

/// A target as text.
struct Row {
    bound: String,
    measured: String,
    worst: String,
    result: &'static str,
}

impl Target {
    fn evaluate(&self, figures: &Figures) -> Row {
        let (sign, bound) = match self.bound {
            AtMost(bound) => ("≤", bound),
            AtLeast(bound) => ("≥", bound),
        };
        let measured = (self.measured)(figures);
        let text = |value: Option<f64>| {
            value.map_or_else(String::new, |value| with_unit(value, self.unit))
        };
        Row {
            bound: format!("{sign} {}", with_unit(bound, self.unit)),
            measured: text(measured.as_ref().map(|measured| measured.value)),
            worst: text(measured.as_ref().and_then(|measured| measured.worst)),
            result: match measured {
                None => NOT_MEASURED,
                Some(measured) if self.bound.is_met_by(measured.value) => "met",
                Some(_) => "**not met**",
            },
        }
    }
}

impl From<f64> for Measured {
    fn from(value: f64) -> Self {
        Self { value, worst: None }
    }
}

impl Bound {
    fn is_met_by(&self, value: f64) -> bool {
        match self {
            AtMost(bound) => value <= *bound,
            AtLeast(bound) => value >= *bound,
        }
    }
}

/// Returns the median and the worst of a value of each run.
fn runs(figures: &Figures, value: impl Fn(&Run) -> Option<f64>) -> Option<Measured> {
    let series = figures.series(value)?;
    Some(Measured {
        value: series.median(),
        worst: Some(series.worst()),
    })
}

/// Returns how far the runs of a rung are apart. Each run is compared with its own clock reads, because the machine
/// may be slower in one of them.
fn worst_over_median(figures: &Figures, rung: &str) -> Option<Measured> {
    let series = figures.series(|run| over_reads(run, rung))?;
    Some(series.worst_over_median()?.into())
}

fn first(figures: &Figures, table: &str, name: &str) -> Option<Measured> {
    let line = figures.line(table, name);
    Some(line.first()?.value.into())
}

fn column(figures: &Figures, table: &str, name: &str, column: &str) -> Option<Measured> {
    let line = figures.line(table, name);
    let mut line = line.iter();
    let cell = line.find(|cell| cell.column.as_deref() == Some(column));
    Some(cell?.value.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Rung;

    /// Returns a run for each time of the memory sink and of the two clock reads.
    fn with_memory_sink(times: &[(f64, f64)]) -> Figures {
        let rung = |name: &str, median| Rung {
            group: "overhead".to_owned(),
            name: name.to_owned(),
            median,
        };
        let run = |(sink, reads): &(f64, f64)| {
            Run(vec![
                rung("floor: two clock reads", *reads),
                rung(MEMORY, *sink),
            ])
        };
        Figures {
            runs: times.iter().map(run).collect(),
            ..Figures::default()
        }
    }

    #[test]
    fn a_target_is_met_by_a_value_within_its_bound() {
        let line = "| three layers, memory sink, over two clock reads | ≤ 1.70 × | ";
        let met = table(&with_memory_sink(&[(84.0, 50.0)]));
        assert!(
            met.contains(&format!("{line}1.68 × | 1.68 × | met |")),
            "{met}"
        );
        let missed = table(&with_memory_sink(&[(86.0, 50.0)]));
        assert!(
            missed.contains(&format!("{line}1.72 × | 1.72 × | **not met** |")),
            "{missed}"
        );
    }

    #[test]
    fn a_run_is_compared_with_the_clock_reads_of_the_same_run() {
        // The second run was on a machine that had become slower, and the third one was slower itself.
        let table = table(&with_memory_sink(&[
            (80.0, 50.0),
            (160.0, 100.0),
            (100.0, 50.0),
        ]));
        for line in [
            "| three layers, memory sink, over two clock reads | ≤ 1.70 × | 1.60 × | 2 × | met |",
            "| the worst run of the memory sink over the median of the runs | ≤ 1.30 × | 1.25 × |  | met |",
        ] {
            assert!(table.contains(line), "{table}");
        }
    }

    #[test]
    fn a_target_that_was_not_measured_says_so() {
        let table = table(&Figures::default());
        assert_eq!(
            table.matches(NOT_MEASURED).count(),
            TARGETS.len(),
            "{table}"
        );
    }
}

//! The performance targets of the project, and whether the last run met them.

use crate::{
    figures::Figures,
    number::with_unit,
    tables::{BARE, NOT_MEASURED, OURS, added},
};

struct Target {
    what: &'static str,
    bound: Bound,
    unit: &'static str,
    /// `None` if it was not measured.
    measured: fn(&Figures) -> Option<f64>,
}

enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};

const TARGETS: &[Target] = &[
    Target {
        what: "three layers, sink off, over bare",
        bound: AtMost(12.0),
        unit: "ns",
        measured: |f| Some(ladder(f, "three layers, sink off")? - ladder(f, "bare service")?),
    },
    Target {
        what: "three layers, discarding sink, over two clock reads",
        bound: AtMost(2.0),
        unit: "×",
        measured: |f| {
            let floor = ladder(f, "floor: two clock reads")?;
            Some(ladder(f, "three layers, discarding sink")? / floor)
        },
    },
    Target {
        what: "three layers, memory sink",
        bound: AtMost(180.0),
        unit: "ns",
        measured: |f| ladder(f, "three layers, memory sink"),
    },
    Target {
        what: "three layers, OTLP with all signals, on the caller's thread",
        bound: AtMost(250.0),
        unit: "ns",
        // Two benchmarks measure it; the larger value counts.
        measured: |f| Some(ladder(f, "three layers, OTLP")?.max(f.rung("peers", OURS)?)),
    },
    Target {
        what: "the same, over the cheapest middleware that makes span and metric",
        bound: AtMost(1.0 / 6.0),
        unit: "×",
        measured: |f| {
            let both = added(f).into_iter();
            let mut both = both.filter(|(name, _)| name.ends_with(": span, metrics"));
            Some(ours(f)? / both.next()?.1)
        },
    },
    Target {
        what: "the same, over the span and histogram written by hand",
        bound: AtMost(0.5),
        unit: "×",
        measured: |f| {
            let by_hand = f.rung("peers", "span and histogram by hand")?;
            Some(ours(f)? / (by_hand - f.rung("peers", BARE)?))
        },
    },
    Target {
        what: "OTLP, sustained, nothing dropped, to a null exporter",
        bound: AtLeast(500_000.0),
        unit: "calls/s",
        measured: |f| {
            let cells = f.line("scaling", "OTLP sink, sustained");
            cells.iter().map(|cell| cell.value).reduce(f64::min)
        },
    },
    Target {
        what: "two threads over one, OTLP sink",
        bound: AtLeast(1.7),
        unit: "×",
        measured: |f| first(f, "scaling", "OTLP sink, two threads over one"),
    },
    Target {
        what: "one call in flight, with the sink that needs most memory",
        bound: AtMost(512.0),
        unit: "bytes",
        measured: |f| {
            let cells = f.line("memory", "one call in flight");
            cells.iter().map(|cell| cell.value).reduce(f64::max)
        },
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
        what: "a turn by `codex exec` over a later turn by app-server, without a command",
        bound: AtLeast(3.0),
        unit: "×",
        measured: |f| {
            let name = "a turn by `codex exec` over it, without a command";
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
            cells.iter().map(|cell| cell.value).reduce(f64::max)
        },
    },
];

/// Renders each target, the measured value, and whether the target is met.
pub(crate) fn table(figures: &Figures) -> String {
    let mut table = "| | target | measured | |\n|---|--:|--:|---|\n".to_owned();
    for target in TARGETS {
        let (bound, measured, result) = target.evaluate(figures);
        table += &format!("| {} | {bound} | {measured} | {result} |\n", target.what);
    }
    table
}

/// Prints the same as plain text.
pub(crate) fn summary(figures: &Figures) {
    for target in TARGETS {
        let (bound, measured, result) = target.evaluate(figures);
        println!("{result:<12} {}: {measured} ({bound})", target.what);
    }
}

impl Target {
    /// Returns the bound, the measured value and the result as text.
    fn evaluate(&self, figures: &Figures) -> (String, String, &'static str) {
        let (sign, bound) = match self.bound {
            AtMost(bound) => ("≤", bound),
            AtLeast(bound) => ("≥", bound),
        };
        let bound = format!("{sign} {}", with_unit(bound, self.unit));
        let Some(measured) = (self.measured)(figures) else {
            return (bound, String::new(), NOT_MEASURED);
        };
        let result = if self.bound.is_met_by(measured) {
            "met"
        } else {
            "**not met**"
        };
        (bound, with_unit(measured, self.unit), result)
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

fn ladder(figures: &Figures, name: &str) -> Option<f64> {
    figures.rung("overhead", name)
}

/// Returns the time that ours adds to the bare service, with OTLP.
fn ours(figures: &Figures) -> Option<f64> {
    Some(figures.rung("peers", OURS)? - figures.rung("peers", BARE)?)
}

fn first(figures: &Figures, table: &str, name: &str) -> Option<f64> {
    figures.line(table, name).first().map(|cell| cell.value)
}

fn column(figures: &Figures, table: &str, name: &str, column: &str) -> Option<f64> {
    let line = figures.line(table, name);
    let mut line = line.iter();
    Some(
        line.find(|cell| cell.column.as_deref() == Some(column))?
            .value,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Rung;

    fn with_memory_sink(median: f64) -> Figures {
        Figures {
            rungs: vec![Rung {
                group: "overhead".to_owned(),
                name: "three layers, memory sink".to_owned(),
                median,
                interval: [median, median],
            }],
            ..Figures::default()
        }
    }

    #[test]
    fn a_target_is_met_by_a_value_within_its_bound() {
        let line = "| three layers, memory sink | ≤ 180 ns | ";
        let met = table(&with_memory_sink(179.0));
        assert!(met.contains(&format!("{line}179 ns | met |")), "{met}");
        let missed = table(&with_memory_sink(181.0));
        assert!(
            missed.contains(&format!("{line}181 ns | **not met** |")),
            "{missed}"
        );
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

//! The figures that the project has set itself, and whether the last run met them.

use crate::{
    figures::Figures,
    number::with_unit,
    tables::{BARE, NOT_MEASURED, OURS, added},
};

struct Target {
    what: &'static str,
    bound: Bound,
    unit: &'static str,
    /// `None` when it was not measured.
    figure: fn(&Figures) -> Option<f64>,
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
        figure: |f| Some(ladder(f, "three layers, sink off")? - ladder(f, "bare service")?),
    },
    Target {
        what: "three layers, discarding sink, over two clock reads",
        bound: AtMost(2.0),
        unit: "×",
        figure: |f| {
            let floor = ladder(f, "floor: two clock reads")?;
            Some(ladder(f, "three layers, discarding sink")? / floor)
        },
    },
    Target {
        what: "three layers, memory sink",
        bound: AtMost(180.0),
        unit: "ns",
        figure: |f| ladder(f, "three layers, memory sink"),
    },
    Target {
        what: "three layers, OTLP with all signals, on the caller's thread",
        bound: AtMost(250.0),
        unit: "ns",
        // It is measured twice; the greater one counts.
        figure: |f| Some(ladder(f, "three layers, OTLP")?.max(f.rung("peers", OURS)?)),
    },
    Target {
        what: "the same, over the cheapest middleware that makes span and metric",
        bound: AtMost(1.0 / 6.0),
        unit: "×",
        figure: |f| {
            let both = added(f).into_iter();
            let mut both = both.filter(|(name, _)| name.ends_with(": span, metrics"));
            Some(ours(f)? / both.next()?.1)
        },
    },
    Target {
        what: "the same, over the span and histogram written by hand",
        bound: AtMost(0.5),
        unit: "×",
        figure: |f| {
            let by_hand = f.rung("peers", "span and histogram by hand")?;
            Some(ours(f)? / (by_hand - f.rung("peers", BARE)?))
        },
    },
    Target {
        what: "OTLP, sustained, nothing dropped, to a null exporter",
        bound: AtLeast(500_000.0),
        unit: "calls/s",
        figure: |f| {
            let cells = f.line("scaling", "OTLP sink, sustained");
            cells.iter().map(|cell| cell.value).reduce(f64::min)
        },
    },
    Target {
        what: "two threads over one, OTLP sink",
        bound: AtLeast(1.7),
        unit: "×",
        figure: |f| first(f, "scaling", "OTLP sink, two threads over one"),
    },
    Target {
        what: "one call in flight, with the sink that takes the most",
        bound: AtMost(512.0),
        unit: "bytes",
        figure: |f| {
            let cells = f.line("memory", "one call in flight");
            cells.iter().map(|cell| cell.value).reduce(f64::max)
        },
    },
    Target {
        what: "a real turn with everything on, over plain `codex exec`",
        bound: AtMost(1.02),
        unit: "×",
        figure: |f| column(f, "real_turn", "ratio of each pair", "median"),
    },
    Target {
        what: "sweep of 100,000 expired files, over a bare unlink loop, on the slower file system",
        bound: AtMost(1.5),
        unit: "×",
        figure: |f| {
            let cells = f.line("sweep", "sweep over unlink loop");
            cells.iter().map(|cell| cell.value).reduce(f64::max)
        },
    },
];

/// Each target, its figure, and whether it is met.
pub(crate) fn table(figures: &Figures) -> String {
    let mut table = "| | to reach | reached | |\n|---|--:|--:|---|\n".to_owned();
    for target in TARGETS {
        let (bound, figure, verdict) = target.judge(figures);
        table += &format!("| {} | {bound} | {figure} | {verdict} |\n", target.what);
    }
    table
}

/// Prints what the table says.
pub(crate) fn summary(figures: &Figures) {
    for target in TARGETS {
        let (bound, figure, verdict) = target.judge(figures);
        println!("{verdict:<12} {}: {figure} ({bound})", target.what);
    }
}

impl Target {
    fn judge(&self, figures: &Figures) -> (String, String, &'static str) {
        let (sign, bound) = match self.bound {
            AtMost(bound) => ("≤", bound),
            AtLeast(bound) => ("≥", bound),
        };
        let bound = format!("{sign} {}", with_unit(bound, self.unit));
        match (self.figure)(figures) {
            Some(figure) => {
                let verdict = if self.bound.is_met_by(figure) {
                    "met"
                } else {
                    "**not met**"
                };
                (bound, with_unit(figure, self.unit), verdict)
            }
            None => (bound, String::new(), NOT_MEASURED),
        }
    }
}

impl Bound {
    fn is_met_by(&self, figure: f64) -> bool {
        match self {
            AtMost(bound) => figure <= *bound,
            AtLeast(bound) => figure >= *bound,
        }
    }
}

fn ladder(figures: &Figures, name: &str) -> Option<f64> {
    figures.rung("overhead", name)
}

/// What ours adds to the bare service, with OTLP.
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
    fn a_target_is_met_by_its_figure_alone() {
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
    fn what_was_not_measured_is_not_met() {
        let table = table(&Figures::default());
        assert_eq!(
            table.matches(NOT_MEASURED).count(),
            TARGETS.len(),
            "{table}"
        );
    }
}

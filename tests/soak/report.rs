//! What happened in a load, and in all.

use std::{collections::BTreeMap, fmt, time::Duration};

use codex_telemetry::otlp::Stats;

use crate::{counter::Outcomes, real_turns::Kind, resources::Peak};

/// What happened in one or more loads.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) loads: u64,
    /// The events, with those of the tools inside the turns.
    pub(crate) starts: u64,
    pub(crate) ends: u64,
    /// What the callers saw, real turns included.
    pub(crate) seen: Outcomes,
    pub(crate) real_turns: BTreeMap<Kind, u64>,
    pub(crate) peak: Peak,
}

/// What happened in one load.
pub(crate) struct Report {
    pub(crate) totals: Totals,
    pub(crate) stats: Stats,
    pub(crate) took: Duration,
}

// === impl Totals ===

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.loads += other.loads;
        self.starts += other.starts;
        self.ends += other.ends;
        for (key, count) in &other.seen {
            *self.seen.entry(*key).or_default() += count;
        }
        for (kind, count) in &other.real_turns {
            *self.real_turns.entry(*kind).or_default() += count;
        }
        self.peak = self.peak.max(other.peak);
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Peak {
            descriptors,
            threads,
        } = self.peak;
        write!(
            f,
            "{} starts, {} ends, at most {descriptors} descriptors and {threads} threads",
            self.starts, self.ends
        )?;
        for ((operation, outcome), count) in &self.seen {
            write!(f, "; {operation} {outcome}: {count}")?;
        }
        write!(f, "; real turns: {}", self.real_turns.values().sum::<u64>())?;
        for (number, (kind, count)) in self.real_turns.iter().enumerate() {
            let before = if number == 0 { " (" } else { ", " };
            write!(f, "{before}{kind} → {}: {count}", kind.expected().as_str())?;
        }
        f.write_str(if self.real_turns.is_empty() { "" } else { ")" })
    }
}

// === impl Report ===

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1?}, {}; {}", self.took, self.stats, self.totals)
    }
}

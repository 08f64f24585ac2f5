use std::time::Duration;

use crate::event::Phase;

/// The unit in which a legend counts: a tenth of a millisecond.
const UNIT: u128 = 100_000;

/// The times of a turn's phases, rounded such that the numbers as printed add up to the sum as printed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Legend {
    /// Those that do not print as zero, with their numbers.
    pub(super) parts: Vec<(Phase, String)>,
    /// The sum, with its unit.
    pub(super) total: String,
}

// === impl Legend ===

impl Legend {
    /// Returns the legend of the phases that can be told; `None` if all of them are zero.
    pub(super) fn new(durations: &[Option<Duration>; Phase::ALL.len()]) -> Option<Self> {
        let nanos = |phase: Phase| durations[phase as usize].map(|duration| duration.as_nanos());
        let phases = Phase::ALL.iter().copied();
        let known: Vec<_> = phases.filter_map(|it| Some((it, nanos(it)?))).collect();
        let sum: u128 = known.iter().map(|(_, nanos)| nanos).sum();
        let total = (sum + UNIT / 2) / UNIT;

        // The largest remainders are rounded up, as many as the sum needs.
        let mut units: Vec<_> = known.iter().map(|(_, nanos)| nanos / UNIT).collect();
        let mut missing = total - units.iter().sum::<u128>();
        let mut by_remainder: Vec<_> = (0..known.len()).collect();
        by_remainder.sort_by_key(|index| std::cmp::Reverse(known[*index].1 % UNIT));
        for index in by_remainder {
            let more = missing.min(1);
            units[index] += more;
            missing -= more;
        }

        let printed = known.iter().zip(units).filter(|(_, units)| *units > 0);
        let parts: Vec<_> = printed
            .map(|((phase, _), units)| (*phase, decimal(units)))
            .collect();
        (!parts.is_empty()).then(|| Self {
            parts,
            total: format!("{} ms", decimal(total)),
        })
    }
}

/// Returns tenths as a decimal number.
fn decimal(tenths: u128) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tenths(text: &str) -> u128 {
        text.replace('.', "").parse().expect("a number")
    }

    #[test]
    fn each_part_of_a_third_is_rounded_such_that_the_sum_is_right() {
        let third = Some(Duration::from_micros(33_333));
        let mut durations = [None; Phase::ALL.len()];
        durations[Phase::Startup as usize] = third;
        durations[Phase::Model as usize] = third;
        durations[Phase::Tools as usize] = Some(Duration::from_micros(33_334));
        durations[Phase::Retry as usize] = Some(Duration::ZERO);
        let legend = Legend::new(&durations).unwrap();
        let parts = [
            (Phase::Startup, "33.3".to_owned()),
            (Phase::Model, "33.3".to_owned()),
            (Phase::Tools, "33.4".to_owned()),
        ];
        assert_eq!(legend.parts, parts);
        assert_eq!(legend.total, "100.0 ms");
    }

    #[test]
    fn without_time_there_is_no_legend() {
        assert_eq!(Legend::new(&[None; Phase::ALL.len()]), None);
        assert_eq!(Legend::new(&[Some(Duration::ZERO); Phase::ALL.len()]), None);
    }

    proptest! {
        #[test]
        fn the_printed_numbers_add_up_to_the_printed_sum_and_are_off_by_less_than_a_tenth(
            nanos in proptest::array::uniform7(proptest::option::of(0_u64..=u64::MAX / 1_000)),
        ) {
            let durations = nanos.map(|nanos| nanos.map(Duration::from_nanos));
            let Some(legend) = Legend::new(&durations) else { return Ok(()) };
            let total = tenths(legend.total.trim_end_matches(" ms"));
            let sum: u128 = legend.parts.iter().map(|(_, text)| tenths(text)).sum();
            prop_assert_eq!(sum, total);
            for (phase, text) in &legend.parts {
                let exact = durations[*phase as usize].unwrap_or_default().as_nanos();
                prop_assert!(exact.abs_diff(tenths(text) * UNIT) < UNIT);
            }
        }
    }
}

use std::fmt;

use crate::error::Error;

/// The comment at the beginning of the file.
const HEADER: &str = "\
# The instructions that a call executes on its thread, for each rung. `scripts/instructions` counts them, and fails if
# a rung has more than its pin allows. `scripts/instructions --set` writes this file.

";

/// The pinned numbers of instructions.
///
/// ```text
/// slack = 5 %
/// rustc = 1.95.0 (59807616e 2026-04-14)
/// three layers, sink off = 80
/// ```
#[derive(Debug, PartialEq)]
pub(crate) struct Pins {
    /// How far a rung may be from its pin, in percent.
    pub(crate) slack: f64,
    /// The compiler that the pins were set with.
    pub(crate) rustc: String,
    /// The instructions per call, in the order of the file.
    rungs: Vec<(String, u64)>,
}

/// What a number of instructions means for its pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is within the slack.
    Holds,
    /// It is more than the slack above the pin.
    Exceeded,
    /// It is more than the slack below the pin, which would not notice if this were lost again.
    Stale,
    /// The rung has no pin.
    Unpinned,
}

// === impl Pins ===

impl Pins {
    pub(crate) fn new(slack: f64, rustc: String) -> Self {
        Self {
            slack,
            rustc,
            rungs: Vec::new(),
        }
    }

    /// Parses the text of the file.
    ///
    /// # Errors
    ///
    /// Fails if a line is not `NAME = VALUE`, or if the slack or the compiler is missing.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let (mut slack, mut rustc, mut rungs) = (None, None, Vec::new());
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        for line in lines.filter(|line| !line.is_empty()) {
            let invalid = || Error::new(format!("not NAME = VALUE: {line}"));
            let (name, value) = line.rsplit_once(" = ").ok_or_else(invalid)?;
            match name {
                "slack" => {
                    let percent = value.strip_suffix(" %").ok_or_else(invalid)?;
                    slack = Some(percent.parse().map_err(|_| invalid())?);
                }
                "rustc" => rustc = Some(value.to_owned()),
                rung => {
                    let pin = value.parse().map_err(|_| invalid())?;
                    rungs.push((rung.to_owned(), pin));
                }
            }
        }
        let missing = |name| Error::new(format!("the line `{name} = …` is missing"));
        Ok(Self {
            slack: slack.ok_or_else(|| missing("slack"))?,
            rustc: rustc.ok_or_else(|| missing("rustc"))?,
            rungs,
        })
    }

    /// Sets the pin of a rung, rounded to a whole instruction.
    pub(crate) fn set(&mut self, rung: &str, instructions: f64) {
        let pin = instructions.round() as u64;
        self.rungs.push((rung.to_owned(), pin));
    }

    pub(crate) fn get(&self, rung: &str) -> Option<u64> {
        let mut pins = self.rungs.iter();
        Some(pins.find(|(name, _)| name == rung)?.1)
    }

    /// Returns the names of all pins.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.rungs.iter().map(|(name, _)| name.as_str())
    }

    /// Compares the instructions of a rung with its pin.
    pub(crate) fn verdict(&self, rung: &str, instructions: f64) -> Verdict {
        let Some(pin) = self.get(rung) else {
            return Verdict::Unpinned;
        };
        match percent_over(instructions, pin) {
            over if over > self.slack => Verdict::Exceeded,
            over if over < -self.slack => Verdict::Stale,
            _ => Verdict::Holds,
        }
    }
}

impl fmt::Display for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEADER)?;
        writeln!(f, "slack = {} %", self.slack)?;
        writeln!(f, "rustc = {}\n", self.rustc)?;
        for (name, pin) in &self.rungs {
            writeln!(f, "{name} = {pin}")?;
        }
        Ok(())
    }
}

// === impl Verdict ===

impl Verdict {
    /// Returns what the table says beside a rung.
    pub(crate) fn note(self) -> &'static str {
        match self {
            Self::Holds => "",
            Self::Exceeded => "  too many",
            Self::Stale => "  far fewer",
            Self::Unpinned => "  no pin",
        }
    }
}

/// Returns by how many percent a number of instructions is above a pin.
pub(crate) fn percent_over(instructions: f64, pin: u64) -> f64 {
    (instructions / pin as f64 - 1.0) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pins() -> Pins {
        let mut pins = Pins::new(5.0, "1.95.0 (59807616e 2026-04-14)".to_owned());
        pins.set("three layers, memory sink", 400.2);
        pins
    }

    #[test]
    fn a_rung_may_differ_from_its_pin_by_the_slack() {
        for (instructions, verdict) in [
            (379.0, Verdict::Stale),
            (381.0, Verdict::Holds),
            (400.0, Verdict::Holds),
            (419.0, Verdict::Holds),
            (421.0, Verdict::Exceeded),
        ] {
            let found = pins().verdict("three layers, memory sink", instructions);
            assert_eq!(found, verdict, "{instructions}");
        }
    }

    #[test]
    fn a_rung_without_a_pin_is_not_taken_for_one_that_holds() {
        assert_eq!(pins().verdict("a new rung", 1.0), Verdict::Unpinned);
    }

    #[test]
    fn pins_are_what_their_file_says() {
        assert_eq!(Pins::parse(&pins().to_string()).unwrap(), pins());
    }

    #[test]
    fn a_line_that_is_not_a_pin_is_an_error() {
        for text in [
            "slack = 5 %\nrustc = 1\nthree layers",
            "slack = 5 %\nrustc = 1\nthree layers = many",
            "slack = five %\nrustc = 1",
            "rustc = 1",
            "slack = 5 %",
        ] {
            assert!(Pins::parse(text).is_err(), "{text}");
        }
    }
}

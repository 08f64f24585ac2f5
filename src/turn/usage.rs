use std::{
    iter::Sum,
    ops::{Add, AddAssign},
};

/// Token counts, of a turn or of a whole thread.
///
/// ```
/// use codex_telemetry::turn::{Turn, Usage};
///
/// /// Returns the tokens of all turns whose usage is known.
/// fn total(turns: &[Turn]) -> Usage {
///     turns.iter().filter_map(|turn| turn.usage).sum()
/// }
///
/// let mut used = Usage::default();
/// used.input_tokens = 7;
/// let turns = [Turn::new().with_usage(used), Turn::new(), Turn::new().with_usage(used)];
/// assert_eq!(total(&turns).input_tokens, 14);
/// // What a thread has used since it was looked at last.
/// assert_eq!(total(&turns).since(&used), used);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Usage {
    /// Tokens sent to the model, cached ones included.
    pub input_tokens: u64,
    /// Input tokens read from the provider's cache.
    pub cached_input_tokens: u64,
    /// Input tokens written to the provider's cache.
    pub cache_write_input_tokens: u64,
    /// Tokens that the model generated, reasoning included.
    pub output_tokens: u64,
    /// Output tokens spent on reasoning.
    pub reasoning_output_tokens: u64,
}

impl Usage {
    /// Returns the difference to `earlier`, a smaller count of the same thread.
    ///
    /// A field that has shrunk counts as zero: Codex restarts its count when it forgets a thread.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        self.zip(earlier, u64::saturating_sub)
    }

    fn zip(&self, other: &Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        let field = |get: fn(&Self) -> u64| combine(get(self), get(other));
        Self {
            input_tokens: field(|usage| usage.input_tokens),
            cached_input_tokens: field(|usage| usage.cached_input_tokens),
            cache_write_input_tokens: field(|usage| usage.cache_write_input_tokens),
            output_tokens: field(|usage| usage.output_tokens),
            reasoning_output_tokens: field(|usage| usage.reasoning_output_tokens),
        }
    }
}

/// Adds field by field, and saturates: the counts come from another program.
impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.zip(&other, u64::saturating_add)
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
        usages.fold(Self::default(), Add::add)
    }
}

impl<'a> Sum<&'a Self> for Usage {
    fn sum<I: Iterator<Item = &'a Self>>(usages: I) -> Self {
        usages.copied().sum()
    }
}

/// A value of each run. The larger, the worse.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    /// Sorted and not empty.
    values: Vec<f64>,
}

impl Series {
    /// Returns `None` if there are no values.
    pub(crate) fn new(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        (!values.is_empty()).then_some(Self { values })
    }

    pub(crate) fn median(&self) -> f64 {
        let middle = self.values.len() / 2;
        match self.values.len() % 2 {
            0 => f64::midpoint(self.values[middle - 1], self.values[middle]),
            _ => self.values[middle],
        }
    }

    pub(crate) fn worst(&self) -> f64 {
        self.values[self.values.len() - 1]
    }

    /// Returns how many times the median the worst value is. `None` for a single run, which says nothing about that.
    pub(crate) fn worst_over_median(&self) -> Option<f64> {
        (self.values.len() > 1).then(|| self.worst() / self.median())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_has_a_median_and_a_worst_value() {
        for (values, median, worst) in [
            (vec![3.0, 9.0, 1.0, 2.0, 4.0], 3.0, 9.0),
            (vec![4.0, 1.0], 2.5, 4.0),
            (vec![7.0], 7.0, 7.0),
        ] {
            let series = Series::new(values).unwrap();
            assert_eq!((series.median(), series.worst()), (median, worst));
        }
    }

    #[test]
    fn runs_are_apart_only_if_there_are_several() {
        let apart = |values| Series::new(values).unwrap().worst_over_median();
        assert_eq!(apart(vec![3.0, 2.0, 1.0]), Some(1.5));
        assert_eq!(apart(vec![3.0]), None);
    }

    #[test]
    fn a_series_of_nothing_is_not_measured() {
        assert_eq!(Series::new(Vec::new()), None);
    }
}

//! A metric store, as far as sums need it.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality;

use crate::receiver::{Number, Receiver};

/// The series of all metrics. As in Prometheus, a series is one instance of one service, one metric and its
/// labels: programs that are one instance change each other's totals.
pub(crate) struct Store {
    /// By instance, metric and labels.
    series: BTreeMap<(String, String, String), Series>,
}

/// The measurements of a histogram and the value of a counter, of which a series has one.
#[derive(Default)]
struct Series {
    /// The total of earlier starts of the program.
    before: (u64, i64),
    start: u64,
    latest: (u64, i64),
}

// === impl Store ===

impl Store {
    pub(crate) fn of(receiver: &Receiver) -> Self {
        let mut series = BTreeMap::<_, Series>::new();
        for metric in receiver.metrics() {
            let resource = &metric.origin.resource;
            let instance = ["service.name", "service.instance.id"].map(|key| resource.get(key));
            let instance = format!("{instance:?}");
            let is_delta = metric.temporality == Some(AggregationTemporality::Delta);
            for point in metric.points {
                let value = match point.value {
                    Number::Int(value) => (0, value),
                    Number::Histogram(histogram) => (histogram.count, 0),
                    other => panic!("{}: {other:?}", metric.name),
                };
                let labels = format!("{:?}", point.attributes);
                let key = (instance.clone(), metric.name.clone(), labels);
                series
                    .entry(key)
                    .or_default()
                    .add(is_delta, point.start_nanos, value);
            }
        }
        Self { series }
    }

    /// Returns the number of measurements of a histogram, over all series.
    pub(crate) fn count(&self, metric: &str) -> u64 {
        self.totals(metric).map(|(count, _)| count).sum()
    }

    /// Returns the sum of a counter over all series.
    #[track_caller]
    pub(crate) fn sum(&self, metric: &str) -> u64 {
        let sum = self.totals(metric).map(|(_, sum)| sum).sum::<i64>();
        u64::try_from(sum).unwrap()
    }

    /// Returns the number of instances.
    pub(crate) fn instances(&self) -> u64 {
        let instances = self.series.keys().map(|(instance, _, _)| instance);
        let instances = instances.collect::<BTreeSet<_>>();
        u64::try_from(instances.len()).unwrap()
    }

    fn totals(&self, metric: &str) -> impl Iterator<Item = (u64, i64)> {
        let of_metric = self
            .series
            .iter()
            .filter(move |((_, name, _), _)| name == metric);
        of_metric.map(|(_, series)| {
            let ((count, sum), (latest, value)) = (series.before, series.latest);
            (count + latest, sum + value)
        })
    }
}

// === impl Series ===

impl Series {
    /// Adds a point. A total replaces the one before, unless the program has started anew.
    fn add(&mut self, is_delta: bool, start: u64, value: (u64, i64)) {
        if is_delta || start != self.start {
            self.before.0 += self.latest.0;
            self.before.1 += self.latest.1;
        }
        self.start = start;
        self.latest = value;
    }
}

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{self as proto, AggregationTemporality, metric::Data, number_data_point},
};

use super::{
    origin::Origin,
    value::{Attributes, Value, attributes},
};

/// A metric of one request with its resource and scope.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) unit: String,
    pub(crate) kind: MetricKind,
    /// `None` for a gauge.
    pub(crate) temporality: Option<AggregationTemporality>,
    pub(crate) points: Vec<Point>,
    pub(crate) origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetricKind {
    Gauge,
    Sum { monotonic: bool },
    Histogram,
    ExponentialHistogram,
}

/// A data point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) attributes: Attributes,
    pub(crate) start_nanos: u64,
    pub(crate) time_nanos: u64,
    pub(crate) value: Number,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    Double(f64),
    Histogram(Histogram),
    ExponentialHistogram(ExponentialHistogram),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ExponentialHistogram {
    pub(crate) count: u64,
    pub(crate) sum: Option<f64>,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) scale: i32,
    /// The number of the first bucket of positive values.
    pub(crate) offset: i32,
    pub(crate) counts: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Histogram {
    pub(crate) count: u64,
    pub(crate) sum: Option<f64>,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) bounds: Vec<f64>,
    pub(crate) counts: Vec<u64>,
}

// === impl Metric ===

impl Metric {
    /// Returns the point with these attributes.
    pub(crate) fn point(&self, attributes: &[(&str, Value)]) -> Option<&Point> {
        self.points.iter().find(|point| {
            let has = |(name, value): &(&str, Value)| point.attribute(name) == Some(value);
            attributes.iter().all(has)
        })
    }

    fn decode(metric: proto::Metric, origin: &Origin) -> Result<Self, String> {
        let (kind, temporality, points) = match metric.data.ok_or("a metric without data")? {
            Data::Gauge(gauge) => (MetricKind::Gauge, None, numbers(gauge.data_points)),
            Data::Sum(sum) => {
                let monotonic = sum.is_monotonic;
                let kind = MetricKind::Sum { monotonic };
                (
                    kind,
                    Some(sum.aggregation_temporality),
                    numbers(sum.data_points),
                )
            }
            Data::Histogram(histogram) => {
                let temporality = Some(histogram.aggregation_temporality);
                let points = histogram.data_points.into_iter().map(Point::histogram);
                (MetricKind::Histogram, temporality, points.collect())
            }
            Data::ExponentialHistogram(histogram) => {
                let temporality = Some(histogram.aggregation_temporality);
                let points = histogram.data_points.into_iter();
                let points = points.map(Point::exponential_histogram).collect();
                (MetricKind::ExponentialHistogram, temporality, points)
            }
            data => return Err(format!("an unexpected kind of metric: {data:?}")),
        };
        let temporality = temporality.map(AggregationTemporality::try_from);
        Ok(Self {
            name: metric.name,
            description: metric.description,
            unit: metric.unit,
            kind,
            temporality: temporality.transpose().map_err(|error| error.to_string())?,
            points: points?,
            origin: origin.clone(),
        })
    }
}

// === impl Point ===

impl Point {
    pub(crate) fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.get(name)
    }

    pub(crate) fn as_int(&self) -> Option<i64> {
        match self.value {
            Number::Int(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn as_histogram(&self) -> Option<&Histogram> {
        match &self.value {
            Number::Histogram(histogram) => Some(histogram),
            _ => None,
        }
    }

    pub(crate) fn as_exponential_histogram(&self) -> Option<&ExponentialHistogram> {
        match &self.value {
            Number::ExponentialHistogram(histogram) => Some(histogram),
            _ => None,
        }
    }

    fn number(point: proto::NumberDataPoint) -> Result<Self, String> {
        Ok(Self {
            attributes: attributes(point.attributes)?,
            start_nanos: point.start_time_unix_nano,
            time_nanos: point.time_unix_nano,
            value: match point.value.ok_or("a data point without a value")? {
                number_data_point::Value::AsInt(number) => Number::Int(number),
                number_data_point::Value::AsDouble(number) => Number::Double(number),
            },
        })
    }

    fn histogram(point: proto::HistogramDataPoint) -> Result<Self, String> {
        let (bounds, counts) = (point.explicit_bounds, point.bucket_counts);
        if counts.len() != bounds.len() + 1 || counts.iter().sum::<u64>() != point.count {
            let count = point.count;
            return Err(format!(
                "buckets {counts:?} of bounds {bounds:?} and count {count}"
            ));
        }
        Ok(Self {
            attributes: attributes(point.attributes)?,
            start_nanos: point.start_time_unix_nano,
            time_nanos: point.time_unix_nano,
            value: Number::Histogram(Histogram {
                count: point.count,
                sum: point.sum,
                min: point.min,
                max: point.max,
                bounds,
                counts,
            }),
        })
    }

    fn exponential_histogram(point: proto::ExponentialHistogramDataPoint) -> Result<Self, String> {
        let positive = point.positive.unwrap_or_default();
        let counted = point.zero_count + positive.bucket_counts.iter().sum::<u64>();
        if counted != point.count {
            return Err(format!("buckets {positive:?} and count {}", point.count));
        }
        Ok(Self {
            attributes: attributes(point.attributes)?,
            start_nanos: point.start_time_unix_nano,
            time_nanos: point.time_unix_nano,
            value: Number::ExponentialHistogram(ExponentialHistogram {
                count: point.count,
                sum: point.sum,
                min: point.min,
                max: point.max,
                scale: point.scale,
                offset: positive.offset,
                counts: positive.bucket_counts,
            }),
        })
    }
}

fn numbers(points: Vec<proto::NumberDataPoint>) -> Result<Vec<Point>, String> {
    points.into_iter().map(Point::number).collect()
}

pub(in crate::receiver) fn metrics(
    request: ExportMetricsServiceRequest,
) -> Result<Vec<Metric>, String> {
    let mut metrics = Vec::new();
    for group in request.resource_metrics {
        let resource = Origin::of_resource(group.resource, group.schema_url)?;
        for group in group.scope_metrics {
            let origin = resource.with_scope(group.scope, group.schema_url)?;
            for metric in group.metrics {
                metrics.push(Metric::decode(metric, &origin)?);
            }
        }
    }
    Ok(metrics)
}

//! Writing metrics in the text format of OpenMetrics.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric,
};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;

use super::catalogue::Metric;

/// The page that a scrape gets.
pub(super) struct Page<'a>(pub(super) DescriptorEncoder<'a>);

/// The name of a label and its value.
pub(super) type Label<'a> = (&'static str, &'a str);

impl Page<'_> {
    /// One value without labels.
    pub(super) fn gauge(&mut self, of: &Metric, value: impl EncodeGaugeValue) -> fmt::Result {
        self.metric(of, &ConstGauge::new(value))
    }

    /// One count without labels.
    pub(super) fn counter(&mut self, of: &Metric, value: impl EncodeCounterValue) -> fmt::Result {
        self.metric(of, &ConstCounter::new(value))
    }

    /// One value for each set of labels; the metric is described even where there are none.
    pub(super) fn gauges<'v, const N: usize>(
        &mut self,
        of: &Metric,
        values: impl IntoIterator<Item = ([Label<'v>; N], f64)>,
    ) -> fmt::Result {
        let values = values.into_iter();
        self.family(
            of,
            values.map(|(labels, value)| (labels, ConstGauge::new(value))),
        )
    }

    /// One count for each set of labels.
    pub(super) fn counters<'v, const N: usize>(
        &mut self,
        of: &Metric,
        values: impl IntoIterator<Item = ([Label<'v>; N], u64)>,
    ) -> fmt::Result {
        let values = values.into_iter();
        self.family(
            of,
            values.map(|(labels, value)| (labels, ConstCounter::new(value))),
        )
    }

    /// One histogram without labels.
    pub(super) fn histogram(&mut self, of: &Metric, histogram: &Histogram) -> fmt::Result {
        self.metric(of, histogram)
    }

    /// One histogram for each set of labels.
    pub(super) fn histograms<'v, const N: usize>(
        &mut self,
        of: &Metric,
        values: impl IntoIterator<Item = ([Label<'v>; N], &'v Histogram)>,
    ) -> fmt::Result {
        let values = values.into_iter();
        self.family(of, values.map(|(labels, value)| (labels, value.clone())))
    }

    fn metric(&mut self, of: &Metric, metric: &impl EncodeMetric) -> fmt::Result {
        let encoder = self.0.encode_descriptor(of.name, of.help, None, of.kind)?;
        metric.encode(encoder)
    }

    fn family<'v, const N: usize, M: EncodeMetric>(
        &mut self,
        of: &Metric,
        values: impl Iterator<Item = ([Label<'v>; N], M)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(of.name, of.help, None, of.kind)?;
        for (labels, metric) in values {
            metric.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

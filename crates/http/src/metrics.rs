//! Writing metrics in the text format of OpenMetrics.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// A metric, without its value.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name; that of a counter without `_total`.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricType,
    /// What it means.
    pub help: &'static str,
}

/// The page that a scrape gets.
pub struct Page<'a>(DescriptorEncoder<'a>);

/// The name of a label and its value.
pub type Label<'a> = (&'static str, &'a str);

/// What `write` writes, as OpenMetrics text.
pub(crate) fn text(
    write: impl Fn(&mut Page<'_>) -> fmt::Result + Send + Sync + 'static,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Writer(write)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

struct Writer<W>(W);

impl<W> Collector for Writer<W>
where
    W: Fn(&mut Page<'_>) -> fmt::Result + Send + Sync + 'static,
{
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        (self.0)(&mut Page(encoder))
    }
}

impl<W> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Page<'_> {
    /// One value without labels.
    ///
    /// # Errors
    /// The format cannot express it.
    pub fn gauge(&mut self, of: &Metric, value: impl EncodeGaugeValue) -> fmt::Result {
        self.metric(of, &ConstGauge::new(value))
    }

    /// One count without labels.
    ///
    /// # Errors
    /// The format cannot express it.
    pub fn counter(&mut self, of: &Metric, value: impl EncodeCounterValue) -> fmt::Result {
        self.metric(of, &ConstCounter::new(value))
    }

    /// One value for each set of labels; the metric is described even where there are none.
    ///
    /// # Errors
    /// The format cannot express it.
    pub fn gauges<'v, const N: usize>(
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
    ///
    /// # Errors
    /// The format cannot express it.
    pub fn counters<'v, const N: usize>(
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
    ///
    /// # Errors
    /// The format cannot express it.
    pub fn histogram(&mut self, of: &Metric, histogram: &Histogram) -> fmt::Result {
        self.metric(of, histogram)
    }

    /// One histogram for each set of labels.
    ///
    /// # Errors
    /// The format cannot express it.
    pub fn histograms<'v, const N: usize>(
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

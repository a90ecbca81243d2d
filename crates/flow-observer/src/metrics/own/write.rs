//! Writing families of metrics that a scrape has read, in few words.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

/// Labels of one series: names and values.
pub(super) type Labels<'a, const N: usize> = [(&'a str, &'a str); N];

/// A counter of events.
pub(super) fn counters<'a, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl IntoIterator<Item = (Labels<'a, N>, u64)>,
) -> fmt::Result {
    let mut family = family(encoder, name, help, MetricType::Counter)?;
    for (labels, value) in series {
        ConstCounter::new(value).encode(of(&mut family, &labels)?)?;
    }
    Ok(())
}

/// A counter of seconds.
pub(super) fn seconds<'a, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl IntoIterator<Item = (Labels<'a, N>, f64)>,
) -> fmt::Result {
    let mut family = family(encoder, name, help, MetricType::Counter)?;
    for (labels, value) in series {
        ConstCounter::new(value).encode(of(&mut family, &labels)?)?;
    }
    Ok(())
}

/// Something that goes up and down.
pub(super) fn gauges<'a, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl IntoIterator<Item = (Labels<'a, N>, u64)>,
) -> fmt::Result {
    let mut family = family(encoder, name, help, MetricType::Gauge)?;
    for (labels, value) in series {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        ConstGauge::new(value).encode(of(&mut family, &labels)?)?;
    }
    Ok(())
}

/// A gauge without labels.
pub(super) fn gauge<N>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: N,
) -> fmt::Result
where
    N: EncodeGaugeValue,
{
    let encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value).encode(encoder)
}

/// A gauge of things that are counted.
pub(super) fn size(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> fmt::Result {
    gauge(
        encoder,
        name,
        help,
        i64::try_from(value).unwrap_or(i64::MAX),
    )
}

fn family<'s>(
    encoder: &'s mut DescriptorEncoder<'_>,
    name: &'s str,
    help: &str,
    kind: MetricType,
) -> Result<MetricEncoder<'s>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, kind)
}

/// The series with these labels; without any, the family is one.
fn of<'s, 'a, const N: usize>(
    family: &'s mut MetricEncoder<'_>,
    labels: &'s Labels<'a, N>,
) -> Result<MetricEncoder<'s>, fmt::Error> {
    family.encode_family(labels)
}

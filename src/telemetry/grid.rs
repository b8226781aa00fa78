//! Instruments with their attributes resolved beforehand: recording through one costs a few atomic operations.

use std::sync::OnceLock;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Counter, Histogram};

use super::names::Metric;

/// An instrument that can be bound to one set of attributes.
pub(super) trait Bind {
    /// The bound form.
    type Bound;

    /// Binds it.
    fn bound(&self, attributes: &[KeyValue]) -> Self::Bound;
}

impl Bind for Counter<u64> {
    type Bound = BoundCounter<u64>;

    fn bound(&self, attributes: &[KeyValue]) -> Self::Bound {
        self.bind(attributes)
    }
}

impl Bind for Histogram<f64> {
    type Bound = BoundHistogram<f64>;

    fn bound(&self, attributes: &[KeyValue]) -> Self::Bound {
        self.bind(attributes)
    }
}

/// One metric over `N` labels whose values are all known: a dense array, each cell bound when it is first used.
pub(super) struct Grid<I: Bind, const N: usize> {
    instrument: I,
    labels: &'static [&'static str],
    values: [Vec<&'static str>; N],
    cells: Box<[OnceLock<I::Bound>]>,
}

impl<I: Bind, const N: usize> Grid<I, N> {
    /// A grid of `metric` with these values per label, in the order of `metric.labels`.
    pub(super) fn new(instrument: I, metric: &Metric, values: [Vec<&'static str>; N]) -> Self {
        let size = values.iter().map(Vec::len).product();
        Self { instrument, labels: metric.labels, values, cells: (0..size).map(|_| OnceLock::new()).collect() }
    }

    /// The instrument of one combination, by the position of each value; `None` outside of the grid.
    pub(super) fn at(&self, at: [usize; N]) -> Option<&I::Bound> {
        let mut index = 0;
        for (position, values) in at.iter().zip(&self.values) {
            if *position >= values.len() {
                return None;
            }
            index = index * values.len() + position;
        }
        self.cells.get(index).map(|cell| cell.get_or_init(|| self.bind(at)))
    }

    fn bind(&self, at: [usize; N]) -> I::Bound {
        let attributes: Vec<KeyValue> = self
            .labels
            .iter()
            .zip(self.values.iter().zip(at))
            .filter_map(|(label, (values, position))| Some(KeyValue::new(*label, *values.get(position)?)))
            .collect();
        self.instrument.bound(&attributes)
    }
}

impl<const N: usize> Grid<Counter<u64>, N> {
    /// Adds `count` to one combination.
    pub(super) fn add(&self, at: [usize; N], count: u64) {
        if let Some(counter) = self.at(at) {
            counter.add(count);
        }
    }
}

impl Grid<Counter<u64>, 1> {
    /// Shows every value as 0 from the start: a rate over a series that begins at 1 misses its first event.
    pub(super) fn start_at_zero(self) -> Self {
        for position in 0..self.cells.len() {
            self.add([position], 0);
        }
        self
    }
}

impl<const N: usize> Grid<Histogram<f64>, N> {
    /// Records one value for one combination.
    pub(super) fn record(&self, at: [usize; N], value: f64) {
        if let Some(histogram) = self.at(at) {
            histogram.record(value);
        }
    }
}

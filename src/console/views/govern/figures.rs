//! What is reckoned from spend by day: a straight line into the future, and days unlike those before.

/// Days that a day is compared with.
const BEFORE: usize = 14;
/// Days before which one can say what is usual.
const FEWEST: usize = 5;
/// So many deviations from the median a day is an outlier: the usual choice with medians.
const FAR: f64 = 3.5;
/// From the median of distances to a standard deviation, were the days normally distributed.
const TO_DEVIATION: f64 = 1.4826;

/// A straight line through values, one for each day from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    at_zero: f64,
    slope: f64,
}

impl Line {
    /// By least squares; `None` for fewer than three values.
    pub(super) fn through(values: &[f64]) -> Option<Self> {
        if values.len() < 3 {
            return None;
        }
        let many = values.len() as f64;
        let (mean_x, mean_y) = ((many - 1.0) / 2.0, values.iter().sum::<f64>() / many);
        let distances = || values.iter().enumerate().map(|(x, y)| (x as f64 - mean_x, y - mean_y));
        let slope = distances().map(|(x, y)| x * y).sum::<f64>() / distances().map(|(x, _)| x * x).sum::<f64>();
        Some(Self { at_zero: mean_y - slope * mean_x, slope })
    }

    /// The sum of `days` values from day `from` on; a day costs nothing at least.
    pub(super) fn sum(self, from: usize, days: usize) -> f64 {
        (from..from.saturating_add(days)).map(|day| (self.at_zero + self.slope * day as f64).max(0.0)).sum()
    }

    /// How much more each day is than the one before.
    pub(super) fn slope(self) -> f64 {
        self.slope
    }
}

/// A day beside those before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Day {
    /// The median of the days before; `None` where there are too few.
    pub(super) median: Option<f64>,
    /// The median distance from it, made comparable with a standard deviation.
    pub(super) deviation: f64,
    /// How many deviations the day is away from the median.
    pub(super) score: f64,
    /// Whether it is unlike them.
    pub(super) is_outlier: bool,
}

/// Each day beside the 14 before it.
pub(super) fn days(values: &[f64]) -> Vec<Day> {
    values
        .iter()
        .enumerate()
        .map(|(at, value)| {
            let before = values.get(at.saturating_sub(BEFORE)..at).unwrap_or_default();
            let none = Day { median: None, deviation: 0.0, score: 0.0, is_outlier: false };
            if before.len() < FEWEST {
                return none;
            }
            let median = median(before);
            let distances: Vec<f64> = before.iter().map(|one| (one - median).abs()).collect();
            // Where all days were alike, a tenth of them is still nothing to speak of.
            let deviation = (self::median(&distances) * TO_DEVIATION).max(median.abs() * 0.1);
            if deviation <= 0.0 {
                return Day { median: Some(median), is_outlier: *value > 0.0, ..none };
            }
            let score = (value - median) / deviation;
            Day { median: Some(median), deviation, score, is_outlier: score.abs() > FAR }
        })
        .collect()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
    if sorted.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle.saturating_sub(1)), at(middle)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_goes_on_straight_and_never_below_nothing() {
        let line = Line::through(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert!((line.slope() - 1.0).abs() < 1e-9 && (line.sum(4, 2) - 11.0).abs() < 1e-9);
        assert_eq!(Line::through(&[3.0, 2.0, 1.0]).unwrap().sum(3, 10), 0.0);
        assert_eq!(Line::through(&[1.0, 2.0]), None);
    }

    #[test]
    fn a_day_unlike_those_before_is_marked_and_the_day_after_is_not() {
        let mut values = vec![10.0, 11.0, 9.0, 10.0, 12.0, 10.0, 9.0];
        values.push(60.0);
        values.push(10.0);
        let found = days(&values);
        let marked: Vec<usize> = found.iter().enumerate().filter(|(_, day)| day.is_outlier).map(|(at, _)| at).collect();
        assert_eq!(marked, [7]);
        assert_eq!((found[3].median, found[7].median), (None, Some(10.0)));
        assert!(days(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])[6].is_outlier && days(&[]).is_empty());
        assert!(!days(&[5.0; 10]).iter().any(|day| day.is_outlier));
    }
}

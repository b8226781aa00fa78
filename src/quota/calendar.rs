//! Calendar periods in a time zone. The period is worked out when it changes, not per request, and never goes back.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How often a budget begins again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// At midnight.
    Day,
    /// At midnight before Monday.
    Week,
    /// At midnight before the first.
    #[default]
    Month,
}

impl Period {
    /// The word in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The most seconds it can last, daylight saving included.
    pub const fn longest_secs(self) -> u64 {
        match self {
            Self::Day => 90_000,
            Self::Week => 7 * 86_400 + 3_600,
            Self::Month => 31 * 86_400 + 3_600,
        }
    }
}

/// A time zone that is not in the database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time zone: write it like \"UTC\" or \"Europe/Berlin\"")]
pub struct UnknownZone(pub String);

/// The periods of one kind in one time zone.
pub struct Calendar {
    period: Period,
    zone: TimeZone,
    zone_name: Box<str>,
    /// The id of the current period, and the second it ends. Written together under `turning`.
    id: AtomicI64,
    end: AtomicI64,
    turning: Mutex<()>,
}

impl Calendar {
    /// Periods in the time zone of the IANA database called `zone`.
    ///
    /// # Errors
    /// When there is no such zone.
    pub fn new(period: Period, zone: &str) -> Result<Self, UnknownZone> {
        let found = TimeZone::get(zone).map_err(|_| UnknownZone(zone.to_owned()))?;
        Ok(Self {
            period,
            zone: found,
            zone_name: Box::from(zone),
            id: AtomicI64::new(i64::MIN),
            end: AtomicI64::new(i64::MIN),
            turning: Mutex::new(()),
        })
    }

    /// Which kind of period.
    pub fn period(&self) -> Period {
        self.period
    }

    /// The id of the period at `now` (Unix seconds): year, month and day of its first day as one number, so that a
    /// later one is larger. When the clock goes back, it stays.
    pub fn id(&self, now: i64) -> i64 {
        if now >= self.end.load(Ordering::Acquire) {
            let _turn = self.turning.lock().unwrap_or_else(PoisonError::into_inner);
            if now >= self.end.load(Ordering::Acquire) {
                let (id, end) = self.at(now);
                self.id.store(id, Ordering::Release);
                self.end.store(end, Ordering::Release);
            }
        }
        self.id.load(Ordering::Acquire)
    }

    /// Seconds from `now` until the current period ends.
    pub fn remaining_secs(&self, now: i64) -> u64 {
        self.id(now);
        u64::try_from(self.end.load(Ordering::Acquire).saturating_sub(now)).unwrap_or(0)
    }

    /// The first second of the period at `now` (Unix seconds): from when the ledger is summed up for `Meter::preload`.
    pub fn start(&self, now: i64) -> i64 {
        let first = self.first_day(now);
        self.midnight(first).unwrap_or(now)
    }

    fn at(&self, now: i64) -> (i64, i64) {
        let first = self.first_day(now);
        let next = match self.period {
            Period::Day => first.checked_add(1.day()),
            Period::Week => first.checked_add(7.days()),
            Period::Month => first.checked_add(1.month()),
        };
        // Outside the calendar there is one endless period.
        let end = next.ok().and_then(|date| self.midnight(date)).unwrap_or(i64::MAX);
        let id = i64::from(first.year()) * 10_000 + i64::from(first.month()) * 100 + i64::from(first.day());
        (id, end.max(now.saturating_add(1)))
    }

    fn first_day(&self, now: i64) -> Date {
        let today = Timestamp::from_second(now).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(self.zone.clone()).date();
        match self.period {
            Period::Day => today,
            Period::Week => {
                let back = today.weekday().since(Weekday::Monday);
                today.checked_sub(i64::from(back).days()).unwrap_or(today)
            }
            Period::Month => today.first_of_month(),
        }
    }

    fn midnight(&self, date: Date) -> Option<i64> {
        date.to_zoned(self.zone.clone()).ok().map(|midnight| midnight.timestamp().as_second())
    }
}

impl PartialEq for Calendar {
    fn eq(&self, other: &Self) -> bool {
        self.period == other.period && self.zone_name == other.zone_name
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.period.name(), self.zone_name)
    }
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Calendar({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    #[test]
    fn a_day_turns_at_midnight_of_its_zone() {
        let berlin = Calendar::new(Period::Day, "Europe/Berlin").unwrap();
        assert_eq!(berlin.id(second("2026-07-01T21:59:59Z")), 20_260_701);
        assert_eq!(berlin.id(second("2026-07-01T22:00:00Z")), 20_260_702);
        assert_eq!(berlin.remaining_secs(second("2026-07-02T21:59:50Z")), 10);
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        let week = Calendar::new(Period::Week, "UTC").unwrap();
        assert_eq!(week.id(second("2026-11-22T23:59:59Z")), 20_261_116);
        assert_eq!(week.id(second("2026-11-23T00:00:00Z")), 20_261_123);
        let month = Calendar::new(Period::Month, "UTC").unwrap();
        assert_eq!(month.id(second("2026-12-31T23:59:59Z")), 20_261_201);
        assert_eq!(month.id(second("2027-01-01T00:00:00Z")), 20_270_101);
        assert_eq!(month.start(second("2026-11-22T10:00:00Z")), second("2026-11-01T00:00:00Z"));
    }

    #[test]
    fn a_clock_that_goes_back_does_not_open_an_earlier_period() {
        let day = Calendar::new(Period::Day, "UTC").unwrap();
        assert_eq!(day.id(second("2026-11-22T10:00:00Z")), 20_261_122);
        assert_eq!(day.id(second("2026-11-21T10:00:00Z")), 20_261_122);
    }

    #[test]
    fn an_unknown_zone_is_refused() {
        assert!(Calendar::new(Period::Day, "Mars/Olympus").is_err());
    }
}

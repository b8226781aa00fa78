//! Time as an argument, and amounts that halve with it.

/// Milliseconds since any fixed moment. Never goes back for one caller; where clocks are read a little out of order, what
/// came later counts as now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// Milliseconds since `earlier`; 0 if that is later.
    pub(super) const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// An amount that halves every half-life.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Decayed {
    amount: f32,
    at: Moment,
}

impl Decayed {
    /// What is left of it.
    pub(super) fn at(self, now: Moment, half_life: u64) -> f32 {
        match now.since(self.at) {
            0 => self.amount,
            age => self.amount * (-(age as f32) / half_life.max(1) as f32).exp2(),
        }
    }

    /// Adds to what is left of it.
    pub(super) fn add(&mut self, now: Moment, half_life: u64, more: f32) -> f32 {
        *self = Self { amount: self.at(now, half_life) + more, at: now.max(self.at) };
        self.amount
    }
}

/// A time as rule files write it (`90s`, `10m`, `2h`, `1d`), in milliseconds.
pub(super) fn duration(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = (text.get(..digits)?.parse::<u64>().ok()?, text.get(digits..)?);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_halves_with_every_half_life_and_time_never_goes_back() {
        let mut amount = Decayed::default();
        assert_eq!(amount.add(Moment(1_000), 10_000, 4.0), 4.0);
        assert!((amount.at(Moment(11_000), 10_000) - 2.0).abs() < 1e-4);
        assert!((amount.at(Moment(31_000), 10_000) - 0.5).abs() < 1e-4);
        assert_eq!(amount.at(Moment(0), 10_000), 4.0);
        assert_eq!(amount.add(Moment(0), 10_000, 1.0), 5.0);
        assert!((amount.at(Moment(11_000), 10_000) - 2.5).abs() < 1e-4);
        assert!(amount.at(Moment(u64::MAX), 1) >= 0.0);
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!([duration("90s"), duration("10m"), duration("250ms")], [Some(90_000), Some(600_000), Some(250)]);
        let wrong = ["", "10", "m", "1w", "-1s", "1.5m", "99999999999999999d"];
        assert!(wrong.iter().all(|text| duration(text).is_none()));
    }
}

//! Days and dates of the Gregorian calendar, in UTC.

/// Seconds in a day; leap seconds are not counted.
pub(crate) const SECONDS_PER_DAY: i64 = 86_400;

/// Short names of the months.
pub(crate) const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Short names of the days of the week.
pub(crate) const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// Days in 400 years, after which the calendar repeats.
const DAYS_PER_ERA: i64 = 146_097;

/// Days from the first of March of the year 0 to the first of January 1970.
const EPOCH_SHIFT: i64 = 719_468;

/// A day.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Date {
    /// The year; 0 is the one before 1.
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: u32,
    /// 1 to 31.
    pub(crate) day: u32,
}

impl Date {
    /// `None` if the calendar has no such day.
    pub(crate) fn new(year: i64, month: u32, day: u32) -> Option<Self> {
        let date = Self { year, month, day };
        // A day that does not exist would come back as another one.
        ((1..=12).contains(&month) && (1..=31).contains(&day))
            .then_some(date)
            .filter(|date| Self::from_days(date.days_since_epoch()) == *date)
    }

    /// The day this many days after the first of January 1970.
    pub(crate) fn from_days(days: i64) -> Self {
        // Years are counted from March, so that the leap day is the last of the year.
        let shifted = days + EPOCH_SHIFT;
        let era = shifted.div_euclid(DAYS_PER_ERA);
        let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
        let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / (DAYS_PER_ERA - 1);
        let year_of_era = (day_of_era - leap_days) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // March to January have 153 days in each five months.
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: u32::try_from(month).unwrap_or(1),
            day: u32::try_from(day).unwrap_or(1),
        }
    }

    /// Days since the first of January 1970; negative before.
    pub(crate) fn days_since_epoch(self) -> i64 {
        let month = i64::from(self.month);
        let year = self.year - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let march_month = (month + 9) % 12;
        let day_of_year = (153 * march_month + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * DAYS_PER_ERA + day_of_era - EPOCH_SHIFT
    }

    /// Index into [`DAYS`].
    pub(crate) fn weekday(self) -> usize {
        // The first of January 1970 was a Thursday.
        usize::try_from((self.days_since_epoch() + 4).rem_euclid(7)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_convert_both_ways() {
        for days in (-800_000..3_000_000).step_by(97) {
            let date = Date::from_days(days);
            assert_eq!(date.days_since_epoch(), days, "{date:?}");
        }
        let epoch = Date::new(1970, 1, 1).unwrap();
        assert_eq!(epoch.days_since_epoch(), 0);
        assert_eq!(DAYS[epoch.weekday()], "Thu");
    }

    #[test]
    fn leap_years_follow_the_gregorian_rule() {
        assert!(Date::new(2024, 2, 29).is_some());
        assert!(Date::new(2000, 2, 29).is_some());
        assert!(Date::new(1900, 2, 29).is_none());
        assert!(Date::new(2023, 4, 31).is_none());
    }
}

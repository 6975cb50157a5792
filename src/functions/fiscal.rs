//! Fiscal calendars: years that begin elsewhere than on January 1, of months or of whole weeks.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use chrono::{Datelike, Days, NaiveDate, Weekday};
use datafusion::arrow::array::{AsArray, Float64Array, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::calendar::{DAY, Unit, moment_of};
use super::time::{TIMESTAMP, out_of_range};
use super::udf::{Function, result};

/// Days.
const WEEK: i64 = 7;
/// Weeks of a quarter; the last one of a year with 53 has one more.
const QUARTER_WEEKS: u8 = 13;
/// Weeks of the longest year.
pub const YEAR_WEEKS_MAX: u8 = 53;
/// The last day of a month that every month has.
const MONTH_DAY_MAX: u32 = 28;

/// When years begin, and what they are divided into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FiscalCalendar {
    pub years: Years,
    pub named_after: NamedAfter,
}

/// How a calendar's years begin, and what their months are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Years {
    /// On a day of the year, at most the 28th of a month; months begin on that day of theirs.
    OfMonths { month: u32, day: u32 },
    /// On the first weekday on or after a day of the year; a quarter's months have so many weeks.
    /// Where a year has a 53rd week, its last month has one more.
    OfWeeks { month: u32, day: u32, first: Weekday, months: [u8; 3] },
}

/// Which of its days says what a year is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NamedAfter {
    Start,
    /// The 183rd day.
    Middle,
    /// The last, or in a year of weeks the last day of its 52nd week.
    End,
}

impl NamedAfter {
    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }

    /// Reads what [`Self::name`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Start, Self::Middle, Self::End].into_iter().find(|it| it.name() == text)
    }

    /// Days after a year's first, of one that doesn't say what it is called by its last.
    pub fn days(self) -> Option<u64> {
        match self {
            Self::Start => Some(0),
            Self::Middle => Some(182),
            Self::End => None,
        }
    }
}

/// Days from a year's first to the last of its 52nd week.
pub const TO_LAST_OF_52_WEEKS: u64 = 363;

impl FiscalCalendar {
    /// # Errors
    /// Years of weeks that begin now before and now after New Year, and so may end in one calendar
    /// year twice, have to be named after their middle.
    pub fn new(years: Years, named_after: NamedAfter) -> Result<Self, YearsFault> {
        let about_new_year = match years {
            Years::OfMonths { .. } => false,
            Years::OfWeeks { month, day, .. } => (month, day) >= (12, 24) || (month, day) <= (1, 8),
        };
        match about_new_year && named_after != NamedAfter::Middle {
            true => Err(YearsFault::AboutNewYear),
            false => Ok(Self { years, named_after }),
        }
    }

    /// Whether it has periods of a unit: weeks only where years are made of them.
    pub fn has(self, unit: Unit) -> bool {
        match unit {
            Unit::Month | Unit::Quarter | Unit::Year => true,
            Unit::Week => matches!(self.years, Years::OfWeeks { .. }),
            _ => false,
        }
    }

    /// The beginning of the period that a wall clock is in, in microseconds. None beyond what dates
    /// hold, and of units that it hasn't got.
    pub(crate) fn begin(self, unit: Unit, micros: i64) -> Option<i64> {
        let begin = self.first_day(unit, moment_of(micros)?.date())?;
        i64::from(begin.to_epoch_days()).checked_mul(DAY)
    }

    fn first_day(self, unit: Unit, day: NaiveDate) -> Option<NaiveDate> {
        match self.years {
            Years::OfMonths { month, day: first } => {
                let months = match unit {
                    Unit::Month => 1,
                    Unit::Quarter => 3,
                    Unit::Year => 12,
                    _ => return None,
                };
                let since = u64::from(first - 1);
                let day = day.checked_sub_days(Days::new(since))?;
                let into = (day.month0() + 12 - (month - 1)) % months;
                let begin = day.with_day(1)?.checked_sub_months(chrono::Months::new(into))?;
                begin.checked_add_days(Days::new(since))
            }
            Years::OfWeeks { first, .. } => {
                let into = u64::from(day.weekday().days_since(first));
                let week = day.checked_sub_days(Days::new(into))?;
                let number = self.week_of_year(week)?;
                let back = match unit {
                    Unit::Week => 0,
                    Unit::Month => self.week_of_month(number),
                    Unit::Quarter => number - 13 * (quarter_of(number) - 1),
                    Unit::Year => number,
                    _ => return None,
                };
                week.checked_sub_days(Days::new(u64::from(back) * 7))
            }
        }
    }

    /// How many weeks of its year are before the one that begins on a day. Only in years of weeks.
    fn week_of_year(self, week: NaiveDate) -> Option<u8> {
        let Years::OfWeeks { month, day, .. } = self.years else { return None };
        let is_before = (week.month(), week.day()) < (month, day);
        // A week's first day is in a year exactly from the day on after which years begin.
        let since = NaiveDate::from_ymd_opt(week.year() - i32::from(is_before), month, day)?;
        u8::try_from((week - since).num_days() / WEEK).ok()
    }

    /// The number of the month that a week of a year is in, from 1, and of the week in it, from 0.
    fn month_of(self, week: u8) -> (u8, u8) {
        let Years::OfWeeks { months: [a, b, _], .. } = self.years else { return (0, 0) };
        let quarter = quarter_of(week) - 1;
        match week - 13 * quarter {
            week if week < a => (3 * quarter + 1, week),
            week if week < a + b => (3 * quarter + 2, week - a),
            week => (3 * quarter + 3, week - a - b),
        }
    }

    /// How many weeks of its month are before a week of a year.
    pub fn week_of_month(self, week: u8) -> u8 {
        self.month_of(week).1
    }

    /// The month of a week of a year, from 1.
    pub fn month_of_week(self, week: u8) -> u8 {
        self.month_of(week).0
    }

    /// The number of the year that a wall clock is in, or of its week, month or quarter in it.
    pub(crate) fn part(self, unit: Unit, micros: i64) -> Option<i64> {
        let day = moment_of(micros)?.date();
        if unit == Unit::Year {
            let begin = self.first_day(Unit::Year, day)?;
            let naming = match (self.named_after.days(), self.years) {
                (Some(days), _) => begin.checked_add_days(Days::new(days))?,
                (None, Years::OfMonths { .. }) => {
                    begin.checked_add_months(chrono::Months::new(12))?.pred_opt()?
                }
                (None, Years::OfWeeks { .. }) => {
                    begin.checked_add_days(Days::new(TO_LAST_OF_52_WEEKS))?
                }
            };
            return Some(i64::from(naming.year()));
        }
        match self.years {
            Years::OfMonths { month, day: first } => {
                let day = day.checked_sub_days(Days::new(u64::from(first - 1)))?;
                let months = (day.month0() + 12 - (month - 1)) % 12;
                match unit {
                    Unit::Month => Some(i64::from(months + 1)),
                    Unit::Quarter => Some(i64::from(months / 3 + 1)),
                    _ => None,
                }
            }
            Years::OfWeeks { .. } => {
                let week = self.week_of_year(self.first_day(Unit::Week, day)?)?;
                match unit {
                    Unit::Week => Some(i64::from(week + 1)),
                    Unit::Month => Some(i64::from(self.month_of_week(week))),
                    Unit::Quarter => Some(i64::from(quarter_of(week))),
                    _ => None,
                }
            }
        }
    }

    /// A length, in months and days, that is added to a period's beginning leads into the next one.
    pub fn reach(self, unit: Unit) -> Option<(i32, i32)> {
        match (self.years, unit) {
            (Years::OfMonths { .. }, Unit::Month) => Some((1, 0)),
            (Years::OfMonths { .. }, Unit::Quarter) => Some((3, 0)),
            (Years::OfMonths { .. }, Unit::Year) => Some((12, 0)),
            (Years::OfWeeks { .. }, Unit::Week) => Some((0, 7)),
            (Years::OfWeeks { months, .. }, Unit::Month) => {
                let longest = months.into_iter().max().unwrap_or_default() + 1;
                Some((0, 7 * i32::from(longest)))
            }
            (Years::OfWeeks { .. }, Unit::Quarter) => Some((0, 7 * (i32::from(QUARTER_WEEKS) + 1))),
            (Years::OfWeeks { .. }, Unit::Year) => Some((0, 7 * i32::from(YEAR_WEEKS_MAX))),
            _ => None,
        }
    }
}

/// The quarter of a week of a year, from 1.
pub fn quarter_of(week: u8) -> u8 {
    (week / QUARTER_WEEKS).min(3) + 1
}

/// Why a text is no beginning of years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum YearsFault {
    #[error("not a day of the year")]
    NotADay,
    #[error("not in every year, or in every month")]
    NotInEveryYear,
    #[error("the weeks of a quarter's months are 4-4-5, 4-5-4 or 5-4-4")]
    NotAQuarter,
    #[error("years that begin on a weekday need \"months\", such as 4-4-5")]
    NoMonths,
    #[error("years that begin about New Year are named after their middle")]
    AboutNewYear,
    #[error("only years that begin on a weekday have months of weeks")]
    NoWeeks,
}

impl Years {
    /// Reads `04-01`, `sunday on or after 01-29` or `sunday nearest 02-01`; the latter two with the
    /// weeks of a quarter's months.
    ///
    /// # Errors
    /// The fault of either text.
    pub fn parse(starts: &str, months: Option<&str>) -> Result<Self, YearsFault> {
        let Some((weekday, rule)) = starts.trim().split_once(' ') else {
            let (month, day) = day_of_year(starts)?;
            return match (months, day <= MONTH_DAY_MAX) {
                (Some(_), _) => Err(YearsFault::NoWeeks),
                (None, false) => Err(YearsFault::NotInEveryYear),
                (None, true) => Ok(Self::OfMonths { month, day }),
            };
        };
        let first = Weekday::from_str(weekday).map_err(|_| YearsFault::NotADay)?;
        let (month, day) = match (rule.strip_prefix("on or after "), rule.strip_prefix("nearest "))
        {
            (Some(day), _) => day_of_year(day)?,
            (None, Some(day)) => three_days_before(day_of_year(day)?)?,
            (None, None) => return Err(YearsFault::NotADay),
        };
        let months = weeks_of_months(months.ok_or(YearsFault::NoMonths)?)?;
        Ok(Self::OfWeeks { month, day, first, months })
    }
}

/// Its month and day.
fn day_of_year(text: &str) -> Result<(u32, u32), YearsFault> {
    let (month, day) = text.trim().split_once('-').ok_or(YearsFault::NotADay)?;
    let number = |text: &str| match text.len() {
        2 => text.parse::<u32>().map_err(|_| YearsFault::NotADay),
        _ => Err(YearsFault::NotADay),
    };
    let (month, day) = (number(month)?, number(day)?);
    let exists = |year| NaiveDate::from_ymd_opt(year, month, day).is_some();
    match (exists(LEAP_YEAR), exists(LEAP_YEAR + 1)) {
        (true, true) => Ok((month, day)),
        (true, false) => Err(YearsFault::NotInEveryYear),
        (false, _) => Err(YearsFault::NotADay),
    }
}

const LEAP_YEAR: i32 = 2024;

/// The weekday nearest to a day is the first on or after the third day before it.
fn three_days_before((month, day): (u32, u32)) -> Result<(u32, u32), YearsFault> {
    let before = |year| {
        let day = NaiveDate::from_ymd_opt(year, month, day)?.checked_sub_days(Days::new(3))?;
        Some((day.month(), day.day()))
    };
    match (before(LEAP_YEAR), before(LEAP_YEAR + 1)) {
        (Some(in_leap), Some(day)) if in_leap == day => Ok(day),
        _ => Err(YearsFault::NotInEveryYear),
    }
}

fn weeks_of_months(text: &str) -> Result<[u8; 3], YearsFault> {
    match text.trim() {
        "4-4-5" => Ok([4, 4, 5]),
        "4-5-4" => Ok([4, 5, 4]),
        "5-4-4" => Ok([5, 4, 4]),
        _ => Err(YearsFault::NotAQuarter),
    }
}

/// As plans name it: `04-01; end`, `sunday on or after 01-29; 4-5-4; start`.
impl fmt::Display for FiscalCalendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.years {
            Years::OfMonths { month, day } => write!(f, "{month:02}-{day:02}")?,
            Years::OfWeeks { month, day, first, months: [a, b, c] } => {
                let first = weekday_name(first);
                write!(f, "{first} on or after {month:02}-{day:02}; {a}-{b}-{c}")?;
            }
        }
        write!(f, "; {}", self.named_after.name())
    }
}

fn weekday_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "monday",
        Weekday::Tue => "tuesday",
        Weekday::Wed => "wednesday",
        Weekday::Thu => "thursday",
        Weekday::Fri => "friday",
        Weekday::Sat => "saturday",
        Weekday::Sun => "sunday",
    }
}

/// Reads what its Display writes.
impl FromStr for FiscalCalendar {
    type Err = YearsFault;

    fn from_str(text: &str) -> Result<Self, YearsFault> {
        let parts: Vec<&str> = text.split("; ").collect();
        let (starts, months, named) = match parts.as_slice() {
            [starts, named] => (starts, None, named),
            [starts, months, named] => (starts, Some(*months), named),
            _ => return Err(YearsFault::NotADay),
        };
        let named_after = NamedAfter::parse(named).ok_or(YearsFault::NotADay)?;
        Self::new(Years::parse(starts, months)?, named_after)
    }
}

/// `fiscal_trunc(calendar, unit, timestamp)`: the beginning of the period that a wall clock is in.
/// How `date_trunc('retail.month', …)` is planned.
pub fn fiscal_trunc() -> &'static Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        Function::new("fiscal_trunc", calendar_unit_moment, |_, _| Ok(TIMESTAMP), truncate).udf()
    });
    &FUNCTION
}

/// `fiscal_part(calendar, unit, timestamp)`: the number of the year, or of the quarter, month or week
/// in it, as float8. How `date_part('retail.month', …)` is planned.
pub fn fiscal_part() -> &'static Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        Function::new("fiscal_part", calendar_unit_moment, |_, _| Ok(DataType::Float64), number)
            .udf()
    });
    &FUNCTION
}

/// All of them, for the registry.
pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::clone(fiscal_trunc()), Arc::clone(fiscal_part())]
}

fn calendar_unit_moment(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [_, _, DataType::Timestamp(_, None) | DataType::Date32 | DataType::Null] => {
            Ok(vec![DataType::Utf8, DataType::Utf8, TIMESTAMP])
        }
        // What AT TIME ZONE makes of it is known only later: see [`of_wall_clock`].
        [_, _, moment @ DataType::Timestamp(_, Some(_))] => {
            Ok(vec![DataType::Utf8, DataType::Utf8, moment.clone()])
        }
        _ => plan_err!("a date or timestamp is expected"),
    }
}

/// # Errors
/// Of a timestamp with time zone: whose days are meant isn't said.
pub(super) fn of_wall_clock(data_type: &DataType) -> Result<()> {
    match data_type {
        DataType::Timestamp(_, Some(_)) => plan_err!(
            "periods of a calendar are those of a wall clock; convert the timestamp with time zone by AT TIME ZONE"
        ),
        _ => Ok(()),
    }
}

/// The calendar and unit of constant arguments.
pub(crate) fn constants(
    calendar: &ScalarValue,
    unit: &ScalarValue,
) -> Option<(FiscalCalendar, Unit)> {
    let calendar: FiscalCalendar = calendar.try_as_str()??.parse().ok()?;
    let unit = Unit::parse(unit.try_as_str()??).filter(|unit| calendar.has(*unit))?;
    Some((calendar, unit))
}

fn arguments(
    args: &ScalarFunctionArgs,
) -> Result<(FiscalCalendar, Unit, TimestampMicrosecondArray)> {
    let (ColumnarValue::Scalar(calendar), ColumnarValue::Scalar(unit)) =
        (&args.args[0], &args.args[1])
    else {
        return exec_err!("a calendar and its unit must be constants");
    };
    let Some((calendar, unit)) = constants(calendar, unit) else {
        return exec_err!("{calendar} has no unit {unit}");
    };
    let moments = args.args[2].to_array(args.number_rows)?;
    Ok((calendar, unit, moments.as_primitive::<TimestampMicrosecondType>().clone()))
}

fn truncate(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let (calendar, unit, moments) = arguments(args)?;
    let begins = moments.iter().map(|moment| match moment {
        Some(moment) => calendar.begin(unit, moment).map(Some).ok_or_else(out_of_range),
        None => Ok(None),
    });
    result(args, Arc::new(begins.collect::<Result<TimestampMicrosecondArray>>()?))
}

fn number(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let (calendar, unit, moments) = arguments(args)?;
    // A year's number is small.
    #[allow(clippy::cast_precision_loss)]
    let number = |moment: i64| calendar.part(unit, moment).map(|number| number as f64);
    let numbers = moments.iter().map(|moment| match moment {
        Some(moment) => number(moment).map(Some).ok_or_else(out_of_range),
        None => Ok(None),
    });
    result(args, Arc::new(numbers.collect::<Result<Float64Array>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn calendar(text: &str) -> FiscalCalendar {
        text.parse().unwrap()
    }

    fn part(calendar: FiscalCalendar, unit: Unit, day: NaiveDate) -> i64 {
        let micros = i64::from(day.to_epoch_days()) * DAY;
        calendar.part(unit, micros).unwrap()
    }

    /// The National Retail Federation's years: 2023 has 53 weeks.
    #[test]
    fn retail_years_begin_on_the_sunday_nearest_to_february() {
        let retail = FiscalCalendar {
            years: Years::parse("sunday nearest 02-01", Some("4-5-4")).unwrap(),
            named_after: NamedAfter::Start,
        };
        assert_eq!(retail.to_string(), "sunday on or after 01-29; 4-5-4; start");
        assert_eq!(calendar(&retail.to_string()), retail);
        let begins = ["2022-01-30", "2023-01-29", "2024-02-04", "2025-02-02", "2026-02-01"];
        for begin in begins.map(day) {
            assert_eq!(retail.first_day(Unit::Year, begin), Some(begin));
            let before = begin.pred_opt().unwrap();
            assert!(retail.first_day(Unit::Year, before).unwrap() < begin);
        }
        assert_eq!(part(retail, Unit::Week, day("2024-02-03")), 53);
        assert_eq!(part(retail, Unit::Month, day("2024-02-03")), 12);
        assert_eq!(retail.first_day(Unit::Month, day("2024-02-03")), Some(day("2023-12-31")));
        assert_eq!(part(retail, Unit::Year, day("2024-02-03")), 2023);
        assert_eq!(part(retail, Unit::Year, day("2024-02-04")), 2024);
    }

    /// Each day is in one period, which begins on a day that begins its own period, and parts count
    /// up by one.
    #[test]
    fn periods_follow_each_other_without_gaps() {
        for text in [
            "sunday on or after 01-29; 4-5-4; start",
            "monday on or after 12-29; 4-4-5; middle",
            "sunday on or after 09-25; 5-4-4; end",
            "saturday on or after 12-31; 4-4-5; middle",
            "04-01; end",
            "04-06; start",
            "01-01; start",
            "12-28; end",
        ] {
            let calendar = calendar(text);
            for unit in [Unit::Week, Unit::Month, Unit::Quarter, Unit::Year] {
                if !calendar.has(unit) {
                    continue;
                }
                let (months, days) = calendar.reach(unit).unwrap();
                let mut begin = calendar.first_day(unit, day("1931-03-17")).unwrap();
                while begin < day("2040-01-01") {
                    assert_eq!(calendar.first_day(unit, begin), Some(begin), "{text} {unit:?}");
                    let reached =
                        begin + chrono::Months::new(months as u32) + Days::new(days as u64);
                    let next = calendar.first_day(unit, reached).unwrap();
                    assert!(next > begin, "{text} {unit:?} {begin}");
                    let last = next.pred_opt().unwrap();
                    assert_eq!(calendar.first_day(unit, last), Some(begin), "{text} {unit:?}");
                    let (number, following) =
                        (part(calendar, unit, last), part(calendar, unit, next));
                    assert_eq!(number, part(calendar, unit, begin), "{text} {unit:?} {begin}");
                    assert!(following == number + 1 || (following == 1 && unit != Unit::Year));
                    begin = next;
                }
            }
        }
    }

    #[test]
    fn a_year_of_iso_weeks_is_named_after_its_middle() {
        let iso = calendar("monday on or after 12-29; 4-4-5; middle");
        let mut at = day("1999-12-25");
        while at < day("2040-01-10") {
            assert_eq!(part(iso, Unit::Year, at), i64::from(at.iso_week().year()), "{at}");
            assert_eq!(part(iso, Unit::Week, at), i64::from(at.iso_week().week()), "{at}");
            at = at.succ_opt().unwrap();
        }
    }

    #[test]
    fn beginnings_that_are_none_are_refused() {
        let cases = [
            ("02-30", None, YearsFault::NotADay),
            ("4-1", None, YearsFault::NotADay),
            ("02-29", None, YearsFault::NotInEveryYear),
            ("01-31", None, YearsFault::NotInEveryYear),
            ("04-01", Some("4-4-5"), YearsFault::NoWeeks),
            ("sunday on or after 02-29", Some("4-4-5"), YearsFault::NotInEveryYear),
            ("sunday nearest 03-02", Some("4-4-5"), YearsFault::NotInEveryYear),
            ("someday nearest 02-01", Some("4-4-5"), YearsFault::NotADay),
            ("sunday before 02-01", Some("4-4-5"), YearsFault::NotADay),
            ("sunday nearest 02-01", None, YearsFault::NoMonths),
            ("sunday nearest 02-01", Some("4-4-4"), YearsFault::NotAQuarter),
            ("sunday nearest 02-01", Some("1-6-6"), YearsFault::NotAQuarter),
            ("sunday nearest 02-01", Some("13"), YearsFault::NotAQuarter),
        ];
        for (starts, months, fault) in cases {
            assert_eq!(Years::parse(starts, months), Err(fault), "{starts} {months:?}");
        }
    }
}

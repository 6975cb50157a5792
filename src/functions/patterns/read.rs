//! Dates and times read by a pattern.

use chrono::{Datelike, NaiveDate};

use super::moment::{DAYS, Field, MONTHS, Node, ROMAN, is_separator, parse};
use super::{Result, calendar};
use crate::functions::error::FunctionError;

/// What a text says.
pub(super) struct Read {
    pub(super) date: NaiveDate,
    pub(super) micros: i64,
    pub(super) east_seconds: Option<i32>,
}

/// Which of the two calendars the fields belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Calendar {
    Gregorian,
    IsoWeek,
}

/// The fields as they were found; 0 where one wasn't.
#[derive(Debug, Default)]
struct Found {
    calendar: Option<Calendar>,
    hour: i64,
    twelve_hours: bool,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    seconds_of_day: i64,
    day_of_week: i64,
    day: i64,
    day_of_year: i64,
    month: i64,
    millis: i64,
    micros: i64,
    year: i64,
    year_digits: u32,
    before_christ: bool,
    week: i64,
    week_of_month: i64,
    century: i64,
    julian: i64,
    zone_sign: i64,
    zone_hours: i64,
    zone_minutes: i64,
}

fn fault(message: String) -> FunctionError {
    FunctionError::new("22007", message)
}

/// The text that is left to read.
struct Input<'t> {
    rest: &'t str,
}

impl Input<'_> {
    /// Skips white space; how much there was.
    fn skip_spaces(&mut self) -> i64 {
        let trimmed = self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
        let skipped = self.rest.len() - trimmed.len();
        self.rest = trimmed;
        i64::try_from(skipped).unwrap_or_default()
    }

    fn first(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn skip(&mut self) {
        let mut characters = self.rest.chars();
        characters.next();
        self.rest = characters.as_str();
    }
}

/// Reads `text` by `pattern`.
///
/// # Errors
/// 22007 for what doesn't match, 22008 for fields out of range, 0A000 for fields that are only
/// written.
pub(super) fn read(text: &str, pattern: &str) -> Result<Read> {
    let nodes = parse(pattern);
    let mut found = Found::default();
    let mut input = Input { rest: text };
    // Characters skipped beyond those that the pattern has.
    let mut extra = 0_i64;
    for (index, node) in nodes.iter().enumerate() {
        if input.rest.is_empty() {
            break;
        }
        if matches!(node, Node::Field { .. }) || index == 0 {
            extra += input.skip_spaces();
        }
        match node {
            Node::Space(_) | Node::Separator(_) => {
                extra -= 1;
                if input.first().is_some_and(|c| c.is_ascii_whitespace() || is_separator(c)) {
                    input.skip();
                    extra += 1;
                }
            }
            Node::Text(_) if extra > 0 => extra -= 1,
            Node::Text(_) => input.skip(),
            Node::Field { .. } => {
                let before = &text[..text.len() - input.rest.len()];
                let minus = extra > 0 && before.ends_with('-');
                read_field(node, nodes.get(index + 1), &mut input, &mut found, minus)?;
                extra = input.skip_spaces();
            }
        }
    }
    found.finish(text)
}

/// Whether a number ends by itself: the next part of the pattern begins with no digit.
fn ends_by_itself(node: &Node, next: Option<&Node>) -> bool {
    if matches!(node, Node::Field { ordinal: Some(_), .. }) {
        return true;
    }
    match next {
        None => true,
        Some(Node::Field { field, .. }) => !matches!(
            field,
            Field::Century
                | Field::Day
                | Field::DayOfYear
                | Field::DayOfWeek
                | Field::Fraction(_)
                | Field::Hour24
                | Field::Hour12
                | Field::IsoDayOfYear
                | Field::IsoDayOfWeek
                | Field::IsoWeek
                | Field::IsoYear(_)
                | Field::Julian
                | Field::Minute
                | Field::Month
                | Field::Milliseconds
                | Field::Quarter
                | Field::SecondsOfDay
                | Field::Second
                | Field::Microseconds
                | Field::WeekOfYear
                | Field::WeekOfMonth
                | Field::YearWithComma
                | Field::Year(_)
        ),
        Some(Node::Space(c) | Node::Separator(c) | Node::Text(c)) => !c.is_ascii_digit(),
    }
}

/// An integer of at most `width` digits, or of any number where it ends by itself; how many
/// characters it had.
fn integer(
    input: &mut Input<'_>,
    node: &Node,
    next: Option<&Node>,
    width: usize,
) -> Result<(i64, u32)> {
    let Node::Field { name, bare, .. } = node else { return Ok((0, 0)) };
    let start = input.rest;
    input.skip_spaces();
    let source = input.rest;
    let limit = match *bare || ends_by_itself(node, next) {
        true => source.len(),
        false => {
            let count = source.chars().count();
            if count < width {
                return Err(fault(format!(
                    "source string too short for \"{name}\" formatting field"
                ))
                .with_hint(
                    "If your source string is not fixed-width, try using the \"FM\" modifier.",
                ));
            }
            source.char_indices().nth(width).map_or(source.len(), |(at, _)| at)
        }
    };
    let window = &source[..limit];
    let signed = usize::from(window.starts_with(['+', '-']));
    let digits = window[signed..].bytes().take_while(u8::is_ascii_digit).count();
    let used = if digits == 0 { 0 } else { signed + digits };
    let shown = || source.chars().take(width).collect::<String>();
    if used == 0 {
        let shown = start.chars().take(width).collect::<String>();
        return Err(fault(format!("invalid value \"{shown}\" for \"{name}\"")));
    }
    if limit < source.len() && used < limit {
        return Err(fault(format!("invalid value \"{}\" for \"{name}\"", shown())).with_hint(
            "If your source string is not fixed-width, try using the \"FM\" modifier.",
        ));
    }
    let value: i64 = source[..used].parse::<i32>().map(i64::from).map_err(|_| {
        let message = format!("value for \"{name}\" in source string is out of range");
        FunctionError::new("22008", message)
    })?;
    input.rest = &source[used..];
    Ok((value, u32::try_from(digits).unwrap_or_default()))
}

/// The place of a name at the beginning of the text, in any case.
fn one_of(
    input: &mut Input<'_>,
    names: &[&str],
    length: Option<usize>,
    field: &str,
) -> Result<i64> {
    for (index, name) in names.iter().enumerate() {
        let name = length.map_or(*name, |length| &name[..length]);
        let here = input.rest.get(..name.len());
        if here.is_some_and(|here| here.eq_ignore_ascii_case(name)) {
            input.rest = &input.rest[name.len()..];
            return Ok(i64::try_from(index).unwrap_or_default());
        }
    }
    let word = input.rest.split_ascii_whitespace().next().unwrap_or("");
    Err(fault(format!("invalid value \"{word}\" for \"{field}\"")))
}

impl Found {
    fn in_calendar(&mut self, calendar: Calendar) -> Result<()> {
        match self.calendar {
            Some(other) if other != calendar => {
                Err(fault("invalid combination of date conventions".to_owned()).with_hint(
                    "Do not mix Gregorian and ISO week date conventions in a formatting template.",
                ))
            }
            _ => {
                self.calendar = Some(calendar);
                Ok(())
            }
        }
    }
}

fn set(place: &mut i64, value: i64, name: &str) -> Result<()> {
    if *place != 0 && *place != value {
        return Err(fault(format!("conflicting values for \"{name}\" field in formatting string")));
    }
    *place = value;
    Ok(())
}

fn read_field(
    node: &Node,
    next: Option<&Node>,
    input: &mut Input<'_>,
    found: &mut Found,
    after_minus: bool,
) -> Result<()> {
    let Node::Field { field, name, ordinal, .. } = node else { return Ok(()) };
    let calendar = match field {
        Field::IsoDayOfYear | Field::IsoDayOfWeek | Field::IsoWeek | Field::IsoYear(_) => {
            Some(Calendar::IsoWeek)
        }
        Field::Century
        | Field::DayName
        | Field::DayShort
        | Field::DayOfYear
        | Field::Day
        | Field::DayOfWeek
        | Field::Month
        | Field::MonthName
        | Field::MonthShort
        | Field::Roman
        | Field::WeekOfYear
        | Field::WeekOfMonth
        | Field::YearWithComma
        | Field::Year(_) => Some(Calendar::Gregorian),
        _ => None,
    };
    if let Some(calendar) = calendar {
        // Names of days belong to both.
        if !matches!(field, Field::DayName | Field::DayShort) {
            found.in_calendar(calendar)?;
        }
    }
    let width = name.len();
    let number = |input: &mut Input<'_>, width| integer(input, node, next, width);
    match field {
        Field::Exact => {
            return Err(FunctionError::not_supported(
                "the pattern FX",
                "Leave it out: spaces and separators are matched loosely.",
            ));
        }
        Field::Zone | Field::Offset => {
            let message = format!("formatting field \"{name}\" is only supported in to_char");
            return Err(FunctionError::new("0A000", message));
        }
        Field::Meridiem { dots } => {
            let names: &[&str] = if *dots { &["a.m.", "p.m."] } else { &["am", "pm"] };
            found.afternoon = Some(one_of(input, names, None, name)? == 1);
            found.twelve_hours = true;
        }
        Field::Era { dots } => {
            let names: &[&str] = if *dots { &["a.d.", "b.c."] } else { &["ad", "bc"] };
            found.before_christ = one_of(input, names, None, name)? == 1;
        }
        Field::Hour12 => {
            set(&mut found.hour, number(input, 2)?.0, name)?;
            found.twelve_hours = true;
        }
        Field::Hour24 => set(&mut found.hour, number(input, 2)?.0, name)?,
        Field::Minute => set(&mut found.minute, number(input, 2)?.0, name)?,
        Field::Second => set(&mut found.second, number(input, 2)?.0, name)?,
        Field::Milliseconds => {
            let (value, digits) = number(input, 3)?;
            let value = if digits < 3 { value * 10_i64.pow(3 - digits) } else { value };
            set(&mut found.millis, value, name)?;
        }
        Field::Microseconds | Field::Fraction(_) => {
            let width = if let Field::Fraction(digits) = field { *digits } else { 6 };
            let (value, digits) = number(input, usize::try_from(width).unwrap_or_default())?;
            let value = if digits < 6 { value * 10_i64.pow(6 - digits) } else { value };
            set(&mut found.micros, value, name)?;
        }
        Field::SecondsOfDay => set(&mut found.seconds_of_day, number(input, width)?.0, name)?,
        Field::ZoneHours => {
            found.zone_sign = match input.first() {
                Some(sign @ ('+' | '-' | ' ')) => {
                    input.skip();
                    if sign == '-' { -1 } else { 1 }
                }
                _ if after_minus => -1,
                _ => 1,
            };
            found.zone_hours = number(input, 2)?.0;
        }
        Field::ZoneMinutes => {
            if found.zone_sign == 0 {
                found.zone_sign = 1;
            }
            found.zone_minutes = number(input, 2)?.0;
        }
        Field::MonthName => {
            set(&mut found.month, one_of(input, &MONTHS, None, name)? + 1, name)?;
        }
        Field::MonthShort => {
            set(&mut found.month, one_of(input, &MONTHS, Some(3), name)? + 1, name)?;
        }
        Field::Month => set(&mut found.month, number(input, 2)?.0, name)?,
        Field::DayName => {
            set(&mut found.day_of_week, one_of(input, &DAYS, None, name)? + 1, name)?;
        }
        Field::DayShort => {
            set(&mut found.day_of_week, one_of(input, &DAYS, Some(3), name)? + 1, name)?;
        }
        Field::DayOfYear | Field::IsoDayOfYear => {
            set(&mut found.day_of_year, number(input, 3)?.0, name)?;
        }
        Field::Day => set(&mut found.day, number(input, 2)?.0, name)?,
        Field::DayOfWeek => set(&mut found.day_of_week, number(input, 1)?.0, name)?,
        Field::IsoDayOfWeek => {
            let day = number(input, 1)?.0 + 1;
            set(&mut found.day_of_week, if day > 7 { 1 } else { day }, name)?;
        }
        Field::WeekOfYear | Field::IsoWeek => set(&mut found.week, number(input, 2)?.0, name)?,
        Field::Quarter => {
            // As in Postgres it says nothing.
            number(input, 1)?;
        }
        Field::Century => set(&mut found.century, number(input, 2)?.0, name)?,
        Field::YearWithComma => {
            let (thousands, rest) = input
                .rest
                .split_once(',')
                .ok_or_else(|| fault(format!("invalid input string for \"{name}\"")))?;
            let digits = rest.bytes().take(3).take_while(u8::is_ascii_digit).count();
            let parsed = thousands.parse::<i32>().ok().zip(rest[..digits].parse::<i32>().ok());
            let (thousands, units) =
                parsed.ok_or_else(|| fault(format!("invalid input string for \"{name}\"")))?;
            input.rest = &rest[digits..];
            set(&mut found.year, i64::from(thousands) * 1_000 + i64::from(units), name)?;
            found.year_digits = 4;
        }
        Field::Year(digits) | Field::IsoYear(digits) => {
            let (value, read) = number(input, usize::try_from(*digits).unwrap_or_default())?;
            let value = match *digits {
                4 => value,
                _ if read < 4 => nearest_to_2020(value),
                _ => value,
            };
            set(&mut found.year, value, name)?;
            found.year_digits = *digits;
        }
        Field::Roman => {
            let mut months: Vec<(usize, &str)> = ROMAN.iter().copied().enumerate().collect();
            months.sort_by_key(|(_, name)| std::cmp::Reverse(name.len()));
            let names: Vec<&str> = months.iter().map(|(_, name)| *name).collect();
            let place = usize::try_from(one_of(input, &names, None, name)?).unwrap_or_default();
            let month = months.get(place).map_or(0, |(index, _)| index + 1);
            set(&mut found.month, i64::try_from(month).unwrap_or_default(), name)?;
        }
        Field::WeekOfMonth => set(&mut found.week_of_month, number(input, 1)?.0, name)?,
        Field::Julian => set(&mut found.julian, number(input, 1)?.0, name)?,
    }
    if ordinal.is_some() {
        input.rest = input.rest.get(2..).unwrap_or("");
    }
    Ok(())
}

/// A year of fewer than four digits, in the years around 2020.
fn nearest_to_2020(year: i64) -> i64 {
    match year {
        ..70 => year + 2000,
        70..100 => year + 1900,
        100..520 => year + 2000,
        520..1000 => year + 1000,
        _ => year,
    }
}

impl Found {
    fn finish(mut self, text: &str) -> Result<Read> {
        let overflow = || {
            let message = format!("date/time field value out of range: \"{text}\"");
            FunctionError::new("22008", message)
        };
        let micros = self.clock().and_then(|clock| clock.ok_or_else(overflow))?;
        let mut year = self.proleptic_year();
        let (mut month, mut day) = (1, 1);
        let mut whole: Option<NaiveDate> = None;
        if self.julian != 0 {
            let days = i32::try_from(self.julian - 2_440_588).map_err(|_| overflow())?;
            whole = Some(NaiveDate::from_epoch_days(days).ok_or_else(overflow)?);
        }
        if self.week != 0 {
            if self.calendar == Some(Calendar::IsoWeek) {
                // Days count from Sunday, 1; without one it is the Monday.
                let weekday = match self.day_of_week {
                    0 => 0,
                    1 => 6,
                    day => day - 2,
                };
                let monday = iso_monday(year).ok_or_else(overflow)?;
                let days = (self.week - 1) * 7 + weekday;
                whole = Some(plus_days(monday, days).ok_or_else(overflow)?);
            } else {
                self.day_of_year = (self.week - 1) * 7 + 1;
            }
        }
        if self.week_of_month != 0 {
            self.day = (self.week_of_month - 1) * 7 + 1;
        }
        if let Some(date) = whole {
            (year, month, day) = (date.year().into(), date.month().into(), date.day().into());
        }
        if self.day != 0 {
            day = self.day;
        }
        if self.month != 0 {
            month = self.month;
        }
        if self.day_of_year != 0 && (month <= 1 || day <= 1) {
            if year == 0 && !self.before_christ {
                let message = "cannot calculate day of year without year information";
                return Err(fault(message.to_owned()));
            }
            let begin = match self.calendar {
                Some(Calendar::IsoWeek) => iso_monday(year),
                _ => i32::try_from(year).ok().and_then(|y| NaiveDate::from_ymd_opt(y, 1, 1)),
            };
            let date = begin.and_then(|begin| plus_days(begin, self.day_of_year - 1));
            let date = date.ok_or_else(overflow)?;
            if self.calendar != Some(Calendar::IsoWeek) && i64::from(date.year()) != year {
                return Err(overflow());
            }
            (year, month, day) = (date.year().into(), date.month().into(), date.day().into());
        }
        let narrow = |value: i64| u32::try_from(value).ok();
        let date = i32::try_from(year)
            .ok()
            .and_then(|year| NaiveDate::from_ymd_opt(year, narrow(month)?, narrow(day)?))
            .ok_or_else(overflow)?;
        let east_seconds = match self.zone_sign {
            0 => None,
            sign => {
                if self.zone_hours.abs() > 15 || !(0..60).contains(&self.zone_minutes) {
                    return Err(overflow());
                }
                i32::try_from(sign * (self.zone_hours * 3_600 + self.zone_minutes * 60)).ok()
            }
        };
        Ok(Read { date, micros, east_seconds })
    }

    /// Microseconds of the day; None out of range.
    fn clock(&self) -> Result<Option<i64>> {
        let (mut hour, mut minute, mut second) = (0, 0, 0);
        if self.seconds_of_day != 0 {
            hour = self.seconds_of_day / 3_600;
            minute = self.seconds_of_day % 3_600 / 60;
            second = self.seconds_of_day % 60;
        }
        if self.second != 0 {
            second = self.second;
        }
        if self.minute != 0 {
            minute = self.minute;
        }
        if self.hour != 0 {
            hour = self.hour;
        }
        if self.twelve_hours {
            if !(1..=12).contains(&hour) {
                return Err(fault(format!("hour \"{hour}\" is invalid for the 12-hour clock"))
                    .with_hint("Use the 24-hour clock, or give an hour between 1 and 12."));
            }
            match self.afternoon {
                Some(true) if hour < 12 => hour += 12,
                Some(false) | None if hour == 12 => hour = 0,
                _ => {}
            }
        }
        let fraction = self.millis * 1_000 + self.micros;
        let fits = (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..60).contains(&second)
            && (0..1_000_000).contains(&fraction);
        let seconds = hour * 3_600 + minute * 60 + second;
        Ok(fits.then_some(seconds * calendar::SECOND + fraction))
    }

    /// The year with 0 for 1 BC.
    fn proleptic_year(&self) -> i64 {
        let century = if self.before_christ { -self.century } else { self.century };
        if self.year != 0 {
            if self.century != 0 && self.year_digits <= 2 {
                let year = self.year % 100;
                return match (year, century) {
                    (0, 0..) => century * 100,
                    (0, _) => century * 100 + 1,
                    (_, 0..) => year + (century - 1) * 100,
                    _ => (century + 1) * 100 - year + 1,
                };
            }
            let year = if self.before_christ { -self.year } else { self.year };
            return if year < 0 { year + 1 } else { year };
        }
        match century {
            0 => 0,
            1.. => (century - 1) * 100 + 1,
            _ => century * 100 + 1,
        }
    }
}

/// The Monday of the first ISO week of a year.
fn iso_monday(year: i64) -> Option<NaiveDate> {
    NaiveDate::from_isoywd_opt(i32::try_from(year).ok()?, 1, chrono::Weekday::Mon)
}

fn plus_days(date: NaiveDate, days: i64) -> Option<NaiveDate> {
    NaiveDate::from_epoch_days(i32::try_from(i64::from(date.to_epoch_days()) + days).ok()?)
}

//! Patterns of dates and times: their parts, and values written by them.

use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};

use super::{Result, ordinal};
use crate::functions::calendar::Unit;
use crate::functions::error::FunctionError;

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
pub(super) const ROMAN: [&str; 12] =
    ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// A field of a pattern. Names in upper case are also known in lower case; those whose case
/// matters to what is written are told apart by [`Case`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Meridiem {
        dots: bool,
    },
    Era {
        dots: bool,
    },
    Century,
    Day,
    DayName,
    DayShort,
    DayOfYear,
    DayOfWeek,
    Fraction(u32),
    Exact,
    Hour24,
    Hour12,
    IsoDayOfYear,
    IsoDayOfWeek,
    IsoWeek,
    /// Of so many digits.
    IsoYear(u32),
    Julian,
    Minute,
    Month,
    MonthName,
    MonthShort,
    Milliseconds,
    Offset,
    Quarter,
    Roman,
    SecondsOfDay,
    Second,
    ZoneHours,
    ZoneMinutes,
    Zone,
    Microseconds,
    WeekOfYear,
    WeekOfMonth,
    YearWithComma,
    Year(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Upper,
    Capital,
    Lower,
}

/// Names in the order in which they are looked for: the longest first of those that begin alike.
const FIELDS: &[(&str, Field)] = &[
    ("A.D.", Field::Era { dots: true }),
    ("A.M.", Field::Meridiem { dots: true }),
    ("AD", Field::Era { dots: false }),
    ("AM", Field::Meridiem { dots: false }),
    ("B.C.", Field::Era { dots: true }),
    ("BC", Field::Era { dots: false }),
    ("CC", Field::Century),
    ("DAY", Field::DayName),
    ("DDD", Field::DayOfYear),
    ("DD", Field::Day),
    ("DY", Field::DayShort),
    ("D", Field::DayOfWeek),
    ("FF1", Field::Fraction(1)),
    ("FF2", Field::Fraction(2)),
    ("FF3", Field::Fraction(3)),
    ("FF4", Field::Fraction(4)),
    ("FF5", Field::Fraction(5)),
    ("FF6", Field::Fraction(6)),
    ("FX", Field::Exact),
    ("HH24", Field::Hour24),
    ("HH12", Field::Hour12),
    ("HH", Field::Hour12),
    ("IDDD", Field::IsoDayOfYear),
    ("ID", Field::IsoDayOfWeek),
    ("IW", Field::IsoWeek),
    ("IYYY", Field::IsoYear(4)),
    ("IYY", Field::IsoYear(3)),
    ("IY", Field::IsoYear(2)),
    ("I", Field::IsoYear(1)),
    ("J", Field::Julian),
    ("MI", Field::Minute),
    ("MM", Field::Month),
    ("MONTH", Field::MonthName),
    ("MON", Field::MonthShort),
    ("MS", Field::Milliseconds),
    ("OF", Field::Offset),
    ("P.M.", Field::Meridiem { dots: true }),
    ("PM", Field::Meridiem { dots: false }),
    ("Q", Field::Quarter),
    ("RM", Field::Roman),
    ("SSSSS", Field::SecondsOfDay),
    ("SSSS", Field::SecondsOfDay),
    ("SS", Field::Second),
    ("TZH", Field::ZoneHours),
    ("TZM", Field::ZoneMinutes),
    ("TZ", Field::Zone),
    ("US", Field::Microseconds),
    ("WW", Field::WeekOfYear),
    ("W", Field::WeekOfMonth),
    ("Y,YYY", Field::YearWithComma),
    ("YYYY", Field::Year(4)),
    ("YYY", Field::Year(3)),
    ("YY", Field::Year(2)),
    ("Y", Field::Year(1)),
];

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Field {
        field: Field,
        case: Case,
        /// As the pattern writes it, for errors.
        name: &'static str,
        /// `FM`, or `TM`, which fills nothing either.
        bare: bool,
        ordinal: Option<Case>,
    },
    Space(char),
    Separator(char),
    Text(char),
}

/// The parts of a pattern.
pub(super) fn parse(pattern: &str) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut rest = pattern;
    while !rest.is_empty() {
        let mut bare = false;
        for prefix in ["FM", "fm", "TM", "tm"] {
            if let Some(after) = rest.strip_prefix(prefix) {
                (bare, rest) = (true, after);
                break;
            }
        }
        if let Some((field, case, name)) = field_at(rest) {
            rest = &rest[name.len()..];
            let mut written = None;
            for (suffix, case) in
                [("TH", Some(Case::Upper)), ("th", Some(Case::Lower)), ("SP", None)]
            {
                if let Some(after) = rest.strip_prefix(suffix) {
                    (written, rest) = (case, after);
                    break;
                }
            }
            nodes.push(Node::Field { field, case, name, bare, ordinal: written });
            continue;
        }
        rest = match rest.strip_prefix('"') {
            Some(quoted) => quoted_text(quoted, &mut nodes),
            None => plain_character(rest, &mut nodes),
        };
    }
    nodes
}

/// A part of a pattern of moments, for who writes it in another notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatternPart {
    Text(char),
    /// A field in upper case, or as it is written where the case shows: `YYYY`, `FMMonth`, `pm`.
    Field(&'static str),
}

/// The parts of a pattern in order; None where one of them has a suffix.
pub(crate) fn pattern_parts(pattern: &str) -> Option<Vec<PatternPart>> {
    let parts = parse(pattern).into_iter().map(|node| match node {
        Node::Space(text) | Node::Separator(text) | Node::Text(text) => {
            Some(PatternPart::Text(text))
        }
        Node::Field { ordinal: Some(_), .. } => None,
        Node::Field { field, case, name, bare, .. } => Some(PatternPart::Field(match field {
            Field::MonthName if bare && case == Case::Capital => "FMMonth",
            Field::DayName if bare && case == Case::Capital => "FMDay",
            Field::MonthShort if case == Case::Capital => "Mon",
            Field::DayShort if case == Case::Capital => "Dy",
            Field::Meridiem { .. } if case == Case::Lower => return None,
            Field::MonthName | Field::DayName | Field::MonthShort | Field::DayShort => return None,
            _ if bare => return None,
            _ => name,
        })),
    });
    parts.collect()
}

/// Whether a pattern shows the zone, beside the wall clock.
pub(crate) fn shows_zone(pattern: &str) -> bool {
    let of_zone = [Field::Offset, Field::ZoneHours, Field::ZoneMinutes, Field::Zone];
    parse(pattern)
        .iter()
        .any(|node| matches!(node, Node::Field { field, .. } if of_zone.contains(field)))
}

/// The longest unit whose periods a pattern doesn't divide: all moments of one month are written
/// alike by `Mon YYYY`. None where it shows more than seconds, or the zone.
pub(crate) fn finest_unit(pattern: &str) -> Option<Unit> {
    let fields = parse(pattern).into_iter().filter_map(|node| match node {
        Node::Field { field, .. } => Some(field),
        _ => None,
    });
    let units: Vec<Unit> = fields.map(Field::unit).collect::<Option<_>>()?;
    let finest = units.iter().copied().min()?;
    match finest {
        // Weeks lie in two months and years.
        Unit::Week if units.iter().any(|unit| *unit != Unit::Week) => Some(Unit::Day),
        finest => Some(finest),
    }
}

/// The unit each of whose periods a pattern writes in one way, and no two alike: months by
/// `YYYY-MM`. None for patterns that aren't of whole periods, as `MM`, of every year's, is not.
pub(crate) fn exact_unit(pattern: &str) -> Option<Unit> {
    let unit = finest_unit(pattern)?;
    let nodes = parse(pattern);
    // Without leading zeros 1 and 11 read as 11 and 1 do.
    let runs_together = |pair: &[Node]| match pair {
        [Node::Field { bare, .. }, Node::Field { bare: next, .. }] => *bare || *next,
        _ => false,
    };
    if nodes.windows(2).any(runs_together) {
        return None;
    }
    let has = |wanted: &[Field]| {
        nodes.iter().any(|node| matches!(node, Node::Field { field, .. } if wanted.contains(field)))
    };
    let year = has(&[Field::Year(4), Field::YearWithComma]);
    let iso_year = has(&[Field::IsoYear(4)]);
    let month = year && has(&[Field::Month, Field::MonthName, Field::MonthShort, Field::Roman]);
    let week = iso_year && has(&[Field::IsoWeek]);
    let weekday = [Field::DayOfWeek, Field::IsoDayOfWeek, Field::DayName, Field::DayShort];
    let day = has(&[Field::Julian])
        || (month && has(&[Field::Day]))
        || (year && has(&[Field::DayOfYear]))
        || (iso_year && has(&[Field::IsoDayOfYear]))
        || (week && has(&weekday));
    let is_afternoon = [Field::Meridiem { dots: true }, Field::Meridiem { dots: false }];
    let hour = day && (has(&[Field::Hour24]) || (has(&[Field::Hour12]) && has(&is_afternoon)));
    let minute = hour && has(&[Field::Minute]);
    let is_told = match unit {
        Unit::Year => year,
        Unit::Quarter => year && has(&[Field::Quarter]),
        Unit::Month => month,
        Unit::Week => week,
        Unit::Day => day,
        Unit::Hour => hour,
        Unit::Minute => minute,
        Unit::Second => minute && has(&[Field::Second]),
        _ => false,
    };
    is_told.then_some(unit)
}

impl Field {
    /// The longest unit within whose periods the field doesn't change.
    fn unit(self) -> Option<Unit> {
        Some(match self {
            Self::Century
            | Self::Era { .. }
            | Self::Exact
            | Self::Year(_)
            | Self::YearWithComma => Unit::Year,
            Self::Quarter => Unit::Quarter,
            Self::Month | Self::MonthName | Self::MonthShort | Self::Roman => Unit::Month,
            Self::IsoWeek | Self::IsoYear(_) => Unit::Week,
            Self::Day
            | Self::DayName
            | Self::DayShort
            | Self::DayOfYear
            | Self::DayOfWeek
            | Self::IsoDayOfYear
            | Self::IsoDayOfWeek
            | Self::Julian
            | Self::WeekOfYear
            | Self::WeekOfMonth => Unit::Day,
            Self::Hour12 | Self::Hour24 | Self::Meridiem { .. } => Unit::Hour,
            Self::Minute => Unit::Minute,
            Self::Second | Self::SecondsOfDay => Unit::Second,
            Self::Fraction(_)
            | Self::Milliseconds
            | Self::Microseconds
            | Self::Offset
            | Self::Zone
            | Self::ZoneHours
            | Self::ZoneMinutes => return None,
        })
    }
}

fn field_at(rest: &str) -> Option<(Field, Case, &'static str)> {
    for (name, field) in FIELDS {
        let Some(here) = rest.get(..name.len()) else { continue };
        if here == *name {
            return Some((*field, Case::Upper, name));
        }
        if here.bytes().eq(name.bytes().map(|byte| byte.to_ascii_lowercase())) {
            return Some((*field, Case::Lower, name));
        }
        let is_name = matches!(
            field,
            Field::DayName | Field::DayShort | Field::MonthName | Field::MonthShort
        );
        let (first, others) = here.split_at_checked(1)?;
        if is_name
            && first == &name[..1]
            && others.bytes().eq(name[1..].bytes().map(|byte| byte.to_ascii_lowercase()))
        {
            return Some((*field, Case::Capital, name));
        }
    }
    None
}

/// Text up to the closing quote, in which a backslash takes the next character as it is.
fn quoted_text<'p>(quoted: &'p str, nodes: &mut Vec<Node>) -> &'p str {
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => nodes.extend(characters.next().or(Some('\\')).map(Node::Text)),
            other => nodes.push(Node::Text(other)),
        }
    }
    characters.as_str()
}

fn plain_character<'p>(rest: &'p str, nodes: &mut Vec<Node>) -> &'p str {
    let rest = match rest.strip_prefix("\\\"") {
        Some(_) => &rest[1..],
        None => rest,
    };
    let mut characters = rest.chars();
    if let Some(character) = characters.next() {
        nodes.push(match character {
            ' ' | '\t'..='\r' => Node::Space(character),
            character if is_separator(character) => Node::Separator(character),
            character => Node::Text(character),
        });
    }
    characters.as_str()
}

/// ASCII that is neither letter, digit nor space.
pub(super) fn is_separator(character: char) -> bool {
    character.is_ascii_graphic() && !character.is_ascii_alphanumeric()
}

/// What is written of a moment or an interval.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) micros: i64,
    pub(super) day_of_year: i64,
    /// None of an interval, which is on no day.
    pub(super) date: Option<NaiveDate>,
    /// Of an instant: how many seconds east of UTC it is shown, and how that zone is called then.
    pub(super) zone: Option<(i32, String)>,
}

impl Parts {
    pub(super) fn of_moment(moment: NaiveDateTime, zone: Option<(i32, String)>) -> Self {
        Self {
            year: moment.year().into(),
            month: moment.month().into(),
            day: moment.day().into(),
            hour: moment.hour().into(),
            minute: moment.minute().into(),
            second: moment.second().into(),
            micros: (moment.nanosecond() / 1_000).into(),
            day_of_year: moment.ordinal().into(),
            date: Some(moment.date()),
            zone,
        }
    }

    fn date(&self) -> Result<NaiveDate> {
        self.date.ok_or_else(|| {
            FunctionError::new("22007", "invalid format specification for an interval value")
                .with_hint("Intervals are not tied to specific calendar dates.")
        })
    }

    /// The sign, hours and minutes of the zone's offset.
    fn offset(&self) -> (char, i32, i32) {
        let seconds = self.zone.as_ref().map_or(0, |(seconds, _)| *seconds);
        let sign = if seconds < 0 { '-' } else { '+' };
        (sign, seconds.abs() / 3_600, seconds.abs() / 60 % 60)
    }

    /// A year as it is written: there is no year 0.
    fn shown(&self, year: i64) -> i64 {
        if self.date.is_some() && year <= 0 { 1 - year } else { year }
    }
}

/// `value` by `pattern`.
///
/// # Errors
/// Fields that an interval doesn't have.
pub(super) fn write(value: &Parts, pattern: &str) -> Result<String> {
    let mut text = String::with_capacity(pattern.len() + 8);
    for node in parse(pattern) {
        match node {
            Node::Space(character) | Node::Separator(character) | Node::Text(character) => {
                text.push(character);
            }
            Node::Field { field, case, bare, ordinal: written, .. } => {
                let start = text.len();
                let is_number = write_field(value, field, case, bare, &mut text)?;
                if let Some(case) = written.filter(|_| is_number) {
                    let suffix = ordinal(&text[start..]);
                    text.push_str(&cased(suffix, case));
                }
            }
        }
    }
    Ok(text)
}

fn cased(text: &str, case: Case) -> String {
    match case {
        Case::Upper => text.to_ascii_uppercase(),
        Case::Capital => text.to_owned(),
        Case::Lower => text.to_ascii_lowercase(),
    }
}

/// Writes one field; true if it is a number.
fn write_field(
    value: &Parts,
    field: Field,
    case: Case,
    bare: bool,
    out: &mut String,
) -> Result<bool> {
    let padded = |number: i64, width: usize, out: &mut String| {
        let width = if bare { 0 } else { width + usize::from(number < 0) };
        out.push_str(&format!("{number:0width$}"));
        Ok(true)
    };
    let name = |name: &str, width: usize, out: &mut String| {
        let width = if bare { 0 } else { width };
        out.push_str(&format!("{:width$}", cased(name, case)));
        Ok(false)
    };
    let dotted = |letters: [char; 2], dots: bool, out: &mut String| {
        for letter in letters {
            out.push(if case == Case::Lower { letter.to_ascii_lowercase() } else { letter });
            if dots {
                out.push('.');
            }
        }
        Ok(false)
    };
    let table = |names: &[&'static str], index: i64| {
        usize::try_from(index).ok().and_then(|index| names.get(index).copied()).unwrap_or("")
    };
    match field {
        Field::Meridiem { dots } => {
            let letter = if value.hour % 24 >= 12 { 'P' } else { 'A' };
            dotted([letter, 'M'], dots, out)
        }
        Field::Era { dots } => {
            value.date()?;
            dotted(if value.year <= 0 { ['B', 'C'] } else { ['A', 'D'] }, dots, out)
        }
        Field::Century => {
            let century = match value.year {
                year if value.date.is_none() => year / 100,
                year @ 1.. => (year - 1) / 100 + 1,
                year => year / 100 - 1,
            };
            padded(century, if century.abs() <= 99 { 2 } else { 0 }, out)
        }
        Field::Day => padded(value.day, 2, out),
        Field::DayName | Field::DayShort => {
            let day = value.date()?.weekday().num_days_from_sunday();
            let full = table(&DAYS, day.into());
            if field == Field::DayName { name(full, 9, out) } else { name(&full[..3], 0, out) }
        }
        Field::DayOfYear => padded(value.day_of_year, 3, out),
        Field::DayOfWeek => {
            padded(i64::from(value.date()?.weekday().num_days_from_sunday()) + 1, 0, out)
        }
        Field::Fraction(digits) => {
            let width = usize::try_from(digits).unwrap_or_default();
            out.push_str(&format!("{:0width$}", value.micros / 10_i64.pow(6 - digits)));
            Ok(true)
        }
        Field::Exact => Ok(false),
        Field::Hour24 => padded(value.hour, 2, out),
        Field::Hour12 => {
            let hour = value.hour % 12;
            padded(if hour == 0 { 12 } else { hour }, 2, out)
        }
        Field::IsoDayOfYear => {
            let date = value.date()?;
            let week = i64::from(date.iso_week().week()) - 1;
            padded(week * 7 + i64::from(date.weekday().number_from_monday()), 3, out)
        }
        Field::IsoDayOfWeek => padded(value.date()?.weekday().number_from_monday().into(), 0, out),
        Field::IsoWeek => padded(value.date()?.iso_week().week().into(), 2, out),
        Field::IsoYear(digits) => {
            let year = value.shown(value.date()?.iso_week().year().into());
            year_of(year, digits, &padded, out)
        }
        Field::Julian => {
            let date = value.date()?;
            padded(i64::from(date.to_epoch_days()) + 2_440_588, 0, out)
        }
        Field::Minute => padded(value.minute, 2, out),
        Field::Month => padded(value.month, 2, out),
        Field::MonthName | Field::MonthShort => {
            value.date()?;
            let full = table(&MONTHS, value.month - 1);
            if field == Field::MonthName { name(full, 9, out) } else { name(&full[..3], 0, out) }
        }
        Field::Milliseconds => {
            out.push_str(&format!("{:03}", value.micros / 1_000));
            Ok(true)
        }
        Field::Microseconds => {
            out.push_str(&format!("{:06}", value.micros));
            Ok(true)
        }
        Field::Offset => {
            value.date()?;
            let (sign, hours, minutes) = value.offset();
            let width = if bare { 0 } else { 2 };
            out.push_str(&format!("{sign}{hours:0width$}"));
            if minutes != 0 {
                out.push_str(&format!(":{minutes:02}"));
            }
            Ok(false)
        }
        Field::Quarter => match value.month {
            0 => Ok(false),
            month => padded((month - 1) / 3 + 1, 0, out),
        },
        Field::Roman => match value.month {
            month @ 1..=12 => name(table(&ROMAN, month - 1), 4, out),
            0 if value.year == 0 => Ok(false),
            0 => name("XII", 4, out),
            month => name(table(&ROMAN, 12 + month - 1), 4, out),
        },
        Field::SecondsOfDay => {
            padded(value.hour * 3_600 + value.minute * 60 + value.second, 0, out)
        }
        Field::Second => padded(value.second, 2, out),
        Field::ZoneHours => {
            value.date()?;
            let (sign, hours, _) = value.offset();
            out.push_str(&format!("{sign}{hours:02}"));
            Ok(false)
        }
        Field::ZoneMinutes => {
            value.date()?;
            out.push_str(&format!("{:02}", value.offset().2));
            Ok(false)
        }
        Field::Zone => {
            value.date()?;
            let name = value.zone.as_ref().map_or("", |(_, name)| name);
            out.push_str(&cased(name, case));
            Ok(false)
        }
        Field::WeekOfYear => padded((value.day_of_year - 1) / 7 + 1, 2, out),
        Field::WeekOfMonth => padded((value.day - 1) / 7 + 1, 0, out),
        Field::YearWithComma => {
            let year = value.shown(value.year);
            out.push_str(&format!("{},{:03}", year / 1_000, year % 1_000));
            Ok(true)
        }
        Field::Year(digits) => year_of(value.shown(value.year), digits, &padded, out),
    }
}

fn year_of(
    year: i64,
    digits: u32,
    padded: &impl Fn(i64, usize, &mut String) -> Result<bool>,
    out: &mut String,
) -> Result<bool> {
    let width = usize::try_from(digits).unwrap_or_default();
    match digits {
        4 => padded(year, width, out),
        _ => padded(year % 10_i64.pow(digits), width, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(moment: &str, pattern: &str) -> String {
        let moment: NaiveDateTime = moment.parse().unwrap();
        write(&Parts::of_moment(moment, None), pattern).unwrap()
    }

    #[test]
    fn patterns_of_whole_periods_are_known() {
        let cases = [
            ("YYYY", Some(Unit::Year)),
            ("YYYY-\"Q\"Q", Some(Unit::Quarter)),
            ("YYYY-MM", Some(Unit::Month)),
            ("FMMonth YYYY", Some(Unit::Month)),
            ("IYYY-IW", Some(Unit::Week)),
            ("IYYY-IW-ID", Some(Unit::Day)),
            ("YYYY-MM-DD", Some(Unit::Day)),
            ("DDD/YYYY", Some(Unit::Day)),
            ("YYYY-MM-DD HH24", Some(Unit::Hour)),
            ("YYYY-MM-DD HH12 PM", Some(Unit::Hour)),
            ("YYYY-MM-DD HH24:MI:SS", Some(Unit::Second)),
            ("MM", None),
            ("Mon", None),
            ("YY-MM", None),
            ("YYYY-DD", None),
            ("YYYY-IW", None),
            ("YYYY-MM-DD HH12", None),
            ("YYYY-MM-DD MI", None),
            ("YYYYFMMMFMDD", None),
            ("YYYY-MM-DD HH24:MI:SS.MS", None),
            ("no field", None),
        ];
        for (pattern, unit) in cases {
            assert_eq!(exact_unit(pattern), unit, "{pattern}");
        }
    }

    #[test]
    fn case_and_padding_follow_the_pattern() {
        let at = "2026-05-07T13:04:05.678901";
        assert_eq!(written(at, "MONTH|Mon|month"), "MAY      |May|may      ");
        assert_eq!(written(at, "FMDay, FMMonth FMDDth"), "Thursday, May 7th");
        assert_eq!(written(at, "HH12:MI P.M."), "01:04 P.M.");
        assert_eq!(written(at, "\"Q\"Q YYYY\\\"T\""), "Q2 2026\"T");
    }
}

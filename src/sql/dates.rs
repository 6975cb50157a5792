//! Dates that name their month, as Postgres reads them: `January 8, 1999`, `8-Jan-1999`,
//! `Fri 08 Jan 99`.

use chrono::NaiveDate;

use super::value::Unread;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const DAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// A date by its fields, and what follows it in the text.
#[derive(Debug)]
pub(super) struct Named<'t> {
    year: i32,
    month: u32,
    day: u32,
    pub(super) rest: &'t str,
}

impl Named<'_> {
    pub(super) fn date(&self) -> Result<NaiveDate, Unread> {
        NaiveDate::from_ymd_opt(self.year, self.month, self.day).ok_or(Unread::Field)
    }
}

/// The date at the beginning of a text. None where it names no month, or isn't written so.
///
/// Of two numbers the day comes first, unless the other can't be a year: the order of DateStyle
/// makes no difference where a month is named and the year has its four digits. A year of two digits
/// is one from 1970 to 2069.
pub(super) fn named(text: &str, before_christ: bool) -> Option<Named<'_>> {
    let mut month = None;
    let mut numbers: Vec<&str> = Vec::with_capacity(2);
    let mut rest = text;
    while month.is_none() || numbers.len() < 2 {
        rest = rest.trim_start_matches([' ', ',', '-', '/', '.']);
        let first = rest.chars().next()?;
        let is_same = |c: char| match first.is_ascii_digit() {
            true => c.is_ascii_digit(),
            false => c.is_ascii_alphabetic(),
        };
        let (word, after) = rest.split_at(rest.find(|c| !is_same(c)).unwrap_or(rest.len()));
        if word.is_empty() || after.starts_with(':') {
            return None;
        }
        rest = after;
        if first.is_ascii_digit() {
            numbers.push(word);
        } else if let Some(index) = among(&MONTHS, word) {
            month.replace(index).map_or(Some(()), |_| None)?;
        } else {
            among(&DAYS, word)?;
        }
        if numbers.len() > 2 {
            return None;
        }
    }
    if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.') {
        return None;
    }
    let (day, year) = match numbers.as_slice() {
        [year, day] if year.len() > 2 && day.len() <= 2 => (day, year),
        [day, year] if day.len() <= 2 => (day, year),
        _ => return None,
    };
    let month = u32::try_from(month?).ok()? + 1;
    let given: i32 = year.parse().ok().filter(|_| year.len() <= 6)?;
    let year = match (before_christ, year.len()) {
        (true, _) => 1 - given,
        (false, ..=2) if given < 70 => given + 2000,
        (false, ..=2) => given + 1900,
        (false, _) => given,
    };
    Some(Named { year, month, day: day.parse().ok()?, rest: rest.trim_start_matches(',') })
}

/// Where a name is in a list, in full or by its first three letters.
fn among(names: &[&str], word: &str) -> Option<usize> {
    let word = word.to_ascii_lowercase();
    let word = if word == "sept" { "sep" } else { word.as_str() };
    names.iter().position(|name| *name == word || name[..3] == *word)
}

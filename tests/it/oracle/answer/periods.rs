//! Periods: which are shown, and whose rows are in them, or in the windows that end with them.

use std::cmp::Ordering;

use super::reader::{Reader, back, moved};
use super::{Oracle, Timed, every, keys_of, masked, passes_filter, passes_timeless_filter};
use crate::oracle::definitions::{Pick, Reference, Series, Window};
use crate::oracle::expression::{Condition, Grain, wall_clock};
use crate::oracle::question::Question;
use crate::oracle::value::Value;
use crate::oracle::world::{ARRIVAL, Row};

impl Oracle<'_> {
    /// The rows that say which periods are shown: those that pass all filters, at the times that
    /// offsets move them to.
    pub(super) fn showing(
        &self,
        reader: &Reader<'_>,
        question: &Question,
        grain: Option<Grain>,
    ) -> Vec<Timed<'_>> {
        let (outer, _, inner) = reader.steps();
        let spans = [outer, inner].concat();
        let rows = self.counted(reader, question).into_iter().filter_map(|it| {
            let wall = match it.wall {
                Some(wall) if !spans.is_empty() => Some(moved(wall, &spans, grain)?),
                wall => wall,
            };
            Some(Timed { wall, ..it })
        });
        rows.filter(|it| passes_filter(it, question)).collect()
    }

    /// All periods that the question shows of what ends with them: filling adds some.
    fn shown_periods(&self, question: &Question) -> Vec<Option<i64>> {
        let mut periods = self.periods_of_rows(question);
        let spine = self.spine(question).unwrap_or_default().iter().copied().map(Some);
        let added: Vec<Option<i64>> = spine.filter(|period| !periods.contains(period)).collect();
        periods.extend(added);
        periods
    }

    fn periods_of_rows(&self, question: &Question) -> Vec<Option<i64>> {
        let Some((_, grain)) = question.period() else { return vec![None] };
        let mut walls: Vec<Option<i64>> = Vec::new();
        for reader in self.readers_of(question) {
            let rows = self.showing(&reader, question, Some(grain));
            walls.extend(rows.iter().map(|it| it.wall));
        }
        if question.counts_rows {
            walls.extend(self.plain_rows(question).iter().map(|it| it.wall));
        }
        let mut periods = Vec::new();
        for wall in walls.into_iter().flatten() {
            let period = Some(grain.floor(wall));
            if !periods.contains(&period) {
                periods.push(period);
            }
        }
        periods
    }

    /// The last day that is known, or the last one that the conditions of time let through: all
    /// windows of a question without periods end with it. None where there is none.
    fn last_day(&self, reader: &Reader<'_>, question: &Question) -> Option<i64> {
        let known =
            wall_clock(self.known_until(reader.asked)?, reader.version.zone.of_no_row()) - 1;
        let conditions = question.filter.iter().flat_map(Condition::conjuncts);
        let mut conditions: Vec<&Condition> = conditions.filter(|it| it.uses_time()).collect();
        // What is no range leaves the last day of longer periods as it is.
        if question.period().is_some() && !conditions.iter().all(|it| it.is_range()) {
            conditions.clear();
        }
        let edges = conditions.iter().flat_map(|condition| condition.edges());
        let is_shown = |at: &i64| {
            *at <= known
                && conditions.iter().all(|it| it.holds(&Row::new(), Some(*at)) == Some(true))
        };
        edges.chain([known]).filter(is_shown).max().map(|at| Grain::Day.floor(at))
    }

    /// Up to when, not included, all sources are known that a metric is built on.
    fn known_until(&self, metric: Reference) -> Option<i64> {
        let entities = self.definitions.version(metric).entities.iter();
        entities.filter_map(|entity| self.source_known_until(*entity)).min()
    }

    pub(super) fn source_known_until(&self, entity: usize) -> Option<i64> {
        let (table, of) = (&self.world.tables[entity], &self.world.entities[entity]);
        let newest = |column: &str| {
            let times = table.rows.iter().map(|row| table.value(row, column));
            let times =
                times.filter_map(|it| if let Value::Instant(at) = it { Some(*at) } else { None });
            times.max()
        };
        let arrival = of.keeps_arrivals().then(|| newest(ARRIVAL)).flatten();
        arrival.or_else(|| newest(of.event?).map(|at| at + 1))
    }

    /// The beginning and the end of the period whose rows answer for a shown one; without periods
    /// that of the last day.
    fn source_period(
        &self,
        reader: &Reader<'_>,
        question: &Question,
        period: Option<i64>,
    ) -> Option<(i64, i64)> {
        let (outer, _, _) = reader.steps();
        let (grain, begin) = match (question.period(), period) {
            (Some((_, grain)), Some(period)) => {
                let begin = back(period, &outer)?;
                return Some((begin, self.known_end(reader, question, begin, grain)));
            }
            _ => {
                let day = self.last_day(reader, question)?;
                (Grain::Day, outer.iter().fold(day, |day, span| span.before(day)))
            }
        };
        Some((begin, grain.end(begin)))
    }

    /// A period ends with the last day that is known, where that is one of its days.
    fn known_end(&self, reader: &Reader<'_>, question: &Question, begin: i64, grain: Grain) -> i64 {
        let end = grain.end(begin);
        match self.last_day(reader, question) {
            Some(day) if begin <= day && day < end => end.min(Grain::Day.end(day)),
            _ => end,
        }
    }

    /// The rows of a window that ends with a period.
    fn windowed(
        &self,
        reader: &Reader<'_>,
        question: &Question,
        period: Option<i64>,
    ) -> Vec<Timed<'_>> {
        let (_, window, inner) = reader.steps();
        let Some((begin, end)) = self.source_period(reader, question, period) else {
            return Vec::new();
        };
        let carry = reader.series().and_then(|series| series.carry);
        let from = match (window, carry) {
            (Some(Window::Trailing(span)), _) => Some(span.before(end)),
            (Some(Window::ToDate(grain)), _) => Some(grain.floor(end - 1)),
            (Some(Window::All), _) => None,
            (None, Some(carry)) => match reader.series().map(|series| series.pick) {
                Some(Pick::Last) => Some(carry.before(Grain::Day.floor(end - 1))),
                _ => Some(carry.before(begin)),
            },
            (None, None) => panic!("no window"),
        };
        let grain = question.period().filter(|_| period.is_some()).map(|(_, grain)| grain);
        let rows = self.counted(reader, question).into_iter();
        rows.filter(|it| {
            let wall = it.wall.and_then(|wall| match inner.is_empty() {
                true => Some(wall),
                false => moved(wall, &inner, grain),
            });
            let inside =
                wall.is_some_and(|wall| wall < end && from.is_none_or(|from| from <= wall));
            inside && passes_timeless_filter(it, question)
        })
        .collect()
    }

    /// The rows that a reader has in a shown period (or in all, where the question has none, or
    /// where it is left out), with the keys of their groups.
    pub(super) fn in_period(
        &self,
        reader: &Reader<'_>,
        question: &Question,
        period: Option<Option<i64>>,
        filter: Option<&Condition>,
        set: &[bool],
    ) -> Vec<(Vec<Value>, Timed<'_>)> {
        // What has no time is in no period.
        let is_over = reader.ends_with_a_period();
        if is_over && question.period().is_some() && period == Some(None) {
            return Vec::new();
        }
        let mut rows = if is_over {
            let shown = period.flatten();
            let rows = self.windowed(reader, question, shown);
            let key = |it: &Timed<'_>| {
                let mut keys = keys_of(it, question);
                if let Some((index, _)) = question.period() {
                    keys[index] = shown.map_or(Value::Null, Value::Wall);
                }
                keys
            };
            rows.into_iter().map(|it| (key(&it), it)).collect()
        } else {
            let grain = question.period().map(|(_, grain)| grain).filter(|_| period.is_some());
            let grain =
                grain.or_else(|| every(set).then(|| question.period()).flatten().map(|it| it.1));
            let rows = self.showing(reader, question, grain).into_iter();
            let rows = rows.map(|it| (keys_of(&it, question), it));
            let place = question.period().map(|(index, _)| index);
            rows.filter(|(keys, _)| match (place, period) {
                (Some(place), Some(period)) => {
                    keys[place] == period.map_or(Value::Null, Value::Wall)
                }
                _ => true,
            })
            .collect::<Vec<_>>()
        };
        if let Some(filter) = filter {
            rows.retain(|(_, it)| filter.holds(it.row, it.wall) == Some(true));
        }
        let rows = rows.into_iter().map(|(keys, it)| (masked(&keys, set), it)).collect();
        match reader.series() {
            Some(series) => of_series(series, rows),
            None => rows,
        }
    }

    /// The groups in which a reader has something.
    pub(super) fn cells(&self, reader: &Reader<'_>, question: &Question) -> Vec<Vec<Value>> {
        let all = vec![true; question.keys.len()];
        let periods: Vec<Option<Option<i64>>> = match reader.series() {
            _ if reader.ends_with_a_period() => {
                self.shown_periods(question).into_iter().map(Some).collect()
            }
            Some(_) => self.periods_of_rows(question).into_iter().map(Some).collect(),
            None => vec![None],
        };
        let filter = reader.filter.filter(|_| reader.series().is_some());
        let mut cells = Vec::new();
        for period in periods {
            for filter in [None].into_iter().chain(filter.map(Some)) {
                let rows = self.in_period(reader, question, period, filter, &all);
                cells.extend(rows.into_iter().map(|(keys, _)| keys));
            }
        }
        cells
    }
}

/// What a snapshot adds up: of each series the row that is picked, or one for the least, the
/// greatest or the mean in each group. Rows without a value or a time are no snapshots.
fn of_series<'r>(
    series: &Series,
    mut rows: Vec<(Vec<Value>, Timed<'r>)>,
) -> Vec<(Vec<Value>, Timed<'r>)> {
    rows.retain(|(_, it)| it.wall.is_some() && !series.of.of(it.row).is_null());
    let own = |it: &Timed<'_>| -> Vec<Value> {
        series.per.iter().map(|name| it.row[*name].clone()).collect()
    };
    let order = |a: &Timed<'_>, b: &Timed<'_>| {
        let of_value = series.of.of(a.row).compare(&series.of.of(b.row)).unwrap();
        match series.pick {
            Pick::Last => a.instant.cmp(&b.instant).then(of_value),
            // Of one moment the greatest value, here as well.
            _ => b.instant.cmp(&a.instant).then(of_value),
        }
    };
    if !matches!(series.pick, Pick::Last | Pick::First) {
        return rows;
    }
    let mut picked: Vec<(Vec<Value>, Timed<'r>)> = Vec::new();
    for (keys, it) in rows {
        // Without carrying, a question by period picks in each.
        match picked.iter_mut().find(|(_, known)| own(known) == own(&it)) {
            Some(known) if order(&known.1, &it) == Ordering::Less => *known = (keys, it),
            Some(_) => {}
            None => picked.push((keys, it)),
        }
    }
    picked
}

//! Gap-filled answers: which periods they have, and what a metric is in one without rows.

use super::reader::Reader;
use super::{Group, Oracle, Timed};
use crate::oracle::definitions::{Fill, Reference};
use crate::oracle::expression::{Condition, Grain, wall_clock};
use crate::oracle::question::{Measure, Question};
use crate::oracle::value::Value;
use crate::oracle::world::Row;

/// Longer answers take the oracle too long.
const PERIODS_MAX: usize = 40;

impl Oracle<'_> {
    /// The periods of the asked range, up to when all that is asked is known; None where gaps aren't
    /// filled.
    pub(super) fn spine(&self, question: &Question) -> Option<&[i64]> {
        let spine = self.spine.get_or_init(|| {
            let (_, grain) = question.period().filter(|_| question.fill)?;
            Some(self.periods_from_to(question, grain).unwrap_or_default())
        });
        spine.as_deref()
    }

    /// Whether what is to be filled is, and not too much.
    pub(super) fn can_fill(&self, question: &Question) -> bool {
        if question.period().is_none() || !question.fill {
            return true;
        }
        let conditions = question.filter.iter().flat_map(Condition::conjuncts);
        let mut of_time = conditions.filter(|condition| condition.uses_time());
        of_time.all(Condition::is_range)
            && self.spine(question).is_none_or(|periods| periods.len() < PERIODS_MAX)
    }

    fn periods_from_to(&self, question: &Question, grain: Grain) -> Option<Vec<i64>> {
        let readers = self.readers_of(question);
        let zone = readers.first()?.version.zone.of_no_row();
        let entities = readers.iter().map(|reader| reader.version.entities[0]);
        let known = entities.filter_map(|entity| self.source_known_until(entity)).min()?;
        let known = wall_clock(known, zone) - 1;
        let conditions = question.filter.iter().flat_map(Condition::conjuncts);
        let conditions: Vec<&Condition> = conditions.filter(|it| it.uses_time()).collect();
        let is_shown =
            |at: i64| conditions.iter().all(|it| it.holds(&Row::new(), Some(at)) == Some(true));
        let edges: Vec<i64> = conditions.iter().flat_map(|condition| condition.edges()).collect();
        let last = edges.iter().copied().chain([known]).filter(|at| *at <= known && is_shown(*at));
        let last = last.max()?;
        // Moments of which one is the range's first, where it has one.
        let firsts = edges.iter().flat_map(|edge| [*edge, edge + 1]).filter(|at| is_shown(*at));
        let has_first = conditions.iter().any(|condition| condition.has_first());
        let first = match has_first {
            true => firsts.min()?,
            false => {
                let mut readers = readers;
                if let Some((measure, ..)) = question.having() {
                    let reader = self.reader(measure.reference);
                    self.readers(measure.reference, None, &reader, &mut readers);
                }
                self.first_row(&readers, question, grain)?
            }
        };
        let mut periods = Vec::new();
        let mut begin = grain.floor(first);
        while first <= last && begin <= last && periods.len() < PERIODS_MAX {
            periods.push(begin);
            begin = grain.end(begin);
        }
        Some(periods)
    }

    /// The time of the first row that counts.
    fn first_row(&self, readers: &[Reader<'_>], question: &Question, grain: Grain) -> Option<i64> {
        let walls = readers.iter().flat_map(|reader| {
            let rows = self.showing(reader, question, Some(grain)).into_iter();
            let counts = |it: &Timed<'_>| {
                reader.filter.is_none_or(|filter| filter.holds(it.row, it.wall) == Some(true))
            };
            rows.filter(counts).filter_map(|it| it.wall).collect::<Vec<_>>()
        });
        walls.min()
    }

    /// Each of the other keys with each period.
    pub(super) fn filled(&self, question: &Question, cells: &mut Vec<Vec<Value>>) {
        let (Some(spine), Some((place, _))) = (self.spine(question), question.period()) else {
            return;
        };
        let mut others = cells.clone();
        if question.keys.len() == 1 {
            others.push(vec![Value::Null]);
        }
        for mut keys in others {
            for period in spine {
                keys[place] = Value::Wall(*period);
                cells.push(keys.clone());
            }
        }
    }

    /// A measure in a group, filled as its metric says where no row counts.
    pub(super) fn filled_value(
        &self,
        measure: &Measure,
        question: &Question,
        groups: &[Group],
        group: &Group,
    ) -> Value {
        let (reference, filter) = (measure.reference, measure.filter.as_ref());
        let value = |group: &Group| self.value(reference, question, group, filter);
        let place = question.period().map(|(place, _)| place).filter(|place| group.set[*place]);
        let (Some(fill), Some(spine), Some(place)) =
            (self.definitions.version(reference).fill, self.spine(question), place)
        else {
            return value(group);
        };
        let Value::Wall(period) = group.keys[place] else { return value(group) };
        if !spine.contains(&period) || self.has_rows(reference, question, group, filter) {
            return value(group);
        }
        match fill {
            Fill::Zero => Value::Zero,
            Fill::Null => Value::Null,
            Fill::Previous => {
                let is_like = |it: &&Group| {
                    let mut keys = group.keys.clone();
                    keys[place] = it.keys[place].clone();
                    it.set == group.set && it.keys == keys
                };
                let at = |it: &Group| match it.keys[place] {
                    Value::Wall(at) if at < period => Some(at),
                    _ => None,
                };
                let before = groups.iter().filter(is_like).filter(|it| at(it).is_some());
                let before = before.filter(|it| self.has_rows(reference, question, it, filter));
                before.max_by_key(|it| at(it)).map_or(Value::Null, value)
            }
        }
    }

    /// Whether a row counts for a metric in a group.
    fn has_rows(
        &self,
        reference: Reference,
        question: &Question,
        group: &Group,
        filter: Option<&Condition>,
    ) -> bool {
        let mut readers = Vec::new();
        self.readers(reference, None, &self.reader(reference), &mut readers);
        let period = question.period().filter(|(place, _)| group.set[*place]);
        let period = period.map(|(place, _)| match group.keys[place] {
            Value::Wall(wall) => Some(wall),
            _ => None,
        });
        readers.iter().any(|reader| {
            let rows = self.in_period(reader, question, period, filter, &group.set);
            rows.iter().any(|(keys, _)| *keys == group.keys)
        })
    }
}

//! Laws that hold for every question, whatever its answer: each is checked on random ones.

use chrono_tz::Tz;

use super::{Asked, Canon, Case, Rows, in_memory, same};
use crate::oracle::answer::Oracle;
use crate::oracle::definitions::Shape;
use crate::oracle::dice::Dice;
use crate::oracle::expression::Condition;
use crate::oracle::question::{Grouping, Measure, Question, Target};
use crate::oracle::value::{Value, aligned, wall_text};
use crate::oracle::world::{Attribute, instant};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Law {
    /// The parts of additive metrics over any dimensions, NULL included, sum to the total.
    PartsSumToTheTotal,
    /// All spellings of a question give the same rows: MEASURE, bare columns, SUM, CASE, and inner
    /// selects as tools nest them.
    SpellingsAgree,
    /// All doors give the same rows: a metric in its entity's relation and in its own.
    DoorsAgree,
    /// An answer from the cache equals the live one.
    CachedEqualsLive,
    /// An always-true filter changes nothing.
    TrueFilterChangesNothing,
    /// A join that isn't needed changes nothing.
    UnneededJoinChangesNothing,
    /// A dimension more in the relations changes nothing.
    MoreDimensionsChangeNothing,
    /// A ratio is the ratio of its sides in each group and in the total.
    RatiosAreOfTotals,
    /// The total of a distinct count is at most the sum and at least the maximum of its parts.
    DistinctCountsAreBounded,
    /// The session's TimeZone, DateStyle and search_path change no metric's number.
    SettingsChangeNothing,
    /// Rows in another order change nothing.
    OrderOfRowsChangesNothing,
    /// Rows that come twice, where a source says that they may, change nothing.
    DuplicatesChangeNothing,
    /// Of an additive metric what a condition lets through, what its negation does, and what is
    /// neither, sum to all.
    FiltersSplit,
    /// An answer as of a moment is that of the rows that had come in by then, whatever came later.
    AsOfNeverChanges,
}

pub(crate) const LAWS: [Law; 14] = [
    Law::PartsSumToTheTotal,
    Law::SpellingsAgree,
    Law::DoorsAgree,
    Law::CachedEqualsLive,
    Law::TrueFilterChangesNothing,
    Law::UnneededJoinChangesNothing,
    Law::MoreDimensionsChangeNothing,
    Law::RatiosAreOfTotals,
    Law::DistinctCountsAreBounded,
    Law::SettingsChangeNothing,
    Law::OrderOfRowsChangesNothing,
    Law::DuplicatesChangeNothing,
    Law::FiltersSplit,
    Law::AsOfNeverChanges,
];

impl Law {
    pub(crate) fn name(self) -> String {
        format!("{self:?}")
    }

    /// What breaks the law, if anything does; None too where a question isn't under it.
    pub(super) async fn check(
        self,
        case: &Case,
        dice: &mut Dice,
        question: &Question,
        expected: &Rows,
    ) -> Option<String> {
        let canon = any_backend(case, dice);
        match self {
            Self::PartsSumToTheTotal => parts_sum(case, canon, question, expected).await,
            Self::SpellingsAgree => {
                let nested = question.nested().filter(|_| dice.chance(50));
                let variant = nested.unwrap_or_else(|| question.plain());
                equal(case, canon, question, &variant, expected).await
            }
            Self::DoorsAgree => {
                let variant = question.by_the_other_door()?;
                equal(case, canon, question, &variant, expected).await
            }
            Self::CachedEqualsLive => {
                // Once more, and once more in other words: both may be kept.
                let again = equal(case, canon, question, question, expected).await;
                match again {
                    None => equal(case, canon, question, &question.plain(), expected).await,
                    fault => fault,
                }
            }
            Self::TrueFilterChangesNothing => {
                let attribute = an_attribute(case, dice, question)?;
                let variant = question.with_true_filter(&attribute);
                equal(case, canon, question, &variant, expected).await
            }
            Self::UnneededJoinChangesNothing => {
                let is_over_time =
                    question.measures.iter().any(|it| case.definitions.is_over_time(it.reference));
                let variant = question.joined().filter(|_| !is_over_time)?;
                equal(case, canon, question, &variant, expected).await
            }
            Self::MoreDimensionsChangeNothing => {
                let mut wider = case.world.clone();
                for entity in &mut wider.entities {
                    entity.attributes.push(("one_more", "_version", false));
                }
                let (canon, _folder) = in_memory(&wider, &case.definitions).await;
                equal(case, &canon, question, question, expected).await
            }
            Self::RatiosAreOfTotals => ratios(case, canon, question).await,
            Self::DistinctCountsAreBounded => bounded(case, canon, question, expected).await,
            Self::SettingsChangeNothing => {
                let zone = *dice.pick(&["Asia/Tokyo", "America/Los_Angeles", "Europe/Berlin"]);
                debug_assert!(zone.parse::<Tz>().is_ok());
                let settings = [
                    ("timezone", zone),
                    ("datestyle", *dice.pick(&["German, DMY", "SQL, MDY", "ISO, YMD"])),
                    ("search_path", *dice.pick(&["public", "\"$user\", public"])),
                ];
                let sql = question.sql();
                let found = canon.ask_as(question, &sql, &settings).await;
                differs(case, question, &sql, expected, &found)
            }
            Self::OrderOfRowsChangesNothing => {
                let mut world = case.world.clone();
                for table in &mut world.tables {
                    dice.shuffle(&mut table.rows);
                }
                let (canon, _folder) = in_memory(&world, &case.definitions).await;
                equal(case, &canon, question, question, expected).await
            }
            Self::DuplicatesChangeNothing => {
                let mut world = case.world.clone();
                for (table, entity) in world.tables.iter_mut().zip(&world.entities) {
                    if entity.dedupe {
                        let again: Vec<_> =
                            table.rows.iter().filter(|_| dice.chance(30)).cloned().collect();
                        table.rows.extend(again);
                    }
                }
                let (canon, _folder) = in_memory(&world, &case.definitions).await;
                equal(case, &canon, question, question, expected).await
            }
            Self::FiltersSplit => split(case, canon, dice, question, expected).await,
            Self::AsOfNeverChanges => as_of(case, canon, dice, question).await,
        }
    }
}

fn any_backend<'c>(case: &'c Case, dice: &mut Dice) -> &'c Canon {
    let backends: Vec<&Canon> = case.backends().map(|(_, canon)| canon).collect();
    backends[dice.below(backends.len())]
}

fn differs(
    case: &Case,
    question: &Question,
    sql: &str,
    expected: &Rows,
    found: &Asked,
) -> Option<String> {
    (!same(expected, found)).then(|| case.report(question, sql, expected, &[("found", found)]))
}

/// Whether a question said otherwise has the same answer.
async fn equal(
    case: &Case,
    canon: &Canon,
    question: &Question,
    variant: &Question,
    expected: &Rows,
) -> Option<String> {
    let sql = variant.sql();
    let found = canon.ask_as(question, &sql, &[]).await;
    differs(case, question, &sql, expected, &found)
}

/// An attribute that the question can name.
fn an_attribute(case: &Case, dice: &mut Dice, question: &Question) -> Option<Attribute> {
    let (entity, alias) = match question.target {
        Target::Entity(entity) => (entity, None),
        Target::Metric(reference) => {
            match case.definitions.version(reference).entities.as_slice() {
                [entity] => (*entity, None),
                _ => return None,
            }
        }
        Target::Lines(_) => (0, Some("o")),
        Target::Across => return None,
    };
    let attributes = case.world.attributes(entity).into_iter();
    let visible: Vec<Attribute> = attributes.filter(|it| !it.hidden && it.starred).collect();
    let chosen = dice.pick(&visible);
    Some(alias.map_or_else(|| chosen.clone(), |alias| chosen.of(alias)))
}

/// Whether its groups are parts of a whole.
fn is_partition(question: &Question) -> bool {
    !question.fill
        && matches!(question.grouping, Grouping::Plain | Grouping::Implied)
        && question.having().is_none()
        && matches!(question.target, Target::Entity(_) | Target::Metric(_))
}

fn is_additive(case: &Case, measure: &Measure) -> bool {
    measure.level.is_none()
        && matches!(case.definitions.version(measure.reference).shape, Shape::Count | Shape::Sum(_))
}

fn total_of<'r>(values: impl Iterator<Item = &'r Value>) -> Option<(i128, u32)> {
    values.filter_map(Value::exact).reduce(|a, b| {
        let (a, b, scale) = aligned(a, b);
        (a + b, scale)
    })
}

/// Whether two exact numbers are the same; nothing is 0, as the total of a count over no group is.
fn is_same_number(a: Option<(i128, u32)>, b: Option<(i128, u32)>) -> bool {
    let (a, b, _) = aligned(a.unwrap_or((0, 0)), b.unwrap_or((0, 0)));
    a == b
}

async fn parts_sum(
    case: &Case,
    canon: &Canon,
    question: &Question,
    parts: &Rows,
) -> Option<String> {
    let total = question.total();
    if !is_partition(question) || !case.is_definite(&total) {
        return None;
    }
    let sql = total.sql();
    let total = canon.ask_as(question, &sql, &[]).await;
    let holds = |total: &Vec<Value>| {
        question.measures.iter().enumerate().all(|(index, measure)| {
            let column = question.keys.len() + index;
            let sum = total_of(parts.iter().map(|row| &row[column]));
            !is_additive(case, measure) || is_same_number(sum, total[index].exact())
        })
    };
    match &total {
        Ok(rows) if rows.len() == 1 && holds(&rows[0]) => None,
        _ => {
            let answers = [("total, which the parts above don't sum to", &total)];
            Some(case.report(question, &sql, parts, &answers))
        }
    }
}

async fn bounded(case: &Case, canon: &Canon, question: &Question, parts: &Rows) -> Option<String> {
    let counts: Vec<usize> = (0..question.measures.len())
        .filter(|index| {
            let measure = &question.measures[*index];
            let shape = &case.definitions.version(measure.reference).shape;
            measure.level.is_none() && matches!(shape, Shape::CountDistinct(_))
        })
        .collect();
    let total = question.total();
    if !is_partition(question) || counts.is_empty() || !case.is_definite(&total) {
        return None;
    }
    let sql = total.sql();
    let total = canon.ask_as(question, &sql, &[]).await;
    let holds = |total: &Vec<Value>| {
        counts.iter().all(|index| {
            let column = question.keys.len() + index;
            let values = parts.iter().map(|row| match row[column] {
                Value::Int(value) => value,
                _ => i64::MAX,
            });
            let (most, sum) =
                values.fold((0, 0_i64), |(most, sum), it| (it.max(most), sum.saturating_add(it)));
            matches!(total[*index], Value::Int(all) if most <= all && all <= sum)
        })
    };
    match &total {
        Ok(rows) if rows.len() == 1 && holds(&rows[0]) => None,
        _ => {
            let answers = [("total, which the parts above don't allow", &total)];
            Some(case.report(question, &sql, parts, &answers))
        }
    }
}

async fn ratios(case: &Case, canon: &Canon, question: &Question) -> Option<String> {
    // A metric more may show another period.
    let Target::Entity(entity) = question.target else { return None };
    if question.fill {
        return None;
    }
    let ratio = question.measures.iter().find_map(|measure| {
        let version = case.definitions.version(measure.reference);
        match &version.shape {
            Shape::Ratio(left, right)
                if version.filter.is_none() && left.filter.is_none() && right.filter.is_none() =>
            {
                (version.entities == [entity]).then_some((measure, left.metric, right.metric))
            }
            _ => None,
        }
    });
    let (ratio, left, right) = ratio?;
    let variant = question.beside(&case.definitions, ratio, &[left, right]);
    let sql = variant.sql();
    let found = canon.ask_as(question, &sql, &[]).await;
    let first = variant.keys.len();
    let holds = |row: &Vec<Value>| {
        let (value, left, right) = (&row[first], &row[first + 1], &row[first + 2]);
        match (left.exact(), right.exact()) {
            (Some(a), Some(b)) if b.0 != 0 => {
                let (dividend, divisor, _) = aligned(a, b);
                match value {
                    Value::Float(_) => {
                        Value::Float(dividend as f64 / divisor as f64).matches(value)
                    }
                    value => Value::Quotient { dividend, divisor, scale: None }.matches(value),
                }
            }
            _ => value.is_null(),
        }
    };
    match &found {
        Ok(rows) if rows.iter().all(holds) => None,
        _ => Some(case.report(question, &sql, &Vec::new(), &[("no ratio of its sides", &found)])),
    }
}

async fn as_of(case: &Case, canon: &Canon, dice: &mut Dice, question: &Question) -> Option<String> {
    let moment = instant(dice);
    let known = case.world.as_of(moment);
    let expected = {
        let oracle = Oracle::new(&known, &case.definitions, moment);
        oracle.is_definite(question).then(|| oracle.answer(question))?
    };
    let sql = question.sql();
    let setting = format!("{}+00", wall_text(moment));
    let found = canon.ask_as(question, &sql, &[("canon.as_of", &setting)]).await;
    match &found {
        // Sources of current rows have no past, and nothing is known of the future.
        Err(error) if error.starts_with("0A000") || error.starts_with("22023") => None,
        _ if same(&expected, &found) => None,
        _ => {
            let sql = format!("SET canon.as_of = '{setting}'; {sql}");
            Some(case.report(question, &sql, &expected, &[("found", &found)]))
        }
    }
}

async fn split(
    case: &Case,
    canon: &Canon,
    dice: &mut Dice,
    question: &Question,
    expected: &Rows,
) -> Option<String> {
    let partition = is_partition(question) && question.keys.is_empty();
    let additive = question.measures.iter().any(|measure| is_additive(case, measure));
    let Target::Entity(entity) = question.target else { return None };
    if !partition || !additive {
        return None;
    }
    let attributes = case.world.attributes(entity).into_iter();
    let visible: Vec<Attribute> = attributes.filter(|it| !it.hidden && it.starred).collect();
    let is_over_time =
        question.measures.iter().any(|it| case.definitions.is_over_time(it.reference));
    let grains = if is_over_time { Vec::new() } else { case.definitions.grains() };
    let condition = Condition::random(dice, &visible, &grains, 1);
    let mut parts: Vec<Rows> = Vec::new();
    let mut asked = String::new();
    let negated = Condition::Not(Box::new(condition.clone()));
    for part in [condition.clone(), negated] {
        let sql = question.with_filter(part).sql();
        parts.push(canon.ask_as(question, &sql, &[]).await.unwrap_or_default());
        asked = sql;
    }
    let neither = question.with_unknown(&condition);
    parts.push(canon.ask_as(question, &neither, &[]).await.unwrap_or_default());
    let holds = question.measures.iter().enumerate().all(|(index, measure)| {
        let found = parts.iter().filter_map(|rows| rows.first()).map(|row| &row[index]);
        let whole = expected.first().and_then(|row| row[index].exact());
        !is_additive(case, measure) || is_same_number(total_of(found), whole)
    });
    (!holds).then(|| {
        let found: Asked = Ok(parts.concat());
        case.report(question, &asked, expected, &[("parts", &found)])
    })
}

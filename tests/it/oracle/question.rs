//! Random questions, in the spellings that clients use.

use super::definitions::{Definitions, Reference, Shape};
use super::dice::Dice;
use super::expression::{Condition, Grain, Names};
use super::value::Value;
use super::world::{Attribute, World};

#[derive(Debug, Clone)]
pub(crate) enum Key {
    Dimension(Attribute),
    Period(Grain),
    /// `metric_time` itself.
    Time,
}

/// A measure as one output.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    pub(crate) reference: Reference,
    pub(crate) filter: Option<Condition>,
    /// Its column's name in the relation.
    column: String,
    spelling: Spelling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Bare,
    Call(&'static str),
    CountDistinct,
    /// `SUM(CASE WHEN … THEN m END)`, of a filtered one.
    Case,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// No GROUP BY: by what is selected.
    Implied,
    Plain,
    Rollup,
    Cube,
    /// `GROUPING SETS ((all), (first), ())`
    Sets,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nesting {
    None,
    /// `FROM (SELECT columns …) AS s`
    Columns,
    /// `FROM (SELECT * …) AS s`
    Star,
    Cte,
}

#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) measures: Vec<Measure>,
    pub(crate) keys: Vec<Key>,
    pub(crate) filter: Option<Condition>,
    pub(crate) having: Option<(usize, &'static str, Value)>,
    pub(crate) grouping: Grouping,
    pub(crate) counts_rows: bool,
    /// Of `metrics.m0`: the metric whose time is that of its rows.
    pub(crate) metric: Option<Reference>,
    /// The session's pins.
    pub(crate) pins: String,
    relation: String,
    nesting: Nesting,
    /// The filter is inside of the nested select.
    filter_inside: bool,
    ordered: bool,
    /// As `'…'` after an alias where the key has one.
    ordinals: bool,
}

impl Question {
    pub(crate) fn random(dice: &mut Dice, world: &World, definitions: &Definitions) -> Self {
        let attributes: Vec<Attribute> =
            world.attributes().into_iter().filter(|it| !it.hidden).collect();
        let pinned: Vec<usize> = (0..definitions.metrics.len())
            .filter(|index| definitions.metrics[*index].versions.len() > 1 && dice.chance(30))
            .collect();
        let pins: Vec<String> =
            pinned.iter().map(|index| format!("{}=1", definitions.metrics[*index].name)).collect();
        let nesting = match dice.below(8) {
            0 => Nesting::Columns,
            1 => Nesting::Star,
            2 => Nesting::Cte,
            _ => Nesting::None,
        };
        let starred = matches!(nesting, Nesting::Star | Nesting::Cte);
        let of_metric = dice.chance(20);
        let count = if of_metric { 1 } else { 1 + dice.below(3) };
        let measures: Vec<(Measure, bool)> = (0..count)
            .map(|_| {
                let metric = dice.below(definitions.metrics.len());
                measure(dice, definitions, metric, &pinned, of_metric, starred, &attributes)
            })
            .collect();
        let (relation, metric) = match of_metric {
            true => {
                let (measure, by_major) = &measures[0];
                let name = &definitions.metrics[measure.reference.0].name;
                let relation = match by_major {
                    true => format!("metrics.{name}_v{}", measure.reference.1),
                    false => format!("metrics.{name}"),
                };
                (relation, Some(measure.reference))
            }
            false => {
                let name = if dice.chance(70) { "orders" } else { "public.orders" };
                (name.to_owned(), None)
            }
        };
        let measures: Vec<Measure> = measures.into_iter().map(|(measure, _)| measure).collect();
        let keys = keys(dice, &attributes);
        let filter = match dice.below(5) {
            0 | 1 => None,
            2 => Some(Condition::random_time(dice)),
            _ => Some(Condition::random(dice, &attributes, true, 2)),
        };
        let grouping = match dice.below(10) {
            0 | 1 if nesting == Nesting::None => Grouping::Implied,
            2 if !keys.is_empty() => Grouping::Rollup,
            3 if !keys.is_empty() => Grouping::Cube,
            4 if keys.len() > 1 => Grouping::Sets,
            _ => Grouping::Plain,
        };
        let having = match grouping != Grouping::Implied && dice.chance(20) {
            true => having(dice, definitions, &measures),
            false => None,
        };
        Self {
            counts_rows: grouping != Grouping::Implied && dice.chance(20),
            measures,
            keys,
            filter,
            having,
            grouping,
            metric,
            pins: pins.join(","),
            relation,
            nesting,
            filter_inside: dice.chance(50),
            ordered: dice.chance(50),
            ordinals: dice.chance(50),
        }
    }

    /// Whether it is about times at all.
    pub(crate) fn uses_time(&self) -> bool {
        let keyed = self.keys.iter().any(|key| !matches!(key, Key::Dimension(_)));
        let filters = self.measures.iter().filter_map(|measure| measure.filter.as_ref());
        keyed || filters.chain(&self.filter).any(Condition::uses_time)
    }

    pub(crate) fn sql(&self) -> String {
        let source = if self.nesting == Nesting::None { String::new() } else { "s.".to_owned() };
        let mut outputs = Vec::new();
        for (index, key) in self.keys.iter().enumerate() {
            outputs.push(format!("{} AS k{index}", key_sql(key)));
        }
        for (index, measure) in self.measures.iter().enumerate() {
            outputs.push(format!("{} AS v{index}", measure.sql(&source)));
        }
        if self.counts_rows {
            outputs.push("COUNT(*) AS n".to_owned());
        }
        let (prefix, from) = self.from();
        let mut sql = format!("{prefix}SELECT {} FROM {from}", outputs.join(", "));
        if let Some(filter) = self.filter.as_ref().filter(|_| !self.is_filtered_inside()) {
            sql.push_str(&format!(" WHERE {}", filter.sql(Names::Columns)));
        }
        sql.push_str(&self.group_by());
        if let Some((index, operator, value)) = &self.having {
            let column = &self.measures[*index].column;
            sql.push_str(&format!(" HAVING MEASURE({source}{column}) {operator} {value}"));
        }
        if self.ordered && !self.keys.is_empty() {
            let names: Vec<String> = (0..self.keys.len())
                .map(|index| match self.ordinals {
                    true => (index + 1).to_string(),
                    false => format!("k{index}"),
                })
                .collect();
            sql.push_str(&format!(" ORDER BY {}", names.join(", ")));
        }
        sql
    }

    fn is_filtered_inside(&self) -> bool {
        self.filter_inside && self.nesting != Nesting::None
    }

    /// What stands before the select, and its FROM item.
    fn from(&self) -> (String, String) {
        let inner = |columns: String| {
            let filter = self.filter.as_ref().filter(|_| self.is_filtered_inside());
            let filter = filter.map(|it| format!(" WHERE {}", it.sql(Names::Columns)));
            format!("SELECT {columns} FROM {}{}", self.relation, filter.unwrap_or_default())
        };
        match self.nesting {
            Nesting::None => (String::new(), self.relation.clone()),
            Nesting::Columns => (String::new(), format!("({}) AS s", inner(self.columns()))),
            Nesting::Star => (String::new(), format!("({}) AS s", inner("*".to_owned()))),
            Nesting::Cte => (format!("WITH s AS ({}) ", inner("*".to_owned())), "s".to_owned()),
        }
    }

    /// The columns that a nested select has to show.
    fn columns(&self) -> String {
        let mut names: Vec<String> = Vec::new();
        for key in &self.keys {
            if let Key::Dimension(attribute) = key {
                names.push(attribute.name.clone());
            }
        }
        let filters = self.measures.iter().filter_map(|measure| measure.filter.as_ref());
        filters.chain(&self.filter).for_each(|filter| filter.names(&mut names));
        if self.uses_time() {
            names.push("metric_time".to_owned());
        }
        names.extend(self.measures.iter().map(|measure| measure.column.clone()));
        let mut distinct: Vec<String> = Vec::new();
        for name in names {
            if !distinct.contains(&name) {
                distinct.push(name);
            }
        }
        distinct.join(", ")
    }

    fn group_by(&self) -> String {
        if self.keys.is_empty() || self.grouping == Grouping::Implied {
            return String::new();
        }
        let name = |index: usize| match self.ordinals && self.grouping == Grouping::Plain {
            true => (index + 1).to_string(),
            false => key_sql(&self.keys[index]),
        };
        let names: Vec<String> = (0..self.keys.len()).map(name).collect();
        let list = names.join(", ");
        match self.grouping {
            Grouping::Implied | Grouping::Plain => format!(" GROUP BY {list}"),
            Grouping::Rollup => format!(" GROUP BY ROLLUP ({list})"),
            Grouping::Cube => format!(" GROUP BY CUBE ({list})"),
            Grouping::Sets => format!(" GROUP BY GROUPING SETS (({list}), ({}), ())", names[0]),
        }
    }

    /// Which keys each grouping set has.
    pub(crate) fn grouping_sets(&self) -> Vec<Vec<bool>> {
        let count = self.keys.len();
        let first = |kept: usize| (0..count).map(|index| index < kept).collect();
        match self.grouping {
            Grouping::Implied | Grouping::Plain => vec![vec![true; count]],
            Grouping::Rollup => (0..=count).map(first).collect(),
            Grouping::Cube => (0..1_usize << count)
                .map(|mask| (0..count).map(|index| mask & (1 << index) != 0).collect())
                .collect(),
            Grouping::Sets => vec![first(count), first(1), first(0)],
        }
    }

    // ---- the same question, said otherwise ----

    /// Of the total: no keys.
    pub(crate) fn total(&self) -> Self {
        Self {
            keys: Vec::new(),
            grouping: Grouping::Plain,
            having: None,
            ordered: false,
            ..self.clone()
        }
    }

    /// With a filter that every row passes.
    pub(crate) fn with_true_filter(&self, attribute: &Attribute) -> Self {
        let is_null = |negated| Box::new(Condition::IsNull(attribute.clone(), negated));
        let always = Condition::Or(is_null(true), is_null(false));
        let filter = match &self.filter {
            Some(filter) => Condition::And(Box::new(filter.clone()), Box::new(always)),
            None => always,
        };
        Self { filter: Some(filter), ..self.clone() }
    }

    /// In the plainest words.
    pub(crate) fn plain(&self) -> Self {
        let measures = self
            .measures
            .iter()
            .map(|measure| Measure { spelling: Spelling::Call("MEASURE"), ..measure.clone() });
        Self {
            measures: measures.collect(),
            nesting: Nesting::None,
            ordered: false,
            ..self.clone()
        }
    }
}

impl Measure {
    fn sql(&self, source: &str) -> String {
        let column = format!("{source}{}", self.column);
        let filter = self.filter.as_ref().map(|filter| filter.sql(Names::Columns));
        let call = match (self.spelling, &filter) {
            (Spelling::Case, Some(filter)) => {
                return format!("SUM(CASE WHEN {filter} THEN {column} END)");
            }
            (Spelling::Bare, None) => return column,
            (Spelling::Bare | Spelling::Case, _) => format!("MEASURE({column})"),
            (Spelling::Call(name), _) => format!("{name}({column})"),
            (Spelling::CountDistinct, _) => format!("COUNT(DISTINCT {column})"),
        };
        match filter {
            Some(filter) => format!("{call} FILTER (WHERE {filter})"),
            None => call,
        }
    }
}

fn key_sql(key: &Key) -> String {
    match key {
        Key::Dimension(attribute) => attribute.name.clone(),
        Key::Period(grain) => format!("date_trunc('{}', metric_time)", grain.name()),
        Key::Time => "metric_time".to_owned(),
    }
}

/// A measure, and whether it is named by its major.
fn measure(
    dice: &mut Dice,
    definitions: &Definitions,
    metric: usize,
    pinned: &[usize],
    of_metric: bool,
    starred: bool,
    attributes: &[Attribute],
) -> (Measure, bool) {
    let versions = definitions.metrics[metric].versions.len();
    let by_major = dice.chance(25);
    let major = match (by_major, pinned.contains(&metric)) {
        (true, _) => 1 + dice.below(versions),
        (false, true) => 1,
        (false, false) => versions,
    };
    let name = &definitions.metrics[metric].name;
    // `*` shows the default version under the metric's own name alone.
    let by_major = by_major && (!starred || of_metric || major < versions);
    let major = if by_major || pinned.contains(&metric) { major } else { versions };
    let column = match by_major && !of_metric {
        true => format!("{name}_v{major}"),
        false => name.clone(),
    };
    let shape = &definitions.metrics[metric].versions[major - 1].shape;
    let filter = dice.chance(20).then(|| Condition::random(dice, attributes, true, 1));
    let mut spellings = vec![
        Spelling::Bare,
        Spelling::Call("MEASURE"),
        Spelling::Call("MEASURE"),
        Spelling::Call("AGG"),
        Spelling::Call("aggregate"),
        Spelling::Call("SUM"),
        Spelling::Case,
    ];
    match shape {
        Shape::Count => spellings.push(Spelling::Call("COUNT")),
        Shape::CountDistinct(_) => spellings.push(Spelling::CountDistinct),
        Shape::Avg(_) | Shape::WeightedAvg(..) | Shape::Ratio(..) => {
            spellings.push(Spelling::Call("AVG"));
        }
        Shape::Min(_) | Shape::First(_) => spellings.push(Spelling::Call("MIN")),
        Shape::Max(_) | Shape::Last(_) => spellings.push(Spelling::Call("max")),
        Shape::Sum(_) | Shape::Quantile(..) | Shape::Derived(..) => {}
    }
    let spelling = *dice.pick(&spellings);
    (Measure { reference: (metric, major), filter, column, spelling }, by_major)
}

fn keys(dice: &mut Dice, attributes: &[Attribute]) -> Vec<Key> {
    let mut keys: Vec<Key> = dice.some(attributes, 2).into_iter().map(Key::Dimension).collect();
    match dice.below(10) {
        0..=4 => {
            let grains = [Grain::Day, Grain::Day, Grain::Week, Grain::Month, Grain::Hour];
            let grain = match dice.chance(70) {
                true => *dice.pick(&grains),
                false => *dice.pick(&[Grain::Quarter, Grain::Year]),
            };
            keys.insert(dice.below(keys.len() + 1), Key::Period(grain));
        }
        5 => keys.push(Key::Time),
        _ => {}
    }
    keys
}

fn having(
    dice: &mut Dice,
    definitions: &Definitions,
    measures: &[Measure],
) -> Option<(usize, &'static str, Value)> {
    let index = dice.below(measures.len());
    match definitions.version(measures[index].reference).shape {
        Shape::First(_) | Shape::Last(_) => None,
        _ => {
            let value = match dice.chance(50) {
                true => Value::Int(dice.between(0, 3)),
                false => Value::Dec { digits: dice.between(-100, 9_999).into(), scale: 2 },
            };
            Some((index, *dice.pick::<&str>(&[">", "<", ">=", "<>"]), value))
        }
    }
}

//! Random questions, in the spellings that clients use.

mod sql;

use super::definitions::{Definitions, Reference, Shape, Share};
use super::dice::Dice;
use super::expression::{Condition, Grain, Names, Span};
use super::value::Value;
use super::world::{Attribute, LINES, ORDERS, STOCKS, VISITS, World, instant};

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
    /// At the coarser level of these keys: `OVER (PARTITION BY …)`.
    pub(crate) level: Option<Vec<usize>>,
    /// The alias of its relation, where there are several.
    alias: &'static str,
    /// Its column's name in the relation.
    column: String,
    spelling: Spelling,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// An entity's relation.
    Entity(usize),
    /// A metric's relation; the metric's time is that of its rows.
    Metric(Reference),
    /// Relations of metrics, joined on shared dimensions.
    Across,
    /// Orders joined with their lines: whether orders without lines stay.
    Lines(bool),
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
    having: Option<(usize, &'static str, Value)>,
    pub(crate) grouping: Grouping,
    pub(crate) counts_rows: bool,
    pub(crate) target: Target,
    /// The session's pins.
    pub(crate) pins: String,
    /// Whether each period of the asked range has a row.
    pub(crate) fill: bool,
    from: String,
    /// In front of `metric_time` where relations have aliases.
    time_of: &'static str,
    nesting: Nesting,
    /// The filter is inside of the nested select.
    filter_inside: bool,
    ordered: bool,
    /// As `'…'` after an alias where the key has one.
    ordinals: bool,
}

impl Question {
    pub(crate) fn random(dice: &mut Dice, world: &World, definitions: &Definitions) -> Self {
        let pinned: Vec<usize> = (0..definitions.metrics.len())
            .filter(|index| definitions.metrics[*index].versions.len() > 1 && dice.chance(30))
            .collect();
        loop {
            let drawn = match dice.below(10) {
                0..=4 => of_entity(dice, world, definitions, &pinned),
                5 | 6 => of_metric(dice, world, definitions, &pinned),
                7 => of_lines(dice, world, definitions, &pinned),
                _ => of_metrics(dice, world, definitions, &pinned),
            };
            if let Some(question) = drawn {
                return question;
            }
        }
    }

    /// Draws what is left once relation and measures are chosen.
    fn of(
        dice: &mut Dice,
        definitions: &Definitions,
        pinned: &[usize],
        target: Target,
        from: String,
        attributes: &[Attribute],
        measures: Vec<Measure>,
    ) -> Self {
        let over_time = measures.iter().any(|it| definitions.is_over_time(it.reference));
        let shifts: Vec<Span> =
            measures.iter().flat_map(|it| definitions.shifts(it.reference)).collect();
        let nests = matches!(target, Target::Entity(_) | Target::Metric(_));
        let nesting = match dice.below(8) {
            0 if nests => Nesting::Columns,
            // `*` leaves out what has no value for a row.
            1 if nests && !over_time => Nesting::Star,
            2 if nests && !over_time => Nesting::Cte,
            _ => Nesting::None,
        };
        let starred = matches!(nesting, Nesting::Star | Nesting::Cte);
        let attributes: Vec<Attribute> =
            attributes.iter().filter(|it| it.starred || !starred).cloned().collect();
        let mut keys = keys(dice, definitions, &attributes, over_time);
        let grains = definitions.grains();
        keys.retain(|key| match key {
            Key::Period(grain) => shifts.iter().all(|span| grain.allows(*span)),
            Key::Time => !over_time,
            Key::Dimension(_) => true,
        });
        let plain = |dice: &mut Dice, grains: &[Grain]| match attributes.is_empty() {
            true => None,
            false => Some(Condition::random(dice, &attributes, grains, 2)),
        };
        let filled = filled(dice, &target, &keys);
        let filter = match (dice.below(5), over_time) {
            _ if filled.is_some() => {
                let time = filled_range(dice, filled.unwrap_or(Grain::Day));
                match (time, plain(dice, &[]).filter(|_| dice.chance(40))) {
                    (Some(time), Some(other)) => Some(time.and(other)),
                    (time, other) => time.or(other),
                }
            }
            (0 | 1, _) => None,
            (2, _) => Some(Condition::random_time(dice, &grains)),
            (_, false) => plain(dice, &grains),
            // Over time the conditions of time say what is shown, and stand apart.
            (3, true) => plain(dice, &[]),
            (_, true) => {
                let time = Condition::random_time(dice, &grains);
                Some(match plain(dice, &[]) {
                    Some(other) => time.and(other),
                    None => time,
                })
            }
        };
        let grouping = match dice.below(10) {
            0 | 1 if nesting == Nesting::None => Grouping::Implied,
            _ if filled.is_some() => Grouping::Plain,
            2 if !keys.is_empty() && !over_time => Grouping::Rollup,
            3 if !keys.is_empty() && !over_time => Grouping::Cube,
            4 if keys.len() > 1 && !over_time => Grouping::Sets,
            _ => Grouping::Plain,
        };
        let mut measures = measures;
        let is_plain = grouping == Grouping::Plain && nesting == Nesting::None && !keys.is_empty();
        if is_plain && nests && dice.chance(25) {
            let all: Vec<usize> = (0..keys.len()).collect();
            for measure in &mut measures {
                if dice.chance(60) {
                    measure.level = Some(dice.some(&all, keys.len() - 1));
                    measure.spelling = Spelling::Call("MEASURE");
                }
            }
        }
        let is_leveled = measures.iter().any(|measure| measure.level.is_some());
        for measure in &mut measures {
            if dice.chance(20) {
                let of_lines = |it: &&Attribute| !it.name.starts_with("l.");
                let allocated = definitions
                    .shares(measure.reference)
                    .into_iter()
                    .all(|share| matches!(share, Share::Allocate(_)));
                let fitting: Vec<Attribute> = match allocated {
                    true => attributes.clone(),
                    false => attributes.iter().filter(of_lines).cloned().collect(),
                };
                let over_time = definitions.is_over_time(measure.reference);
                let grains = if over_time { &[] } else { grains.as_slice() };
                let drawn =
                    (!fitting.is_empty()).then(|| Condition::random(dice, &fitting, grains, 1));
                measure.filter = drawn;
            }
            measure.spell(dice, definitions);
        }
        // Where nothing is grouped by time, nothing is filled.
        let is_timeless = !keys.iter().any(|key| !matches!(key, Key::Dimension(_)));
        let fill = filled.is_some() || is_timeless && dice.chance(20);
        let having = match grouping != Grouping::Implied && !is_leveled && dice.chance(20) {
            true => having(dice, definitions, &measures),
            false => None,
        };
        let counts = match target {
            Target::Entity(_) | Target::Metric(_) => dice.chance(20),
            Target::Lines(_) => dice.chance(20),
            Target::Across => false,
        };
        let pins = pinned.iter().map(|index| format!("{}=1", definitions.metrics[*index].name));
        let pins: Vec<String> = pins.collect();
        Self {
            counts_rows: counts && grouping != Grouping::Implied && !is_leveled,
            measures,
            keys,
            filter,
            having,
            grouping,
            time_of: match &target {
                Target::Entity(_) | Target::Metric(_) => "",
                Target::Across => "a.",
                Target::Lines(_) => "o.",
            },
            target,
            pins: pins.join(","),
            fill,
            from,
            nesting,
            filter_inside: dice.chance(50),
            ordered: dice.chance(50),
            ordinals: dice.chance(50),
        }
    }

    /// What HAVING compares: a measure without its FILTER, how and with what.
    pub(crate) fn having(&self) -> Option<(Measure, &'static str, &Value)> {
        let (index, operator, limit) = self.having.as_ref()?;
        let measure = Measure { filter: None, level: None, ..self.measures[*index].clone() };
        Some((measure, operator, limit))
    }

    fn names(&self) -> Names {
        Names::Columns(self.time_of)
    }

    /// How it reads the lines of orders, if it does.
    pub(crate) fn reads_lines(&self) -> bool {
        let of_lines = |name: &str| name.starts_with("l.");
        let keyed =
            |key: &Key| matches!(key, Key::Dimension(attribute) if of_lines(&attribute.name));
        let mut names = Vec::new();
        let filters = self.measures.iter().filter_map(|measure| measure.filter.as_ref());
        filters.chain(&self.filter).for_each(|filter| filter.names(&mut names));
        self.keys.iter().any(keyed) || names.iter().any(|name| of_lines(name))
    }

    /// The position and grain of the key that is a period.
    pub(crate) fn period(&self) -> Option<(usize, Grain)> {
        self.keys.iter().enumerate().find_map(|(index, key)| match key {
            Key::Period(grain) => Some((index, *grain)),
            _ => None,
        })
    }

    /// Whether it is about times at all.
    pub(crate) fn uses_time(&self) -> bool {
        let keyed = self.keys.iter().any(|key| !matches!(key, Key::Dimension(_)));
        let filters = self.measures.iter().filter_map(|measure| measure.filter.as_ref());
        keyed || filters.chain(&self.filter).any(Condition::uses_time)
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

    /// Whether EXPLAIN (CANON) accounts for each row of it.
    pub(crate) fn is_accounted(&self, definitions: &Definitions) -> bool {
        let is_plain = |it: &Measure| {
            it.level.is_none()
                && definitions.version(it.reference).entities.len() == 1
                && !definitions.is_over_time(it.reference)
        };
        matches!(self.target, Target::Entity(_) | Target::Metric(_))
            && self.measures.iter().all(is_plain)
    }

    // ---- the same question, said otherwise ----

    /// Of the total: no keys.
    pub(crate) fn total(&self) -> Self {
        let measures = self.measures.iter().map(|it| Measure { level: None, ..it.clone() });
        Self {
            measures: measures.collect(),
            keys: Vec::new(),
            grouping: Grouping::Plain,
            having: None,
            ordered: false,
            ..self.clone()
        }
    }

    /// With another condition as well.
    pub(crate) fn with_filter(&self, more: Condition) -> Self {
        let filter = match &self.filter {
            Some(filter) => filter.clone().and(more),
            None => more,
        };
        Self { filter: Some(filter), ..self.clone() }
    }

    /// With a filter that every row passes.
    pub(crate) fn with_true_filter(&self, attribute: &Attribute) -> Self {
        let is_null = |negated| Box::new(Condition::IsNull(attribute.clone(), negated));
        self.with_filter(Condition::Or(is_null(true), is_null(false)))
    }

    /// The rows of which a condition is neither true nor false, as SQL.
    pub(crate) fn with_unknown(&self, condition: &Condition) -> String {
        // A condition has no place for it: it goes to the end of the filter.
        let bare = Self { ordered: false, nesting: Nesting::None, ..self.clone() };
        let unknown = format!("({}) IS NULL", condition.sql(self.names()));
        let sql = bare.sql();
        match &self.filter {
            Some(_) => format!("{sql} AND {unknown}"),
            None => format!("{sql} WHERE {unknown}"),
        }
    }

    /// One of its measures, and others beside it.
    pub(crate) fn beside(
        &self,
        definitions: &Definitions,
        measure: &Measure,
        others: &[Reference],
    ) -> Self {
        let spelling = Spelling::Call("MEASURE");
        let own = |reference: &Reference| {
            let name = &definitions.metrics[reference.0].name;
            let column = format!("{name}_v{}", reference.1);
            Measure { reference: *reference, column, spelling, ..measure.clone() }
        };
        let measures = [Measure { spelling, level: None, ..measure.clone() }].into_iter();
        let measures = measures.chain(others.iter().map(|it| Measure { level: None, ..own(it) }));
        Self {
            measures: measures.collect(),
            having: None,
            counts_rows: false,
            nesting: Nesting::None,
            ..self.clone()
        }
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

    /// Around another select.
    pub(crate) fn nested(&self) -> Option<Self> {
        let can = matches!(self.target, Target::Entity(_) | Target::Metric(_))
            && self.grouping != Grouping::Implied
            && self.measures.iter().all(|it| it.level.is_none());
        can.then(|| Self { nesting: Nesting::Columns, ..self.clone() })
    }

    /// Of the metric's own relation, where it is asked of its entity's.
    pub(crate) fn by_the_other_door(&self) -> Option<Self> {
        let ([measure], Target::Entity(_), false) =
            (self.measures.as_slice(), &self.target, self.counts_rows)
        else {
            return None;
        };
        let (name, major) = match measure.column.split_once("_v") {
            Some((name, _)) => (name, true),
            None => (measure.column.as_str(), false),
        };
        let from = match major {
            true => format!("metrics.{}", measure.column),
            false => format!("metrics.{name}"),
        };
        let measure = Measure { column: name.to_owned(), ..measure.clone() };
        let target = Target::Metric(measure.reference);
        let question = Self { measures: vec![measure], target, from, ..self.clone() };
        Some(question.plain())
    }

    /// With a join that nothing needs.
    pub(crate) fn joined(&self) -> Option<Self> {
        let Target::Entity(entity) = self.target else { return None };
        if entity == LINES || self.nesting != Nesting::None {
            return None;
        }
        let of = |condition: &Condition| condition.mapped(&|it: &Attribute| it.of("o"));
        let keys = self.keys.iter().map(|key| match key {
            Key::Dimension(attribute) => Key::Dimension(attribute.of("o")),
            other => other.clone(),
        });
        let measures = self.measures.iter().map(|measure| Measure {
            alias: "o.",
            filter: measure.filter.as_ref().map(of),
            ..measure.clone()
        });
        Some(Self {
            keys: keys.collect(),
            measures: measures.collect(),
            filter: self.filter.as_ref().map(of),
            from: format!("{} AS o LEFT JOIN customers AS c ON c.id = o.customer_id", self.from),
            time_of: "o.",
            ..self.clone()
        })
    }

    /// Without one of its parts, in all ways.
    pub(crate) fn smaller(&self) -> Vec<Self> {
        let mut found = Vec::new();
        let is_leveled = self.measures.iter().any(|it| it.level.is_some());
        if self.having.is_some() {
            found.push(Self { having: None, ..self.clone() });
        }
        if self.counts_rows {
            found.push(Self { counts_rows: false, ..self.clone() });
        }
        if self.fill {
            found.push(Self { fill: false, ..self.clone() });
        }
        if self.filter.is_some() {
            found.push(Self { filter: None, ..self.clone() });
        }
        if let Some(Condition::And(left, right)) = &self.filter {
            for part in [left, right] {
                found.push(Self { filter: Some(part.as_ref().clone()), ..self.clone() });
            }
        }
        for index in 0..self.measures.len() {
            let mut measures = self.measures.clone();
            if measures[index].filter.take().is_some() {
                found.push(Self { measures, ..self.clone() });
            }
            if self.measures.len() > 1 && self.having.is_none() {
                let mut measures = self.measures.clone();
                measures.remove(index);
                found.push(Self { measures, ..self.clone() });
            }
        }
        if !is_leveled && !matches!(self.target, Target::Across) {
            for index in 0..self.keys.len() {
                let mut keys = self.keys.clone();
                keys.remove(index);
                let grouping = if self.grouping == Grouping::Implied {
                    Grouping::Implied
                } else {
                    Grouping::Plain
                };
                found.push(Self { keys, grouping, ..self.clone() });
            }
        }
        if self.nesting != Nesting::None {
            found.push(Self { nesting: Nesting::None, ..self.clone() });
        }
        if !matches!(self.grouping, Grouping::Plain | Grouping::Implied) {
            found.push(Self { grouping: Grouping::Plain, ..self.clone() });
        }
        found
    }
}

impl Measure {
    /// Draws a spelling that its metric has.
    fn spell(&mut self, dice: &mut Dice, definitions: &Definitions) {
        if self.level.is_some() {
            return;
        }
        let mut spellings = vec![
            Spelling::Bare,
            Spelling::Call("MEASURE"),
            Spelling::Call("MEASURE"),
            Spelling::Call("AGG"),
            Spelling::Call("aggregate"),
            Spelling::Call("SUM"),
            Spelling::Case,
        ];
        match &definitions.version(self.reference).shape {
            Shape::Count => spellings.push(Spelling::Call("COUNT")),
            Shape::CountDistinct(_) => spellings.push(Spelling::CountDistinct),
            Shape::Avg(_) | Shape::WeightedAvg(..) | Shape::Ratio(..) => {
                spellings.push(Spelling::Call("AVG"));
            }
            Shape::Min(_) | Shape::First(_) => spellings.push(Spelling::Call("MIN")),
            Shape::Max(_) | Shape::Last(_) => spellings.push(Spelling::Call("max")),
            _ => {}
        }
        self.spelling = *dice.pick(&spellings);
    }
}

/// Metrics of an entity, in its relation.
fn of_entity(
    dice: &mut Dice,
    world: &World,
    definitions: &Definitions,
    pinned: &[usize],
) -> Option<Question> {
    let entity = *dice.pick(&[ORDERS, ORDERS, ORDERS, VISITS, STOCKS, LINES]);
    let starless = dice.chance(60);
    let mut measures = Vec::new();
    for _ in 0..1 + dice.below(3) {
        let measure = measure(dice, definitions, pinned, starless, &|it| {
            definitions.version(it).entities == [entity]
        });
        measures.extend(measure);
    }
    if measures.is_empty() {
        return None;
    }
    let attributes: Vec<Attribute> =
        world.attributes(entity).into_iter().filter(|it| !it.hidden).collect();
    let name = world.tables[entity].name;
    let from = if dice.chance(70) { name.to_owned() } else { format!("public.{name}") };
    let target = Target::Entity(entity);
    let mut question = Question::of(dice, definitions, pinned, target, from, &attributes, measures);
    // `*` shows the default version under the metric's own name alone.
    let is_pinned =
        |it: &Measure| it.reference.1 != definitions.metrics[it.reference.0].versions.len();
    let starless = starless || question.measures.iter().any(is_pinned);
    if starless && matches!(question.nesting, Nesting::Star | Nesting::Cte) {
        question.nesting = Nesting::None;
    }
    Some(question)
}

/// One metric, in its relation.
fn of_metric(
    dice: &mut Dice,
    world: &World,
    definitions: &Definitions,
    pinned: &[usize],
) -> Option<Question> {
    let (measure, from) = in_its_relation(dice, definitions, pinned, &|_| true)?;
    let version = definitions.version(measure.reference);
    let several = version.entities.len() > 1;
    let attributes = world.shared_attributes(&version.entities).into_iter();
    let attributes: Vec<Attribute> =
        attributes.filter(|it| !(it.hidden || several && it.says_when())).collect();
    let target = Target::Metric(measure.reference);
    let measures = vec![measure];
    let mut question = Question::of(dice, definitions, pinned, target, from, &attributes, measures);
    // Rows of several entities are none that could be counted.
    question.counts_rows &= !several;
    Some(question)
}

/// Relations of two metrics, joined on what they share.
fn of_metrics(
    dice: &mut Dice,
    world: &World,
    definitions: &Definitions,
    pinned: &[usize],
) -> Option<Question> {
    let (mut left, a) = in_its_relation(dice, definitions, pinned, &|_| true)?;
    let (mut right, b) =
        in_its_relation(dice, definitions, pinned, &|it| it.0 != left.reference.0)?;
    (left.alias, right.alias) = ("a.", "b.");
    let mut entities = Vec::new();
    for it in [&left, &right].iter().flat_map(|it| &definitions.version(it.reference).entities) {
        if !entities.contains(it) {
            entities.push(*it);
        }
    }
    // A day of two zones is no day.
    if definitions.version(left.reference).zone != definitions.version(right.reference).zone {
        return None;
    }
    let shared = world.shared_attributes(&entities);
    let shared = shared.iter().filter(|it| !it.hidden && !it.says_when());
    let attributes: Vec<Attribute> = shared.map(|it| it.of("a")).collect();
    let measures = vec![left, right];
    let target = Target::Across;
    let mut question =
        Question::of(dice, definitions, pinned, target, String::new(), &attributes, measures);
    let mut names: Vec<String> = Vec::new();
    for key in &question.keys {
        names.push(match key {
            Key::Dimension(attribute) => attribute.name.clone(),
            _ => "metric_time".to_owned(),
        });
    }
    if names.is_empty() {
        names.push("metric_time".to_owned());
    }
    names.dedup();
    let names = &names[..1 + dice.below(names.len())];
    let join = *dice.pick(&["JOIN", "LEFT JOIN", "FULL JOIN"]);
    let on: Vec<String> = names.iter().map(|name| format!("a.{name} = b.{name}")).collect();
    question.from = format!("{a} AS a {join} {b} AS b ON {}", on.join(" AND "));
    Some(question)
}

/// Orders and their lines.
fn of_lines(
    dice: &mut Dice,
    world: &World,
    definitions: &Definitions,
    pinned: &[usize],
) -> Option<Question> {
    let by_lines = dice.chance(70);
    let mut measures = Vec::new();
    for _ in 0..1 + dice.below(2) {
        let drawn = measure(dice, definitions, pinned, true, &|it| {
            definitions.version(it).entities == [ORDERS]
                && !definitions.is_over_time(it)
                && (!by_lines
                    || definitions.shares(it).iter().all(|share| !matches!(share, Share::Once)))
        });
        measures.extend(drawn.map(|it| Measure { alias: "o.", ..it }));
    }
    if measures.is_empty() {
        return None;
    }
    let orders = world.attributes(ORDERS);
    let mut attributes: Vec<Attribute> =
        orders.iter().filter(|it| !it.hidden).map(|it| it.of("o")).collect();
    let lines = world.attributes(LINES).into_iter();
    let lines = lines.filter(|it| LINE_ATTRIBUTES.contains(&it.name.as_str()));
    let lines: Vec<Attribute> = lines.map(|it| it.renamed("l")).collect();
    if by_lines {
        // As likely as all that an order has.
        attributes = dice.some(&attributes, 4);
        attributes.extend(lines);
    }
    let left = dice.chance(50);
    let join = if left { "LEFT JOIN" } else { "JOIN" };
    let from = format!("orders AS o {join} lines AS l ON l.order_id = o.id");
    let target = Target::Lines(left);
    Some(Question::of(dice, definitions, pinned, target, from, &attributes, measures))
}

/// What is asked of lines.
pub(crate) const LINE_ATTRIBUTES: [&str; 3] = ["category", "pieces", "price"];

/// A measure, and the relation that is about it alone.
fn in_its_relation(
    dice: &mut Dice,
    definitions: &Definitions,
    pinned: &[usize],
    fits: &dyn Fn(Reference) -> bool,
) -> Option<(Measure, String)> {
    let drawn = measure(dice, definitions, pinned, true, fits)?;
    let name = &definitions.metrics[drawn.reference.0].name;
    let from = format!("metrics.{}", drawn.column);
    Some((Measure { column: name.clone(), ..drawn }, from))
}

/// A measure of a metric that fits, by its name or that of its major.
fn measure(
    dice: &mut Dice,
    definitions: &Definitions,
    pinned: &[usize],
    may_name_majors: bool,
    fits: &dyn Fn(Reference) -> bool,
) -> Option<Measure> {
    let mut drawn = Vec::new();
    for (metric, of) in definitions.metrics.iter().enumerate() {
        let versions = of.versions.len();
        let default = if pinned.contains(&metric) { 1 } else { versions };
        if fits((metric, default)) {
            drawn.push(((metric, default), of.name.clone()));
            drawn.push(((metric, default), of.name.clone()));
        }
        let named = |major: &usize| may_name_majors && fits((metric, *major));
        for major in (1..=versions).filter(named) {
            drawn.push(((metric, major), format!("{}_v{major}", of.name)));
        }
    }
    if drawn.is_empty() {
        return None;
    }
    let (reference, column) = dice.pick(&drawn).clone();
    let spelling = Spelling::Call("MEASURE");
    Some(Measure { reference, filter: None, level: None, alias: "", column, spelling })
}

fn keys(
    dice: &mut Dice,
    definitions: &Definitions,
    attributes: &[Attribute],
    over_time: bool,
) -> Vec<Key> {
    let mut keys: Vec<Key> = dice.some(attributes, 2).into_iter().map(Key::Dimension).collect();
    if let [Key::Dimension(a), Key::Dimension(b)] = keys.as_slice()
        && a.is_also(b)
    {
        // One dimension under two names would be two keys that are one.
        keys.pop();
    }
    match dice.below(if over_time { 6 } else { 10 }) {
        0..=4 => {
            let week = definitions.week();
            let grains = [Grain::Day, Grain::Day, week, week, Grain::Month, Grain::Hour];
            let fiscal = definitions.fiscal_grains();
            let grain = match dice.below(100) {
                0..25 if !fiscal.is_empty() => *dice.pick(&fiscal),
                25..50 => *dice.pick(&[Grain::Quarter, Grain::Year]),
                _ => *dice.pick(&grains),
            };
            keys.insert(dice.below(keys.len() + 1), Key::Period(grain));
        }
        5 => keys.push(Key::Time),
        _ => {}
    }
    keys
}

/// The grain of the periods whose gaps are to be filled; often None.
fn filled(dice: &mut Dice, target: &Target, keys: &[Key]) -> Option<Grain> {
    let period = keys.iter().find_map(|key| match key {
        // Hours of days with 23 and 25 of them are held by records of their own.
        Key::Period(grain) if *grain != Grain::Hour => Some(*grain),
        _ => None,
    });
    period.filter(|_| !matches!(target, Target::Lines(_)) && dice.chance(25))
}

/// A range of a few periods; now and then with no end, or all of time.
fn filled_range(dice: &mut Dice, grain: Grain) -> Option<Condition> {
    let moment = instant(dice);
    // Sometimes moments that no period begins at.
    let is_exact = dice.chance(70);
    let at = |moment| if is_exact { grain.floor(moment) } else { moment };
    let mut end = moment;
    for _ in 0..dice.below(6) {
        end = grain.end(grain.floor(end));
    }
    let first = match dice.below(4) {
        0 => Condition::Period(grain, ">=", at(moment)),
        1 => Condition::Time(">", at(moment)),
        _ => Condition::Time(">=", at(moment)),
    };
    let last = match dice.below(4) {
        0 => Condition::Period(grain, "<=", at(end)),
        1 => Condition::Date("<", Grain::Day.floor(end)),
        _ => Condition::Time("<", at(end)),
    };
    match dice.below(8) {
        0 => None,
        1 => Some(first),
        2 => Some(last),
        3 => Some(Condition::Period(grain, "=", grain.floor(moment))),
        _ => Some(first.and(last)),
    }
}

fn having(
    dice: &mut Dice,
    definitions: &Definitions,
    measures: &[Measure],
) -> Option<(usize, &'static str, Value)> {
    let index = dice.below(measures.len());
    let is_no_number = |shape: &Shape| matches!(shape, Shape::First(_) | Shape::Last(_));
    match definitions.has(measures[index].reference, &is_no_number) {
        true => None,
        false => {
            let value = match dice.chance(50) {
                true => Value::Int(dice.between(0, 3)),
                false => Value::Dec { digits: dice.between(-100, 9_999).into(), scale: 2 },
            };
            Some((index, *dice.pick::<&str>(&[">", "<", ">=", "<>"]), value))
        }
    }
}
